//! The configuration of load tests, as far as it is the same for all of them.
//!
//! The doc comments here are the documentation of the configuration files, and their
//! default versions are generated from them.

use aquatic_service::config::numbers::{Count, Microseconds, Milliseconds, Seconds, ZeroOr};
use serde::{Deserialize, Serialize};

use crate::population::PopulationConfig;

/// Process id of the tracker.
pub(crate) type ProcessId = Count<1, { u32::MAX as u64 }>;
/// Number of threads.
pub(crate) type Workers = Count<1, 1024>;
/// Duration of the measurement: up to a day.
pub(crate) type Duration = Seconds<1, 86_400>;
/// Requests per second; 0 for no limit.
pub(crate) type Rate = ZeroOr<Count<1, { u32::MAX as u64 }>>;
/// Number of peers to request; 0 for the tracker's default.
pub(crate) type PeersWanted = ZeroOr<Count<1, { u32::MAX as u64 }>>;

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
    /// IP address and port of the tracker to test. Only test trackers of your
    /// own: to anyone else's, this program is an attack.
    pub server_address: String,
    /// Process id of the tracker, if it runs on this machine. The report then
    /// includes its CPU time per reply and its memory use. 0: leave these out.
    pub server_pid: ZeroOr<ProcessId>,
    /// Number of threads that send requests and receive replies. One is enough
    /// for a tracker that runs on one core.
    pub workers: Workers,
    /// Duration of the measurement, in seconds.
    pub duration_seconds: Duration,
    /// Duration of the warm-up before the measurement, in seconds.
    pub warm_up_seconds: Seconds<0, 86_400>,
    /// Whether to announce every peer of the population exactly once before the
    /// measurement, as fast as the tracker replies.
    pub fill: bool,
    /// Whether to show the progress on standard error: a bar on a terminal,
    /// otherwise a line every second.
    pub progress: bool,
    /// Source addresses and rate of requests.
    pub network: NetworkConfig,
    /// Transport of requests.
    pub transport: Transport,
    /// Simulated torrents and peers.
    pub population: PopulationConfig,
    /// Kinds and contents of requests.
    pub requests: Requests,
    /// Events of announces, as relative weights.
    pub events: EventsConfig,
}

/// The requests of a protocol, whose daemon has a default port.
pub trait DefaultPort {
    /// The port.
    const PORT: u16;
}

impl<Transport: Default, Requests: Default + DefaultPort> Default for Config<Transport, Requests> {
    fn default() -> Self {
        Self {
            server_address: format!("127.0.0.1:{}", Requests::PORT),
            server_pid: ZeroOr::ZERO,
            workers: Count::of::<1>(),
            duration_seconds: Seconds::of::<10>(),
            warm_up_seconds: Seconds::of::<1>(),
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

/// Requirements of a section for the schema.
#[cfg(feature = "schema")]
trait Section: schemars::JsonSchema + Serialize + Default {}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema + Serialize + Default> Section for T {}

/// Source addresses and rate of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Local IP addresses to send from, of the same address family as the
    /// server's address: single addresses ("::1") or ranges
    /// ("127.0.0.1-127.0.0.32", both ends included). The tracker sees each as a
    /// different host. At least one per worker.
    pub source_addresses: Vec<String>,
    /// Requests per second, over all workers. 0: as fast as replies arrive.
    pub requests_per_second: Rate,
    /// Time after which a request without a reply counts as lost, in
    /// milliseconds.
    pub timeout_milliseconds: Milliseconds<1, 60_000>,
    /// How long to poll for replies before blocking until one arrives, in
    /// microseconds. Waking up a blocked receiver costs CPU time, over loopback
    /// that of the tracker. Useful if each worker has a CPU core of its own,
    /// harmful otherwise.
    pub spin_microseconds: Microseconds<0, 1_000_000>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            source_addresses: vec!["127.0.0.1-127.0.0.32".to_owned()],
            requests_per_second: ZeroOr::ZERO,
            timeout_milliseconds: Milliseconds::of::<5_000>(),
            spin_microseconds: Microseconds::of::<0>(),
        }
    }
}

/// Events of announces, as relative weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Weight of announces without an event.
    pub none: u32,
    /// Weight of announces with the event "started".
    pub started: u32,
    /// Weight of announces with the event "completed".
    pub completed: u32,
    /// Weight of announces with the event "stopped", which make the tracker
    /// forget the peer until it announces again.
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

/// The keys with errors after a change to the default configuration.
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
