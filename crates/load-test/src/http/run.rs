//! Runs the load test over HTTP.

use std::sync::Arc;

use aquatic_service::config::Diagnostic;

use super::config::{Config, RequestsConfig};
use super::dialogue::Dialogue;
use super::settings::Settings;
use crate::command_line::LoadTest;
use crate::counters::Kind;
use crate::report::Report;
use crate::stream::{self, TransportConfig};

/// Tests a tracker until the configured time has passed.
///
/// # Errors
///
/// If the tracker does not answer, or no longer answers, or the machine's limits of sockets
/// or threads are reached.
pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let kinds = &[Kind::Announce, Kind::Scrape];
    let shared = Arc::new(settings.clone());
    stream::run(&settings.run, &settings.transport, kinds, move |part| {
        Dialogue::new(Arc::clone(&shared), part)
    })
}

/// `aquatic-http-load-test`.
#[derive(Debug, Clone, Copy)]
pub struct HttpLoadTest;

impl LoadTest for HttpLoadTest {
    const NAME: &'static str = "aquatic-http-load-test";
    const ABOUT: &'static str = "Load test of BitTorrent trackers over HTTP and HTTPS (BEP 3). \
                                 Only test trackers of your own.";
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
