//! The `aquatic-http` daemon: see `aquatic-http --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aquatic_doctor::run::<aquatic_http::HttpDaemon>()
}
