//! The `aquatic-udp` daemon: see `aquatic-udp --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    aquatic_service::run::<aquatic_udp::UdpDaemon>()
}
