//! Runs the load tests.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use aquatic_load_test::Report;
use serde::Serialize;

use crate::machine::Cores;
use crate::server::{Programs, Server};

/// Runs a load test with this configuration against a server, at one of its
/// addresses.
///
/// # Errors
///
/// The load test fails, or the server has replied with errors.
pub(crate) fn run(
    programs: &Programs,
    name: &str,
    cores: Cores,
    server: &Server,
    address: SocketAddr,
    config: &impl Serialize,
) -> anyhow::Result<Report> {
    // Several may run at the same time.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = programs.scratch().join(format!("load-{number}.toml"));
    let text = toml::to_string(config).context("cannot write the load test's configuration")?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;

    let output = cores
        .command(&programs.path(name))
        .args(["--json", "--quiet", "-c"])
        .arg(&path)
        .args(["--server", &address.to_string()])
        .args(["--server-pid", &server.pid().to_string()])
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
    // Over UDP, a few may be replies to a load test before this one.
    ensure!(
        report.unexpected <= report.all.replies / 1000,
        "the server has sent {} messages that are no reply",
        report.unexpected
    );
    if let Some(connections) = &report.connections {
        ensure!(
            connections.failed == 0 && report.unexpected == 0,
            "{} connections have failed, and {} messages were no reply",
            connections.failed,
            report.unexpected
        );
    }
    Ok(report)
}
