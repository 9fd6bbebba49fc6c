//! Runs the load test over HTTP.

use std::sync::Arc;

use anyhow::Context;
use aquatic_service::config::Invalid;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::config::Config;
use super::settings::Settings;
use super::worker::Worker;
use crate::command_line::{LoadTest, Overridable};
use crate::counters::Kind;
use crate::lead::{self, Protocol};
use crate::report::Report;

/// Tests a tracker; returns when the time is over.
///
/// # Errors
///
/// When the tracker does not answer, or stops to, and when the machine refuses
/// sockets or threads.
pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let connections = settings.connections.active + settings.connections.idle;
    allow_open_files((connections + 4 * settings.run.workers) as u64 + OTHER_FILES)?;

    let protocol = Protocol {
        requests: &[Kind::Announce, Kind::Scrape],
        connected: "connections got a reply",
        transport: "TCP",
    };
    let shared = Arc::new(settings.clone());
    lead::run(&settings.run, protocol, connections as u64, move |part| {
        Worker::new(Arc::clone(&shared), part)?.run()
    })
}

/// Raises the limit of open files, as far as anybody may.
fn allow_open_files(needed: u64) -> anyhow::Result<()> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    if soft >= needed {
        return Ok(());
    }
    anyhow::ensure!(
        hard >= needed,
        "{needed} files have to be open at once, but the limit is {hard}; \
         raise it with `ulimit -Hn {needed}`, or use fewer connections"
    );
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard).context("cannot raise the limit of open files")
}

/// Besides those of workers: standard streams and what is read of `/proc`.
const OTHER_FILES: u64 = 64;

/// `aquatic-http-load-test`.
#[derive(Debug, Clone, Copy)]
pub struct HttpLoadTest;

impl LoadTest for HttpLoadTest {
    const NAME: &'static str = "aquatic-http-load-test";
    const ABOUT: &'static str = "Load test of BitTorrent trackers over HTTP and HTTPS (BEP 3). \
                                 Only ever test a tracker of your own.";
    type Config = Config;
    type Settings = Settings;

    fn overridable(config: &mut Config) -> Overridable<'_> {
        Overridable {
            server_address: &mut config.server_address,
            server_pid: &mut config.server_pid,
            duration_seconds: &mut config.duration_seconds,
            workers: &mut config.workers,
            fill: &mut config.fill,
            progress: &mut config.progress,
        }
    }

    fn settings(config: &Config) -> Result<Settings, Vec<Invalid>> {
        Settings::new(config)
    }

    fn run(settings: &Settings) -> anyhow::Result<Report> {
        run(settings)
    }
}
