//! The `aquatic-http` daemon: see `aquatic-http --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aquatic_service::run::<aquatic_http::HttpDaemon>()
}
