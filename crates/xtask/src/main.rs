//! `cargo xtask`: the tasks of this repository. It is compiled in seconds:
//! tasks that need our own crates are separate packages, which it runs with cargo.
//!
//! * [`check`]: checks of the code without running it.
//! * [`dist`]: packages for distributions, and a container image.
//! * [`fuzz`]: the fuzz targets, for some time each.
//! * [`mod@test`]: all tests, and what they need from the system.

#![forbid(unsafe_code)]

mod check;
mod commands;
mod dependencies;
mod dist;
mod fuzz;
mod requirements;
mod source;
mod test;
mod units;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::run_package;

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
    Generate(Rest),
    /// Measure a daemon, next to the least that it could cost
    Bench(Rest),
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

/// The arguments of a task that is a separate program, which parses them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Generate(rest) => run_package("aquatic_generate", &rest.arguments),
        Task::Bench(rest) => run_package("aquatic_bench", &rest.arguments),
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
