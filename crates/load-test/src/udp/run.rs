//! Runs the load test over UDP.

use std::sync::Arc;

use aquatic_service::config::Diagnostic;

use super::config::{Config, RequestsConfig, TransportConfig};
use super::settings::Settings;
use super::worker::DatagramWorker;
use crate::command_line::LoadTest;
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
    let protocol = Protocol {
        requests: &[Kind::Connect, Kind::Announce, Kind::Scrape],
        connected: "source addresses got a connection id",
        transport: "UDP",
    };
    let connections = settings.run.sources.len() as u64;
    let shared = Arc::new(settings.clone());
    lead::run(&settings.run, protocol, connections, move |part| {
        DatagramWorker::new(Arc::clone(&shared), part)?.run()
    })
}

/// `aquatic-udp-load-test`.
#[derive(Debug, Clone, Copy)]
pub struct UdpLoadTest;

impl LoadTest for UdpLoadTest {
    const NAME: &'static str = "aquatic-udp-load-test";
    const ABOUT: &'static str =
        "Load test of BitTorrent trackers over UDP (BEP 15). Only test trackers of your own.";
    type Transport = TransportConfig;
    type Requests = RequestsConfig;
    type Settings = Settings;

    fn settings(config: &Config) -> Result<Settings, Vec<Diagnostic>> {
        Settings::new(config)
    }

    fn run(settings: &Settings) -> anyhow::Result<Report> {
        run(settings)
    }
}
