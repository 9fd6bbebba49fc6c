//! `aquatic-udp-load-test`: sends a BEP 15 tracker as many requests as it can
//! answer, and reports how well it did.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use aquatic_load_test::command_line;
use aquatic_load_test::udp::UdpLoadTest;

fn main() -> ExitCode {
    command_line::main::<UdpLoadTest>()
}
