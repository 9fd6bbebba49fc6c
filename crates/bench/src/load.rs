//! Runs the load test, and reads its report.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use aquatic_load_test::udp::{Config, NetworkConfig, PopulationConfig, RequestsConfig};
use serde::{Deserialize, Serialize};

use super::machine::Cores;
use super::server::{Binaries, Server};

/// The parts of the load test's report that are used here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Report {
    pub(super) connect: Requests,
    pub(super) announce: Requests,
    pub(super) all: Requests,
    /// Only over TCP.
    pub(super) connections: Option<Connections>,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    pub(super) lost: u64,
    pub(super) unexpected: u64,
    pub(super) peers_per_announce: f64,
    pub(super) server: ProcessUse,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Requests {
    pub(super) replies: u64,
    pub(super) replies_per_second: f64,
    pub(super) latency: Latency,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Latency {
    pub(super) p50_microseconds: f64,
    pub(super) p99_microseconds: f64,
    pub(super) p999_microseconds: f64,
    pub(super) max_microseconds: f64,
}

impl Latency {
    /// The longer of each two.
    pub(super) fn worst(&self, other: &Self) -> Self {
        Self {
            p50_microseconds: self.p50_microseconds.max(other.p50_microseconds),
            p99_microseconds: self.p99_microseconds.max(other.p99_microseconds),
            p999_microseconds: self.p999_microseconds.max(other.p999_microseconds),
            max_microseconds: self.max_microseconds.max(other.max_microseconds),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Connections {
    pub(super) failed: u64,
    pub(super) full_handshakes: u64,
    pub(super) resumed_handshakes: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ProcessUse {
    pub(super) cpu_seconds: f64,
    pub(super) cpu_microseconds_per_reply: f64,
    pub(super) cores: f64,
    pub(super) resident_bytes_before: u64,
    pub(super) resident_bytes: u64,
}

/// Shares of connect, announce and scrape requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares(pub(super) u32, pub(super) u32, pub(super) u32);

/// The load of all measurements; they change what is theirs.
pub(super) fn config(torrents: u32, peers: u32, shares: Shares) -> Config {
    Config {
        progress: false,
        network: NetworkConfig {
            source_addresses: vec!["127.0.0.1-127.0.0.32".to_owned()],
            timeout_milliseconds: 1000,
            ..NetworkConfig::default()
        },
        population: PopulationConfig {
            torrents,
            peers,
            ..PopulationConfig::default()
        },
        requests: RequestsConfig {
            connect_weight: shares.0,
            announce_weight: shares.1,
            scrape_weight: shares.2,
            peers_wanted: 30,
            ..RequestsConfig::default()
        },
        ..Config::default()
    }
}

/// Runs the load test over UDP against a server, at one of its addresses.
pub(super) fn run(
    binaries: &Binaries,
    server: &Server,
    address: SocketAddr,
    cores: Cores,
    mut config: Config,
    directory: &Path,
) -> anyhow::Result<Report> {
    config.server_address = address.to_string();
    config.server_pid = server.pid();
    let report = run_program(
        &binaries.path("aquatic-udp-load-test"),
        cores,
        &config,
        directory,
    )?;
    // A few may be replies to a load test before this one.
    ensure!(
        report.unexpected <= report.all.replies / 1000,
        "the server has sent {} datagrams that are no reply",
        report.unexpected
    );
    Ok(report)
}

/// Runs a load test with a configuration that names the server.
pub(super) fn run_program(
    program: &Path,
    cores: Cores,
    config: &impl Serialize,
    directory: &Path,
) -> anyhow::Result<Report> {
    let path = directory.join("load.toml");
    let text = toml::to_string(config).context("cannot write the load test's configuration")?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;

    let output = cores
        .command(program)
        .arg("--json")
        .arg("-c")
        .arg(&path)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the load test (or taskset)")?;
    ensure!(output.status.success(), "the load test has failed");
    let report: Report =
        serde_json::from_slice(&output.stdout).context("the load test's report is unreadable")?;
    ensure!(
        report.errors == 0,
        "the server has replied with {} errors, the first one: {}",
        report.errors,
        report.first_error.unwrap_or_default()
    );
    Ok(report)
}

/// A report of a server that took this long for a reply, for tests. Half of
/// the replies are to announces.
#[cfg(test)]
pub(super) fn sample(microseconds: f64, full_handshakes: u64, resumed_handshakes: u64) -> Report {
    let requests = |replies: u64| {
        serde_json::json!({
            "replies": replies, "replies_per_second": 1.0, "latency": {
                "p50_microseconds": 1.0, "p99_microseconds": 1.0,
                "p999_microseconds": 1.0, "max_microseconds": 1.0,
            },
        })
    };
    let report = serde_json::json!({
        "connect": requests(0), "announce": requests(50), "all": requests(100),
        "connections": {
            "failed": 0,
            "full_handshakes": full_handshakes,
            "resumed_handshakes": resumed_handshakes,
        },
        "errors": 0, "first_error": null, "lost": 1, "unexpected": 0,
        "peers_per_announce": 25.0,
        "server": {
            "cpu_seconds": microseconds / 1e4,
            "cpu_microseconds_per_reply": microseconds, "cores": 1.0,
            "resident_bytes_before": 0, "resident_bytes": 0,
        },
    });
    serde_json::from_value(report).expect("a report")
}
