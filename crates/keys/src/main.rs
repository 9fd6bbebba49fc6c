//! The binary; everything is in the library.

use std::process::ExitCode;

use aquatic_keys::command_line::Arguments;
use clap::Parser as _;

fn main() -> ExitCode {
    match aquatic_keys::run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aquatic-keys: {error:#}");
            ExitCode::FAILURE
        }
    }
}
