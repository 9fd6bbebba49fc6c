//! `aquatic-udp-load-test`: sends a BEP 15 tracker as many requests as it can
//! answer, and reports how well it did.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use aquatic_load_test::udp::{self, Config, Settings};
use aquatic_service::cli::{Action, ConfigArguments};
use aquatic_service::config::{self, Config as _, Loaded};
use clap::Parser;

/// Load test of BitTorrent trackers over UDP (BEP 15). Only ever test a tracker
/// of your own.
#[derive(Debug, Parser)]
#[command(name = "aquatic-udp-load-test", version)]
struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    /// Instead of server_address: the tracker to test
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: Option<String>,

    /// Instead of server_pid: the tracker's process id
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// Instead of duration_seconds: how long to measure
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,

    /// Instead of workers: the number of threads
    #[arg(long, value_name = "COUNT")]
    workers: Option<usize>,

    /// Announce every peer once before measuring
    #[arg(long)]
    fill: bool,

    /// Write no progress lines
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    /// Puts what the command line says in place of what the file says.
    fn apply(&self, config: &mut Config) {
        if let Some(server) = &self.server {
            config.server_address.clone_from(server);
        }
        if let Some(pid) = self.server_pid {
            config.server_pid = pid;
        }
        if let Some(seconds) = self.duration {
            config.duration_seconds = seconds;
        }
        if let Some(workers) = self.workers {
            config.workers = workers;
        }
        config.fill |= self.fill;
        config.progress &= !self.quiet;
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let action = arguments.config.action();
    if action == Action::PrintDefault {
        return print(Config::DEFAULT_TOML);
    }
    let mut loaded: Loaded<Config> = config::load(arguments.config.config.as_deref())?;
    for warning in &loaded.warnings {
        eprintln!("{warning}");
    }
    arguments.apply(&mut loaded.config);
    let settings = loaded.settings(Settings::new)?;
    if action == Action::PrintEffective {
        return print(&loaded.effective_toml());
    }

    let report = udp::run(&settings)?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))
    } else {
        print(&format!("{report}\n"))
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}
