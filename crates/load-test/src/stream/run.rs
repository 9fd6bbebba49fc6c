//! Runs a load test over TCP.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::dialogue::Dialogue;
use super::settings::TransportSettings;
use super::worker::ConnectionWorker;
use crate::counters::Kind;
use crate::lead::{self, Part, Protocol};
use crate::report::Report;
use crate::run_settings::RunSettings;

/// Tests a tracker; returns when the time is over. `requests` are the kinds of
/// messages that count, and `dialogue` makes a worker's side of the protocol.
///
/// # Errors
///
/// When the tracker does not answer, or stops to, and when the machine refuses
/// sockets or threads.
pub(crate) fn run<D: Dialogue>(
    settings: &RunSettings,
    transport: &TransportSettings,
    requests: &'static [Kind],
    dialogue: impl Fn(&Part) -> D + Send + Sync + 'static,
) -> anyhow::Result<Report> {
    let connections = transport.connections();
    allow_open_files(connections, settings.workers)?;
    let protocol = Protocol {
        requests,
        connected: "connections got a reply",
        transport: "TCP",
    };
    let (shared, transport) = (settings.clone(), transport.clone());
    lead::run(settings, protocol, connections as u64, move |part| {
        ConnectionWorker::new(&shared, &transport, &part, dialogue(&part))?.run()
    })
}

/// Raises the limit of open files to what connections and workers need, as far
/// as anybody may.
fn allow_open_files(connections: usize, workers: usize) -> anyhow::Result<()> {
    let needed = (connections + FILES_OF_A_WORKER * workers) as u64 + OTHER_FILES;
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

/// What an event loop needs, and one connection that is being closed.
const FILES_OF_A_WORKER: usize = 4;

/// Standard streams and what is read of `/proc`.
const OTHER_FILES: u64 = 64;
