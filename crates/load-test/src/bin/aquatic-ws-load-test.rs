//! `aquatic-ws-load-test`: announces to a WebTorrent tracker as fast as it can
//! answer, exchanges offers and answers through it, and reports how well it
//! did.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use aquatic_load_test::command_line;
use aquatic_load_test::ws::WsLoadTest;

fn main() -> ExitCode {
    command_line::main::<WsLoadTest>()
}
