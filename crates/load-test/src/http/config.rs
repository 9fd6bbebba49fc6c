//! What the user of `aquatic-http-load-test` wrote.
//!
//! The doc comments here are the documentation of the configuration file: its
//! default form is generated from them.

use aquatic_service::config;
use serde::{Deserialize, Serialize};

use crate::population::PopulationConfig;

/// Configuration of `aquatic-http-load-test`.
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
    /// Where requests come from, over which connections and at what pace.
    pub network: NetworkConfig,
    /// Encryption.
    pub tls: TlsConfig,
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
            tls: TlsConfig::default(),
            population: PopulationConfig::default(),
            requests: RequestsConfig::default(),
        }
    }
}

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../../http-default.toml");
    const OLD_KEYS: &'static [&'static [config::OldKey]] = &[];
}

/// Where requests come from, over which connections and at what pace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Local addresses to connect from, of the same family as the server's
    /// address: single addresses ("::1") or ranges ("127.0.0.1-127.0.0.32",
    /// both ends included). A tracker takes each for another host. At least
    /// one a worker.
    pub source_addresses: Vec<String>,
    /// Connections that request, dealt out to the source addresses in turn (1
    /// to 1000000). Each has one request under way at a time.
    pub connections: usize,
    /// Connections besides these that request once, when they are opened, and
    /// then stay open and silent.
    pub idle_connections: usize,
    /// Send many requests over a connection, one after the other. If not, each
    /// request opens a connection, and its latency includes that.
    pub keep_alive: bool,
    /// Requests to send each second, by all workers together. 0 sends as fast
    /// as replies come.
    pub requests_per_second: u32,
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
            connections: 64,
            idle_connections: 0,
            keep_alive: true,
            requests_per_second: 0,
            timeout_milliseconds: 5000,
            spin_microseconds: 0,
        }
    }
}

/// Encryption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Send requests over TLS (1.2 or 1.3).
    pub enable: bool,
    /// Name of the server in its certificate: a host name or an IP address.
    pub server_name: String,
    /// PEM file with the certificates of the authorities to trust. If empty,
    /// the server's certificate is not verified.
    pub ca_certificate_path: String,
    /// Resume a session of an earlier connection, as a browser would. If not,
    /// every connection begins with a full handshake, as most BitTorrent
    /// clients do.
    pub resumption: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            enable: false,
            server_name: "localhost".to_owned(),
            ca_certificate_path: String::new(),
            resumption: false,
        }
    }
}

/// What is requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Share of announce requests, relative to the share of scrape requests.
    pub announce_weight: u32,
    /// Share of scrape requests.
    pub scrape_weight: u32,
    /// Info hashes in a scrape request (1 to 100).
    pub scrape_torrents: usize,
    /// Peers to ask for in an announce request. 0 leaves it to the tracker.
    pub peers_wanted: u32,
    /// The client that requests are written like: order of the parameters,
    /// percent-encoding, and headers.
    pub client_style: ClientStyle,
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
            announce_weight: 100,
            scrape_weight: 1,
            scrape_torrents: 5,
            peers_wanted: 30,
            client_style: ClientStyle::Libtorrent,
            event_none_weight: 1,
            event_started_weight: 0,
            event_completed_weight: 0,
            event_stopped_weight: 0,
        }
    }
}

/// A client that requests are written like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ClientStyle {
    /// qBittorrent and Deluge: lower-case escapes.
    Libtorrent,
    /// Transmission: upper-case escapes, the headers of libcurl.
    Transmission,
    /// rTorrent: upper-case escapes of all but letters, digits and hyphens.
    Rtorrent,
    /// aria2: parameters in an order of its own, caching headers.
    Aria2,
    /// bittorrent-tracker of npm: the escapes of JavaScript, info hash last.
    Webtorrent,
    /// Each of these in turn.
    Mixed,
}
