//! The `aquatic-udp` daemon: see `aquatic-udp --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aquatic_service::run::<aquatic_udp::UdpDaemon>()
}
