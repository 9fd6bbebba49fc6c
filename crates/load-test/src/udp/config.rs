//! What the user of `aquatic-udp-load-test` wrote.
//!
//! The doc comments here are the documentation of the configuration file: its
//! default form is generated from them.

use aquatic_service::config;
use serde::{Deserialize, Serialize};

use crate::population::PopulationConfig;

/// Configuration of `aquatic-udp-load-test`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of the tracker to test. Only ever test a tracker of
    /// your own: to anybody else's, this program is an attack.
    pub server_address: String,
    /// Process id of the tracker, when it runs on this machine. The report
    /// then has its CPU time per reply and its memory. 0 leaves that out.
    pub server_pid: u32,
    /// Number of threads that send and receive. One is enough for a tracker
    /// that runs on one core.
    pub workers: usize,
    /// How long to measure, in seconds.
    pub duration_seconds: u32,
    /// How long to send requests before measuring, in seconds.
    pub warm_up_seconds: u32,
    /// Announce every peer of the population exactly once before measuring,
    /// as fast as the tracker replies.
    pub fill: bool,
    /// Write a line to standard error each second while running.
    pub progress: bool,
    /// Where requests come from and at what pace.
    pub network: NetworkConfig,
    /// The torrents and peers that announce.
    pub population: PopulationConfig,
    /// What is requested.
    pub requests: RequestsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server_address: "127.0.0.1:3000".to_owned(),
            server_pid: 0,
            workers: 1,
            duration_seconds: 10,
            warm_up_seconds: 1,
            fill: false,
            progress: true,
            network: NetworkConfig::default(),
            population: PopulationConfig::default(),
            requests: RequestsConfig::default(),
        }
    }
}

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../../udp-default.toml");
    const OLD_KEYS: &'static [&'static [config::OldKey]] = &[];
}

/// Where requests come from and at what pace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Local addresses to send from, of the same family as the server's
    /// address: single addresses ("::1") or ranges ("127.0.0.1-127.0.0.32",
    /// both ends included). Each gets a socket of its own, and a tracker takes
    /// each for another host. At least one a worker.
    pub source_addresses: Vec<String>,
    /// Requests to send each second, by all workers together. 0 sends as fast
    /// as replies come.
    pub requests_per_second: u32,
    /// Requests that each worker has under way at most (1 to 65536).
    pub outstanding_requests: usize,
    /// Requests sent from one source address before turning to the next (1 to
    /// 64). Larger batches cost this program less.
    pub batch_size: usize,
    /// A request that has no reply after this time is counted as lost, in
    /// milliseconds.
    pub timeout_milliseconds: u32,
    /// How long to look for replies again and again before going to sleep
    /// until one comes, in microseconds. A sleeping receiver has to be woken,
    /// and over loopback it is the tracker's CPU that does it. Useful when
    /// each worker has a core of its own, harmful otherwise.
    pub spin_microseconds: u32,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            source_addresses: vec!["127.0.0.1-127.0.0.32".to_owned()],
            requests_per_second: 0,
            outstanding_requests: 128,
            batch_size: 16,
            timeout_milliseconds: 1000,
            spin_microseconds: 0,
        }
    }
}

/// What is requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Share of connect requests, relative to the other two weights.
    pub connect_weight: u32,
    /// Share of announce requests.
    pub announce_weight: u32,
    /// Share of scrape requests.
    pub scrape_weight: u32,
    /// Info hashes in a scrape request (1 to 74).
    pub scrape_torrents: usize,
    /// Peers to ask for in an announce request. 0 leaves it to the tracker.
    pub peers_wanted: u32,
    /// Share of announces without an event, relative to the other event
    /// weights.
    pub event_none_weight: u32,
    /// Share of announces with the event "started".
    pub event_started_weight: u32,
    /// Share of announces with the event "completed".
    pub event_completed_weight: u32,
    /// Share of announces with the event "stopped", which make the tracker
    /// forget the peer until it announces again.
    pub event_stopped_weight: u32,
}

impl Default for RequestsConfig {
    fn default() -> Self {
        Self {
            connect_weight: 50,
            announce_weight: 50,
            scrape_weight: 1,
            scrape_torrents: 5,
            peers_wanted: 30,
            event_none_weight: 1,
            event_started_weight: 0,
            event_completed_weight: 0,
            event_stopped_weight: 0,
        }
    }
}
