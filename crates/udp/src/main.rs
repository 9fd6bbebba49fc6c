//! The `aquatic-udp` daemon: see `aquatic-udp --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aquatic_doctor::run::<aquatic_udp::UdpDaemon>()
}
