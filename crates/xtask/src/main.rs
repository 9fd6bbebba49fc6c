//! `cargo xtask`: the tasks of this repository.
//!
//! * [`generate`]: files that are derived from the config structs.
//! * [`mod@bench`]: what a tracker costs, next to the least that it could.
//! * [`check`]: everything that can be said about the code without running it.
//! * [`dist`]: packages for distributions.
//! * [`fuzz`]: the fuzz targets, for some time each.
//! * [`mod@test`]: all tests, and what they need from the system.

#![forbid(unsafe_code)]

mod bench;
mod check;
mod dependencies;
mod dist;
mod fuzz;
mod generate;
mod requirements;
mod source;
mod test;
mod units;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the files that are derived from the config structs
    Generate {
        /// Write nothing, and fail when a file is not current
        #[arg(long)]
        check: bool,
    },
    /// Measure a daemon, next to the least that it could cost
    Bench(bench::Arguments),
    /// Format, lints, documentation, generated files, dependencies
    Check,
    /// Build packages
    #[command(subcommand)]
    Dist(dist::Distribution),
    /// Run the fuzz targets
    Fuzz(fuzz::Arguments),
    /// Run all tests
    Test(test::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Generate { check } => generate::run(check),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Check => check::run(),
        Task::Dist(distribution) => dist::run(&distribution),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // From crates/xtask.
    root.pop();
    root.pop();
    root
}
