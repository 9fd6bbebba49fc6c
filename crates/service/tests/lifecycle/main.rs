//! The lifecycle of a process, as it is visible from outside.
//!
//! This program is both the tests and the daemon they start: with [`DAEMON`] in
//! its environment it is the daemon.

use std::env;
use std::process::ExitCode;

use aquatic_test_harness::setup::Setup;
use libtest_mimic::{Arguments, Trial};

mod checks;
mod clocks;
mod daemon;
mod ends;
mod files;
mod generator;
mod hardened;
mod layers;
mod notifications;
mod privileges;
mod reloads;
mod sockets;

/// Set in the environment of the daemon.
pub(crate) const DAEMON: &str = "AQUATIC_SERVICE_TEST_DAEMON";

/// Set in the environment of a daemon for which there is no IPv6.
pub(crate) const WITHOUT_IPV6: &str = "AQUATIC_SERVICE_TEST_WITHOUT_IPV6";

/// Set in the environment of a daemon that is confined like a hardened unit.
const HARDENED: &str = "AQUATIC_SERVICE_TEST_HARDENED";

fn main() -> ExitCode {
    if env::var_os(HARDENED).is_some() {
        hardened::confine();
    }
    if env::var_os(WITHOUT_IPV6).is_some() {
        hardened::forbid_ipv6();
    }
    if let Some(mark) = env::var_os(clocks::MARK) {
        return clocks::tell(&mark);
    }
    if env::var_os(DAEMON).is_some() {
        return aquatic_service::run::<daemon::TestDaemon>(aquatic_service::Examinations {
            doctor: |_, _| ExitCode::SUCCESS,
            health: |_| ExitCode::SUCCESS,
        });
    }
    let trials = [
        notifications::TESTS,
        checks::TESTS,
        clocks::TESTS,
        ends::TESTS,
        files::TESTS,
        generator::TESTS,
        layers::TESTS,
        privileges::TESTS,
        reloads::TESTS,
        sockets::TESTS,
    ];
    let trials = trials
        .concat()
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                test();
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test, which panics when it fails.
type Test = (&'static str, fn());

/// What the daemon under test is started with.
fn setup() -> Setup {
    let program = env::current_exe().expect("this program has a path");
    let mut setup = Setup::new(program.to_str().expect("its path is UTF-8"));
    setup.set_environment(DAEMON, "1");
    setup
}

/// Makes a list of test functions, with their names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// The tests of this module.
        pub(crate) const TESTS: &[crate::Test] = &[
            $((concat!(module_path!(), "::", stringify!($name)), $name)),*
        ];
    };
}
pub(crate) use tests;
