//! `cargo xtask bench`: measures trackers, and compares them with bare servers.
//!
//! Servers run on one core and the load test on the other. All measurements are
//! interleaved, so that a machine that gets slower does so for all rows. The
//! results in a row are medians.
//!
//! * [`udp`], [`http`], [`ws`]: the measurements of each daemon.
//! * [`others`]: other trackers, next to aquatic-udp.
//! * [`swarm`]: torrents and peers without a daemon.
//! * [`cluster`]: several daemons with one swarm.
//! * [`rows`]: interleaved measurements of loads, as rows of tables.
//! * [`server`]: starts and stops the measured processes.
//! * [`threads`]: CPU time of their threads.
//! * [`load`]: runs the load test against them.
//! * [`machine`]: cores, and a description of the machine.
//! * [`event_loops`]: event loops of daemons over TCP, and their certificate.
//! * [`results`]: the results, in the form of docs/benchmarks.json.
//! * [`page`], [`plot`]: docs/benchmarks.md, from results and `templates`.

#![forbid(unsafe_code)]

mod cluster;
mod event_loops;
mod http;
mod load;
mod machine;
mod others;
mod page;
mod plot;
mod results;
mod rows;
mod server;
mod swarm;
mod threads;
mod udp;
mod ws;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::{Parser, ValueEnum as _};

use machine::Machine;
use results::{Conditions, Results};

/// Measure daemons, and compare them with bare servers
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// What to measure; everything if nothing is named
    #[arg(value_enum)]
    daemons: Vec<Daemon>,

    /// Duration of each measurement of a row, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u32,

    /// Number of measurements of each row, of which the median is taken
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    runs: usize,

    /// Only check that everything works, with few torrents; the numbers are meaningless
    #[arg(long, conflicts_with = "write")]
    quick: bool,

    /// Write the results to docs/benchmarks.json, and the page and pictures beside it
    #[arg(long)]
    write: bool,

    /// Measure nothing, and write the page and pictures from docs/benchmarks.json
    #[arg(long, conflicts_with_all = ["daemons", "quick", "write"])]
    page: bool,

    /// Build with this profile of Cargo.toml
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Daemon {
    /// aquatic-udp
    Udp,
    /// aquatic-http
    Http,
    /// aquatic-ws
    Ws,
    /// Torrents and peers, without a daemon
    Swarm,
    /// aquatic-udp with others that have the same swarm
    Cluster,
    /// Other trackers that are installed, next to aquatic-udp
    Others,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints the tables, and writes them if requested.
fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.page {
        return page::write(&Results::read()?);
    }
    if arguments.runs == 0 || arguments.seconds == 0 {
        bail!("--runs and --seconds must be above 0");
    }
    let daemons = match &arguments.daemons[..] {
        [] => Daemon::value_variants(),
        named => named,
    };
    for daemon in daemons {
        let results = measure(*daemon, arguments)?;
        println!("{}", page::tables(&results)?);
        if arguments.write {
            let all = results.or(Results::read()?);
            all.write()?;
            page::write(&all)?;
        }
    }
    if arguments.quick {
        println!("This was only to see that everything works: the numbers mean nothing.");
    }
    Ok(())
}

fn measure(daemon: Daemon, arguments: &Arguments) -> anyhow::Result<Results> {
    let quick = arguments.quick;
    let conditions = Conditions {
        machine: Machine::this(),
        profile: arguments.profile.clone(),
        seconds: if quick { 1 } else { arguments.seconds },
        runs: if quick { 1 } else { arguments.runs },
    };
    let mut results = Results::default();
    match daemon {
        Daemon::Udp => results.udp = Some(udp::measure(conditions, quick)?),
        Daemon::Http => results.http = Some(http::measure(conditions, quick)?),
        Daemon::Ws => results.ws = Some(ws::measure(conditions, quick)?),
        Daemon::Cluster => results.cluster = Some(cluster::measure(conditions, quick)?),
        Daemon::Others => results.others = others::measure(conditions, quick)?,
        Daemon::Swarm => results.swarm = Some(swarm::measure(&arguments.profile, quick)?),
    }
    Ok(results)
}

/// Cargo in the root of the repository, the one that runs this.
fn cargo_command() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// The root of the repository.
fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // From crates/bench.
    root.pop();
    root.pop();
    root
}
