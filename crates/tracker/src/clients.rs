//! Announces and peers by client software, which is optional.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aquatic_bittorrent::PeerId;
use aquatic_bittorrent::client::{Client, PeerIdPrefix, peer_id_prefix};
use aquatic_service::metrics::{Metric, Metrics};

const ANNOUNCES: Metric = Metric::counter(
    "client_announces_total",
    "Announces, by client software as identified by the peer id",
)
.labelled(&["client"]);
const PEERS: Metric = Metric::gauge(
    "client_peers",
    "Peers of open connections, by client software as identified by the peer id",
)
.labelled(&["client"]);
const PREFIX_ANNOUNCES: Metric = Metric::counter(
    "peer_id_prefix_announces_total",
    "Announces, by peer id prefix",
)
.labelled(&["prefix"]);

/// The metrics of client software.
pub const CLIENT_METRICS: &[Metric] = &[ANNOUNCES, PREFIX_ANNOUNCES];

/// As [`CLIENT_METRICS`], of a daemon that knows when peers leave.
pub const CLIENT_METRICS_WITH_PEERS: &[Metric] = &[ANNOUNCES, PEERS, PREFIX_ANNOUNCES];

/// Maximum number of distinct names; peer ids can be invented, so further ones count as
/// "other".
const MAX_NAMES: usize = 1_000;

/// What is counted, and the counts of all workers.
pub struct Clients {
    by_client: bool,
    by_prefix: bool,
    with_peers: bool,
    workers: Vec<Arc<ClientCounts>>,
}

/// Counts of one worker.
pub struct ClientCounts {
    clients: Option<Mutex<Tally<Option<Client>>>>,
    prefixes: Option<Mutex<Tally<PeerIdPrefix>>>,
    /// Current peers, if the daemon knows when they leave.
    peers: Option<Mutex<Tally<Option<Client>>>>,
}

/// Occurrences of a bounded number of names.
struct Tally<T> {
    counts: HashMap<T, u64>,
    other: u64,
}

impl Clients {
    /// Counts announces by client software and version, by the start of the peer
    /// id, by both or by none.
    pub fn new(by_client: bool, by_prefix: bool) -> Self {
        Self {
            by_client,
            by_prefix,
            with_peers: false,
            workers: Vec::new(),
        }
    }

    /// As [`new`](Self::new), for a daemon that knows when peers leave: with
    /// `by_client`, current peers are counted, too.
    pub fn with_peers(by_client: bool, by_prefix: bool) -> Self {
        Self {
            with_peers: by_client,
            ..Self::new(by_client, by_prefix)
        }
    }

    /// The counters of a further worker; `None` if nothing is to be counted.
    pub fn add_worker(&mut self) -> Option<Arc<ClientCounts>> {
        if !self.by_client && !self.by_prefix {
            return None;
        }
        let counts = Arc::new(ClientCounts {
            clients: self.by_client.then(Mutex::default),
            prefixes: self.by_prefix.then(Mutex::default),
            peers: self.with_peers.then(Mutex::default),
        });
        self.workers.push(Arc::clone(&counts));
        Some(counts)
    }

    /// Adds the counts of all workers.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        let mut clients = BTreeMap::<String, u64>::new();
        let mut prefixes = BTreeMap::<String, u64>::new();
        let mut peers = BTreeMap::<String, u64>::new();
        let name = |client: &Option<Client>| match client {
            Some(client) => client.to_string(),
            None => "unknown".to_owned(),
        };
        for worker in &self.workers {
            if let Some(tally) = &worker.clients {
                locked(tally).add_to(&mut clients, name);
            }
            if let Some(tally) = &worker.peers {
                locked(tally).add_to(&mut peers, name);
            }
            if let Some(tally) = &worker.prefixes {
                locked(tally).add_to(&mut prefixes, ToString::to_string);
            }
        }
        for (client, count) in clients {
            metrics.add(&ANNOUNCES, &[&client], count);
        }
        for (client, count) in peers {
            metrics.add(&PEERS, &[&client], count);
        }
        for (prefix, count) in prefixes {
            metrics.add(&PREFIX_ANNOUNCES, &[&prefix], count);
        }
    }
}

impl ClientCounts {
    /// Counts a new peer.
    pub fn peer_came(&self, peer_id: &PeerId) {
        if let Some(peers) = &self.peers {
            locked(peers).add(Client::identify(peer_id));
        }
    }

    /// Counts a peer that has left.
    pub fn peer_went(&self, peer_id: &PeerId) {
        if let Some(peers) = &self.peers {
            locked(peers).remove(&Client::identify(peer_id));
        }
    }

    /// Counts one announce.
    pub fn count(&self, peer_id: &PeerId) {
        // Nothing else locks this but the metrics page.
        if let Some(clients) = &self.clients {
            locked(clients).add(Client::identify(peer_id));
        }
        if let Some(prefixes) = &self.prefixes {
            locked(prefixes).add(peer_id_prefix(peer_id));
        }
    }
}

impl<T: Hash + Eq> Tally<T> {
    fn add(&mut self, item: T) {
        let is_full = self.counts.len() >= MAX_NAMES;
        match self.counts.entry(item) {
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            Entry::Vacant(_) if is_full => self.other += 1,
            Entry::Vacant(entry) => {
                entry.insert(1);
            }
        }
    }

    fn remove(&mut self, item: &T) {
        match self.counts.get_mut(item) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.counts.remove(item);
            }
            None => self.other = self.other.saturating_sub(1),
        }
    }

    fn add_to(&self, sums: &mut BTreeMap<String, u64>, name: impl Fn(&T) -> String) {
        for (item, count) in &self.counts {
            *sums.entry(name(item)).or_default() += count;
        }
        if self.other > 0 {
            *sums.entry("other".to_owned()).or_default() += self.other;
        }
    }
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self {
            counts: HashMap::new(),
            other: 0,
        }
    }
}

fn locked<T>(tally: &Mutex<Tally<T>>) -> MutexGuard<'_, Tally<T>> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use aquatic_service::metrics::TextFormat;

    use super::*;

    fn peer_id(start: &[u8]) -> PeerId {
        let mut bytes = [b'x'; 20];
        bytes[..start.len()].copy_from_slice(start);
        PeerId(bytes)
    }

    fn text(clients: &Clients) -> String {
        let mut metrics = Metrics::new("aquatic-test");
        clients.add_metrics(&mut metrics);
        metrics.to_text(TextFormat::Prometheus)
    }

    #[test]
    fn counts_over_all_workers() {
        let mut clients = Clients::new(true, true);
        for _ in 0..2 {
            let worker = clients.add_worker().unwrap();
            worker.count(&peer_id(b"-TR4060-"));
            worker.peer_came(&peer_id(b"-TR4060-"));
        }
        let text = text(&clients);
        let line = r#"aquatic_test_client_announces_total{client="Transmission 4.0.6"} 2"#;
        assert!(text.contains(line), "{text}");
        let line = r#"aquatic_test_peer_id_prefix_announces_total{prefix="-TR4060-"} 2"#;
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("client_peers"), "{text}");
    }

    #[test]
    fn nothing_is_counted_that_nobody_wants_to_know() {
        assert!(Clients::new(false, false).add_worker().is_none());
        assert!(Clients::with_peers(false, false).add_worker().is_none());
    }

    #[test]
    fn peers_come_and_go() {
        let mut clients = Clients::with_peers(true, false);
        let counts = clients.add_worker().unwrap();
        for _ in 0..3 {
            counts.peer_came(&peer_id(b"-WW0208-"));
        }
        counts.peer_came(&peer_id(b"-TR4060-"));
        counts.peer_went(&peer_id(b"-TR4060-"));
        counts.peer_went(&peer_id(b"-WW0208-"));
        let text = text(&clients);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("aquatic_test_client_peers{"))
            .collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(
            lines[0].contains("WebTorrent") && lines[0].ends_with(" 2"),
            "{text}"
        );
    }

    #[test]
    fn invented_names_are_bounded() {
        let mut clients = Clients::new(false, true);
        let counts = clients.add_worker().unwrap();
        for number in 0..MAX_NAMES + 500 {
            counts.count(&peer_id(format!("{number:08}").as_bytes()));
        }
        let text = text(&clients);
        assert!(text.contains(r#"{prefix="other"} 500"#), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.ends_with("} 1")).count(),
            MAX_NAMES
        );
    }
}
