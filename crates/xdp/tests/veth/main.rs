//! Requests over AF_XDP between two network namespaces, in both modes and families.
//!
//! This program is both the tests and the consumer that they kill: see [`takeover`].

#![expect(
    clippy::unwrap_used,
    reason = "this is a test, which clippy does not know without the built-in runner"
)]

use std::env;
use std::process::ExitCode;

use aquatic_test_harness::network;
use aquatic_test_harness::tools;
use libtest_mimic::{Arguments, Trial};

mod answers;
mod client;
mod load;
mod passing;
mod server;
mod tags;
mod takeover;

fn main() -> ExitCode {
    if let Some(files) = env::var_os(takeover::FILES) {
        return takeover::consume(&files);
    }
    let tests = [
        answers::TESTS,
        load::TESTS,
        passing::TESTS,
        tags::TESTS,
        takeover::TESTS,
    ];
    let trials = tests
        .concat()
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                if tools::needs_root() && tools::needs(&network::PROGRAMS) {
                    test();
                }
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test, which panics when it fails.
type Test = (&'static str, fn());
