//! The results, in the form of docs/benchmarks.json. The templates of the page compute what
//! follows from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// All results, which may be from different runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) others: Option<Others>,
    pub(crate) udp: Option<Udp>,
    pub(crate) http: Option<Http>,
    pub(crate) ws: Option<Ws>,
    pub(crate) swarm: Option<Swarm>,
    pub(crate) cluster: Option<Cluster>,
}

impl Results {
    fn path() -> PathBuf {
        crate::root().join("docs/benchmarks.json")
    }

    /// The committed results.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or has another format.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = Self::path();
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    /// These results, and `others` where these have none.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            others: self.others.or(others.others),
            udp: self.udp.or(others.udp),
            http: self.http.or(others.http),
            ws: self.ws.or(others.ws),
            swarm: self.swarm.or(others.swarm),
            cluster: self.cluster.or(others.cluster),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let path = Self::path();
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// How a daemon was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) machine: Machine,
    /// The profile of Cargo.toml.
    pub(crate) profile: String,
    /// Duration of each measurement of a row.
    pub(crate) seconds: u32,
    /// Number of measurements of each row, which contains the medians.
    pub(crate) runs: usize,
}

/// A load on a server, over any protocol.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The requests.
    pub(crate) load: String,
    /// The server.
    pub(crate) server: String,
    /// The name of its bar, if it has one in the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bar: Option<String>,
    /// User and system time of the server per reply.
    pub(crate) cpu_microseconds: Spread,
    /// The same per reply to an announce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_microseconds_per_announce: Option<f64>,
    /// The ratio to the CPU time per reply of other rows.
    pub(crate) ratios: BTreeMap<String, f64>,
    pub(crate) replies_per_second: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    /// Cores that the server kept busy.
    pub(crate) busy_cores: f64,
    /// Requests without a reply, in all measurements.
    pub(crate) lost: u64,
}

/// A value that was measured several times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// The results of other trackers, next to `aquatic-udp`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Others {
    pub(crate) conditions: Conditions,
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// Those of aquatic first.
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Vec<TrackerMemory>,
}

/// Resident memory of a tracker that knows all peers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TrackerMemory {
    pub(crate) server: String,
    pub(crate) version: String,
    pub(crate) bytes: u64,
    /// Times as much as that of aquatic.
    pub(crate) ratio: f64,
}

/// The results of `aquatic-udp`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Udp {
    pub(crate) conditions: Conditions,
    /// Torrents with two peers, like most, and fewer ones with replies that are nearly full.
    pub(crate) traffic: Vec<Traffic>,
    /// One worker and two.
    pub(crate) workers: Vec<Row>,
    pub(crate) memory: Vec<Memory>,
    /// `None` in results of earlier versions.
    pub(crate) fairness: Option<Fairness>,
    pub(crate) expiry: Expiry,
    pub(crate) snapshot: Snapshot,
}

/// The echo server and the daemon under the same loads, each alone on its core.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// Whether a few torrents have most of the peers.
    #[serde(default)]
    pub(crate) is_heavy_tailed: bool,
    /// Peers in a reply to an announce, on average.
    pub(crate) peers_per_announce: f64,
    /// Length of the echo server's reply to an announce: the mean length of the daemon's.
    pub(crate) reply_bytes: usize,
    /// The first is that of the echo server.
    pub(crate) rows: Vec<Row>,
}

/// Resident memory of the daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    pub(crate) whole_bytes: u64,
    /// In addition to that of the empty daemon.
    pub(crate) grown_bytes: u64,
}

/// How long a few requests waited while peers expired.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Expiry {
    pub(crate) torrents: u32,
    /// Time in which all torrents are checked once.
    pub(crate) cycle_seconds: u32,
    pub(crate) rows: Vec<Waiting>,
    /// The longest time for which the daemon removed peers without a pause.
    pub(crate) longest_step_seconds: f64,
    /// From the first possible expiry until no peer was left, or until the measurement was
    /// stopped.
    pub(crate) watched_seconds: u64,
    /// Number of torrents that were left then.
    pub(crate) torrents_left: u64,
}

/// What a client notices of a source that sends all it can.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fairness {
    /// Of the client.
    pub(crate) requests_per_second: u64,
    /// Of the other source.
    pub(crate) under_way: u32,
    pub(crate) rows: Vec<FairnessRow>,
    /// What a reply costs with a limit that nobody reaches, and without.
    pub(crate) cost: Vec<Row>,
}

/// What the client notices of it at a server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FairnessRow {
    pub(crate) server: String,
    /// The part of the client's requests that got no reply.
    pub(crate) lost_share: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    /// Replies to the other source.
    pub(crate) others_per_second: f64,
}

/// How long requests waited.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) while_what: String,
    pub(crate) p50_microseconds: f64,
    pub(crate) p999_microseconds: f64,
    pub(crate) max_microseconds: f64,
}

/// Size and times of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    pub(crate) file_bytes: u64,
    /// From the signal to the end of the process.
    pub(crate) stop_seconds: WithAndWithout,
    /// From the start of the process until it is ready.
    pub(crate) start_seconds: WithAndWithout,
    /// From the start of the process until all torrents are there; `None` in results of earlier
    /// versions, which were not ready before.
    pub(crate) restored_seconds: Option<f64>,
}

/// A value, and its baseline.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WithAndWithout {
    pub(crate) with: f64,
    pub(crate) without: f64,
}

/// The results of `aquatic-http`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Http {
    pub(crate) conditions: Conditions,
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    pub(crate) rows: Vec<Row>,
    pub(crate) idle_connections: usize,
    pub(crate) idle: Vec<IdleHttp>,
}

/// The cost of idle connections.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdleHttp {
    pub(crate) server: String,
    pub(crate) bytes_per_connection: f64,
    /// How long requests over other connections waited.
    pub(crate) p50_microseconds: WithAndWithout,
    pub(crate) p99_microseconds: WithAndWithout,
}

/// The results of `aquatic-ws`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ws {
    pub(crate) conditions: Conditions,
    pub(crate) connections: usize,
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// Offers in an announce with offers.
    pub(crate) offers: usize,
    /// Bytes of the description in an offer or an answer.
    pub(crate) description_bytes: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) idle_connections: usize,
    pub(crate) idle: Vec<IdleWs>,
    /// Memory after connections were closed, of which a number was open at the same time.
    pub(crate) passing_at_once: usize,
    pub(crate) passing: Vec<Passing>,
}

/// The cost of idle connections.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdleWs {
    pub(crate) server: String,
    /// By number of torrents that each has announced.
    pub(crate) bytes_per_connection: BTreeMap<u32, f64>,
}

/// Memory after connections were closed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Passing {
    pub(crate) server: String,
    pub(crate) connections: u64,
    /// Memory of the daemon before any connection.
    pub(crate) empty_bytes: u64,
    /// After the number that is open at the same time.
    pub(crate) some_bytes: u64,
    pub(crate) all_bytes: u64,
}

/// The results of the swarm without a daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Swarm {
    /// Known disturbances of the measurement, noted by the person who measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remark: Option<String>,
    pub(crate) machine: Machine,
    pub(crate) profile: String,
    pub(crate) torrents: u64,
    pub(crate) peers: u64,
    pub(crate) bytes: u64,
    /// An announce, processed alone.
    pub(crate) one_by_one_nanoseconds: f64,
    /// An announce, in groups of eight.
    pub(crate) in_groups_nanoseconds: f64,
    pub(crate) one_torrent: OneTorrent,
    pub(crate) steady: Vec<Steady>,
}

/// One large torrent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OneTorrent {
    pub(crate) peers: u64,
    /// An announce in a new torrent.
    pub(crate) new_nanoseconds: f64,
    /// The same after ten times as many peers were added and removed.
    pub(crate) old_nanoseconds: f64,
    pub(crate) longest_microseconds: f64,
    /// The longest insertion into one general table.
    pub(crate) table_microseconds: f64,
}

/// Lookups in a swarm with this number of torrents, some of which are replaced.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Steady {
    pub(crate) torrents: u64,
    pub(crate) come_and_gone: u64,
    pub(crate) new_present_nanoseconds: f64,
    pub(crate) old_present_nanoseconds: f64,
    pub(crate) new_absent_nanoseconds: f64,
    pub(crate) old_absent_nanoseconds: f64,
    pub(crate) longest_microseconds: f64,
    /// Slots of tables per torrent.
    pub(crate) places: f64,
}

/// The results of several daemons with one swarm.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) conditions: Conditions,
    /// The engine, such as `Redis 7.0.15`; none if none was installed.
    pub(crate) engine: Option<String>,
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// One node under load, alone and with others.
    pub(crate) rows: Vec<Row>,
    /// Extrapolation to many nodes, for each load; empty without an engine.
    pub(crate) capacities: Vec<Capacity>,
    pub(crate) per_record: Vec<PerRecord>,
    pub(crate) visible: Vec<Visible>,
    pub(crate) joining: Option<Joining>,
    pub(crate) killing: Option<Killing>,
}

/// The capacity of many nodes with equal load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Capacity {
    pub(crate) load: String,
    /// CPU time per reply of a node that is the only one of its cluster, relative to one
    /// without a cluster.
    pub(crate) shared: f64,
    /// The addition by each other node.
    pub(crate) another: f64,
}

impl Capacity {
    /// Capacity of this number of nodes, relative to one without a cluster.
    pub(crate) fn served(&self, nodes: u32) -> f64 {
        let nodes = f64::from(nodes);
        nodes / (self.shared + self.another * (nodes - 1.0))
    }
}

/// CPU time of a thread per change of a peer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PerRecord {
    pub(crate) what: String,
    pub(crate) records_per_second: f64,
    pub(crate) cpu_nanoseconds: f64,
}

/// The time from an announce of a new torrent until another node knew of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Visible {
    pub(crate) over: String,
    /// Rate of other announces to the same node.
    pub(crate) announces_per_second: u32,
    /// Torrents that were looked up.
    pub(crate) samples: usize,
    pub(crate) p50_milliseconds: f64,
    pub(crate) p99_milliseconds: f64,
    pub(crate) max_milliseconds: f64,
}

/// A node that starts where all peers are in the stream.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Joining {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// From the start of the process until it had all peers.
    pub(crate) complete_seconds: Spread,
    /// Until it answered.
    pub(crate) ready_seconds: f64,
    /// Rate of requests to it from then on.
    pub(crate) requests_per_second: u32,
    pub(crate) p50_milliseconds: f64,
    /// The longest time without a reply, over all measurements.
    pub(crate) longest_milliseconds: f64,
}

/// A node that is killed while it serves clients.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Killing {
    pub(crate) requests_per_second: u32,
    /// Number of torrents, with two clients each.
    pub(crate) torrents: u32,
    /// Time until another node had sent a peer of each torrent to the other one.
    pub(crate) seconds: Spread,
    /// Maximum number of torrents of which it had no other peer at the first announce.
    pub(crate) unknown: usize,
}
