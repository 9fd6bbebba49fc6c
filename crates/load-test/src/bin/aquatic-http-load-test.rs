//! `aquatic-http-load-test`: sends a tracker as many requests over HTTP or
//! HTTPS as it can answer, and reports how well it did.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use aquatic_load_test::command_line;
use aquatic_load_test::http::HttpLoadTest;

fn main() -> ExitCode {
    command_line::main::<HttpLoadTest>()
}
