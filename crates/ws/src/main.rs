//! The `aquatic-ws` daemon: see `aquatic-ws --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aquatic_doctor::run::<aquatic_ws::WsDaemon>()
}
