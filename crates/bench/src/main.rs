//! `cargo xtask bench`: what a tracker costs, next to the least that it could.
//!
//! Servers run on one core and the load test on the other, and all
//! measurements are taken in turns, so that a machine that gets slower is so
//! for all. Figures are medians.
//!
//! * [`udp`], [`http`], [`ws`]: what is measured for each daemon, and in which order.
//! * [`server`]: starts and stops the processes that are measured.
//! * [`load`]: runs the load test against them.
//! * [`machine`]: cores, and what the page says of the machine.
//! * [`event_loops`]: those of daemons over TCP, and their certificate.
//! * [`traffic`], [`http_row`], [`ws_row`]: what was measured, row by row, each
//!   with its [`samples`].
//! * [`page`], [`http_page`], [`ws_page`], [`plot`]: the tables, as text and as a picture.
//! * [`swarm`]: torrents and peers alone, in process.
//! * [`document`]: the page that has them all.

#![forbid(unsafe_code)]

mod document;
mod event_loops;
mod http;
mod http_page;
mod http_row;
mod load;
mod machine;
mod page;
mod plot;
mod samples;
mod server;
mod swarm;
mod traffic;
mod udp;
mod ws;
mod ws_page;
mod ws_row;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::{Parser, ValueEnum as _};

/// Measure a daemon, next to the least that it could cost
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// What to measure; everything if nothing is named
    #[arg(value_enum)]
    daemons: Vec<Daemon>,

    /// Measure each row so long, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u32,

    /// Measure each row so often, and take the median
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    runs: usize,

    /// Only see whether everything works, with few torrents; the figures mean
    /// nothing
    #[arg(long, conflicts_with = "write")]
    quick: bool,

    /// Write the daemon's section of docs/benchmarks.md and its picture
    #[arg(long)]
    write: bool,

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
}

/// How much is measured for `aquatic-udp`.
#[derive(Debug, Clone, Copy)]
struct Scale {
    seconds: u32,
    warm_up_seconds: u32,
    runs: usize,
    torrents: u32,
    peers: u32,
    /// Peers of the one torrent of which the memory is measured.
    peers_of_one_torrent: u32,
    /// After this time without an announce, peers expire in the measurement of
    /// expiry. Filling has to take less than half of it.
    peer_age_seconds: u32,
    /// Time in which all torrents are looked at for peers that expire.
    cleaning_seconds: u32,
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

/// Measures, prints the table, and writes it when asked to.
fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.runs == 0 || arguments.seconds == 0 {
        bail!("--runs and --seconds must be above 0");
    }
    let daemons = match &arguments.daemons[..] {
        [] => Daemon::value_variants(),
        named => named,
    };
    for daemon in daemons {
        match daemon {
            Daemon::Udp => run_udp(arguments)?,
            Daemon::Http => run_http(arguments)?,
            Daemon::Ws => run_ws(arguments)?,
            Daemon::Swarm => run_swarm(arguments)?,
        }
    }
    if arguments.quick {
        println!("This was only to see that everything works: the figures mean nothing.");
    }
    Ok(())
}

fn run_udp(arguments: &Arguments) -> anyhow::Result<()> {
    let scale = if arguments.quick {
        Scale {
            seconds: 1,
            warm_up_seconds: 0,
            runs: 1,
            torrents: 1_000,
            peers: 2_000,
            peers_of_one_torrent: 1_000,
            peer_age_seconds: 4,
            cleaning_seconds: 1,
        }
    } else {
        Scale {
            seconds: arguments.seconds,
            warm_up_seconds: 1,
            runs: arguments.runs,
            torrents: 1_000_000,
            peers: 2_000_000,
            peers_of_one_torrent: 1_000_000,
            peer_age_seconds: 30,
            cleaning_seconds: 10,
        }
    };

    let binaries = server::build(&arguments.profile, &["aquatic_udp"])?;
    let results = udp::measure(&binaries, &scale)?;
    println!("{}", page::table(&results));
    if arguments.write {
        page::write(&results, arguments)?;
    }
    Ok(())
}

fn run_http(arguments: &Arguments) -> anyhow::Result<()> {
    let binaries = server::build(&arguments.profile, &["aquatic_http"])?;
    let results = http::measure(&binaries, http::Scale::new(arguments))?;
    println!("{}", http_page::table(&results));
    if arguments.write {
        http_page::write(&results, arguments)?;
    }
    Ok(())
}

fn run_swarm(arguments: &Arguments) -> anyhow::Result<()> {
    let results = swarm::measure(arguments)?;
    println!("{}", swarm::table(&results)?);
    if arguments.write {
        swarm::write(&results, arguments)?;
    }
    Ok(())
}

fn run_ws(arguments: &Arguments) -> anyhow::Result<()> {
    let binaries = server::build(&arguments.profile, &["aquatic_ws"])?;
    let results = ws::measure(&binaries, ws::Scale::new(arguments))?;
    println!("{}", ws_page::table(&results));
    if arguments.write {
        ws_page::write(&results, arguments)?;
    }
    Ok(())
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
