//! What the user of a load test wrote, as far as it is the same for all of
//! them.
//!
//! The doc comments here are the documentation of the configuration files:
//! their default forms are generated from them.

use serde::{Deserialize, Serialize};

use crate::population::PopulationConfig;

/// Configuration of a load test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(bound = "Transport: Section, Requests: Section + DefaultPort")
)]
#[serde(
    default,
    deny_unknown_fields,
    bound(deserialize = "Transport: Deserialize<'de> + Default, \
                         Requests: Deserialize<'de> + Default + DefaultPort")
)]
pub struct Config<Transport, Requests> {
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
    /// How requests travel.
    pub transport: Transport,
    /// The torrents and peers that announce.
    pub population: PopulationConfig,
    /// What is requested.
    pub requests: Requests,
    /// Events of announces, each with its share relative to the others.
    pub events: EventsConfig,
}

/// What is requested, of a daemon that has a port by default.
pub trait DefaultPort {
    /// The port.
    const PORT: u16;
}

impl<Transport: Default, Requests: Default + DefaultPort> Default for Config<Transport, Requests> {
    fn default() -> Self {
        Self {
            server_address: format!("127.0.0.1:{}", Requests::PORT),
            server_pid: 0,
            workers: 1,
            duration_seconds: 10,
            warm_up_seconds: 1,
            fill: false,
            progress: true,
            network: NetworkConfig::default(),
            transport: Transport::default(),
            population: PopulationConfig::default(),
            requests: Requests::default(),
            events: EventsConfig::default(),
        }
    }
}

/// What a section has to be for its schema.
#[cfg(feature = "schema")]
trait Section: schemars::JsonSchema + Serialize + Default {}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema + Serialize + Default> Section for T {}

/// Where requests come from and at what pace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Local addresses to send from, of the same family as the server's
    /// address: single addresses ("::1") or ranges ("127.0.0.1-127.0.0.32",
    /// both ends included). A tracker takes each for another host. At least
    /// one a worker.
    pub source_addresses: Vec<String>,
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
            requests_per_second: 0,
            timeout_milliseconds: 5000,
            spin_microseconds: 0,
        }
    }
}

/// Events of announces, each with its share relative to the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Announces without an event.
    pub none: u32,
    /// Those with the event "started".
    pub started: u32,
    /// Those with the event "completed".
    pub completed: u32,
    /// Those with the event "stopped", which make the tracker forget the peer
    /// until it announces again.
    pub stopped: u32,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            none: 1,
            started: 0,
            completed: 0,
            stopped: 0,
        }
    }
}

/// The keys that are at fault after a change to the default configuration.
#[cfg(test)]
pub(crate) fn faults<C: Default, S>(
    settings: fn(&C) -> Result<S, Vec<aquatic_service::config::Diagnostic>>,
    change: impl FnOnce(&mut C),
) -> Vec<String> {
    let mut config = C::default();
    change(&mut config);
    match settings(&config) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().filter_map(|error| error.key).collect(),
    }
}
