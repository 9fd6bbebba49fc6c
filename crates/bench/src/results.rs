//! What was measured, as docs/benchmarks.json has it. What follows from it is
//! worked out by the templates of the page.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Everything that was measured, whenever that was.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
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

    /// Those that are committed.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not what is written now.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = Self::path();
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    /// These, and `others` where there are none.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
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
    /// How long each row was measured each time.
    pub(crate) seconds: u32,
    /// How often it was measured; what a row has are the medians.
    pub(crate) runs: usize,
}

/// A load on a server, over any protocol.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was requested.
    pub(crate) load: String,
    /// What answered.
    pub(crate) server: String,
    /// The name of its bar, where the picture has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bar: Option<String>,
    /// User and system time of the server over replies.
    pub(crate) cpu_microseconds: Spread,
    /// The same over replies to announces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_microseconds_per_announce: Option<f64>,
    /// How many times the CPU time per reply of other rows that is.
    pub(crate) ratios: BTreeMap<String, f64>,
    pub(crate) replies_per_second: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    /// Cores that the server kept busy.
    pub(crate) busy_cores: f64,
    /// Requests without a reply, in all measurements together.
    pub(crate) lost: u64,
}

/// A value that was measured several times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// What was measured of `aquatic-udp`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Udp {
    pub(crate) conditions: Conditions,
    /// Torrents of two peers, as most have, and so few that replies are nearly full.
    pub(crate) traffic: Vec<Traffic>,
    /// One worker and two.
    pub(crate) workers: Vec<Row>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) expiry: Expiry,
    pub(crate) snapshot: Snapshot,
}

/// The echo server and the daemon under the same loads, each alone on its core.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// Peers in a reply to an announce, on average.
    pub(crate) peers_per_announce: f64,
    /// Bytes with which the echo server answers an announce: as many as the daemon
    /// does on average.
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
    /// Beyond that of the empty daemon.
    pub(crate) grown_bytes: u64,
}

/// How long a few requests waited while peers expired.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Expiry {
    pub(crate) torrents: u32,
    /// Time in which all torrents are gone through once.
    pub(crate) cycle_seconds: u32,
    pub(crate) rows: Vec<Waiting>,
    /// The longest time for which the daemon forgot peers in one go.
    pub(crate) longest_step_seconds: f64,
    /// From when the first peer could expire until none was left, or until the
    /// measurement was given up.
    pub(crate) watched_seconds: u64,
    /// Torrents that were left then.
    pub(crate) torrents_left: u64,
}

/// How long requests waited.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) while_what: String,
    pub(crate) p50_microseconds: f64,
    pub(crate) p999_microseconds: f64,
    pub(crate) max_microseconds: f64,
}

/// What a snapshot takes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    pub(crate) file_bytes: u64,
    /// From the signal to the end of the process.
    pub(crate) stop_seconds: WithAndWithout,
    /// From the start of the process until it is ready.
    pub(crate) start_seconds: WithAndWithout,
}

/// A value, and the one that it would be without what it is about.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WithAndWithout {
    pub(crate) with: f64,
    pub(crate) without: f64,
}

/// What was measured of `aquatic-http`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Http {
    pub(crate) conditions: Conditions,
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    pub(crate) rows: Vec<Row>,
    pub(crate) idle_connections: usize,
    pub(crate) idle: Vec<IdleHttp>,
}

/// What connections cost that do nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdleHttp {
    pub(crate) server: String,
    pub(crate) bytes_per_connection: f64,
    /// How long requests over other connections waited.
    pub(crate) p50_microseconds: WithAndWithout,
    pub(crate) p99_microseconds: WithAndWithout,
}

/// What was measured of `aquatic-ws`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ws {
    pub(crate) conditions: Conditions,
    pub(crate) connections: usize,
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// Offers in an announce that has some.
    pub(crate) offers: usize,
    /// Bytes of the description in an offer or an answer.
    pub(crate) description_bytes: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) idle_connections: usize,
    pub(crate) idle: Vec<IdleWs>,
    /// Connections that come and go, how many of them are open at the same time.
    pub(crate) passing_at_once: usize,
    pub(crate) passing: Vec<Passing>,
}

/// What connections cost that do nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdleWs {
    pub(crate) server: String,
    /// By how many torrents each has announced.
    pub(crate) bytes_per_connection: BTreeMap<u32, f64>,
}

/// What is left of connections that have come and gone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Passing {
    pub(crate) server: String,
    pub(crate) connections: u64,
    /// Memory of the daemon before any connection.
    pub(crate) empty_bytes: u64,
    /// After as many as are open at the same time.
    pub(crate) some_bytes: u64,
    pub(crate) all_bytes: u64,
}

/// What was measured of torrents and peers alone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Swarm {
    /// Known disturbances of the measurement, as a remark by the person who measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remark: Option<String>,
    pub(crate) machine: Machine,
    pub(crate) profile: String,
    pub(crate) torrents: u64,
    pub(crate) peers: u64,
    pub(crate) bytes: u64,
    /// An announce, one by one.
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
    /// An announce in a new one.
    pub(crate) new_nanoseconds: f64,
    /// The same after ten times as many peers have come and gone.
    pub(crate) old_nanoseconds: f64,
    pub(crate) longest_microseconds: f64,
    /// The longest insertion into one general table.
    pub(crate) table_microseconds: f64,
}

/// Look-ups in a swarm of so many torrents, of which some come and go.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Steady {
    pub(crate) torrents: u64,
    pub(crate) come_and_gone: u64,
    pub(crate) new_present_nanoseconds: f64,
    pub(crate) old_present_nanoseconds: f64,
    pub(crate) new_absent_nanoseconds: f64,
    pub(crate) old_absent_nanoseconds: f64,
    pub(crate) longest_microseconds: f64,
    /// Places in tables over torrents.
    pub(crate) places: f64,
}

/// What was measured of several daemons with one swarm.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) conditions: Conditions,
    /// Through what they shared it, `Redis 7.0.15`; none if none was installed.
    pub(crate) engine: Option<String>,
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// One node under load, alone and with others.
    pub(crate) rows: Vec<Row>,
    /// What follows for many nodes, for each load; nothing without an engine.
    pub(crate) capacities: Vec<Capacity>,
    pub(crate) per_record: Vec<PerRecord>,
    pub(crate) visible: Vec<Visible>,
    pub(crate) joining: Option<Joining>,
    pub(crate) killing: Option<Killing>,
}

/// What many nodes serve, all equally busy with one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Capacity {
    pub(crate) load: String,
    /// CPU time per reply of a node that shares its swarm with nobody else yet, relative to
    /// one that is alone.
    pub(crate) shared: f64,
    /// What each other node adds to that.
    pub(crate) another: f64,
}

impl Capacity {
    /// Requests that so many nodes serve, relative to one that is alone.
    pub(crate) fn served(&self, nodes: u32) -> f64 {
        let nodes = f64::from(nodes);
        nodes / (self.shared + self.another * (nodes - 1.0))
    }
}

/// What a thread spends on a change of a peer.
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
    /// Other announces, at the same node.
    pub(crate) announces_per_second: u32,
    /// Torrents that were looked for.
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
    /// How much it was asked from then on.
    pub(crate) requests_per_second: u32,
    pub(crate) p50_milliseconds: f64,
    /// The longest time without an answer, of all times that one joined.
    pub(crate) longest_milliseconds: f64,
}

/// A node that is killed while clients ask it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Killing {
    pub(crate) requests_per_second: u32,
    /// Of two clients each.
    pub(crate) torrents: u32,
    /// Until another node had answered somebody of each torrent with the other one.
    pub(crate) seconds: Spread,
    /// Torrents of which it knew nobody when it was asked first, at most.
    pub(crate) unknown: usize,
}
