//! The `aquatic-ws` daemon: see `aquatic-ws --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    aquatic_service::run::<aquatic_ws::WsDaemon>()
}
