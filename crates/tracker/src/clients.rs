//! Announces and peers by client software, which is optional.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aquatic_bittorrent::PeerId;
use aquatic_bittorrent::client::{Client, PeerIdPrefix, peer_id_prefix};
use aquatic_service::config::MetricsConfig;
use aquatic_service::metrics::{Metric, Metrics, Table};

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

/// Maximum number of clients that the status page lists.
const TABLE_ROWS: usize = 30;

/// The counts of all workers.
#[derive(Default)]
pub struct Clients {
    workers: Vec<Arc<ClientCounts>>,
}

/// Counts of one worker.
#[derive(Default)]
pub struct ClientCounts {
    clients: Mutex<Tally<Option<Client>>>,
    prefixes: Mutex<Tally<PeerIdPrefix>>,
    /// Current peers, if the daemon knows when they leave.
    peers: Mutex<Tally<Option<Client>>>,
}

/// Occurrences of a bounded number of names.
#[derive(Clone)]
struct Tally<T> {
    counts: HashMap<T, u64>,
    other: u64,
}

impl Clients {
    /// The counters of a further worker.
    pub fn add_worker(&mut self) -> Arc<ClientCounts> {
        let counts = Arc::<ClientCounts>::default();
        self.workers.push(Arc::clone(&counts));
        counts
    }

    /// Adds the counts of all workers, as far as the configuration asks for them.
    pub fn add_metrics(&self, config: &MetricsConfig, metrics: &mut Metrics) {
        if config.peer_clients {
            for (client, count) in self.sum(|worker| &worker.clients, name) {
                metrics.add(&ANNOUNCES, &[&client], count);
            }
            for (client, count) in self.sum(|worker| &worker.peers, name) {
                metrics.add(&PEERS, &[&client], count);
            }
        }
        if config.peer_id_prefixes {
            for (prefix, count) in self.sum(|worker| &worker.prefixes, ToString::to_string) {
                metrics.add(&PREFIX_ANNOUNCES, &[&prefix], count);
            }
        }
    }

    /// The most frequent clients, for the status page; `None` if they are not counted.
    pub(crate) fn table(&self, config: &MetricsConfig) -> Option<Table> {
        if !config.peer_clients {
            return None;
        }
        let peers = self.sum(|worker| &worker.peers, name);
        let mut clients: Vec<(String, u64)> = self
            .sum(|worker| &worker.clients, name)
            .into_iter()
            .collect();
        clients.sort_by_key(|(_, announces)| Reverse(*announces));
        let count = clients.len();
        let caption = match count {
            0 => "No client has announced yet.".to_owned(),
            _ if count > TABLE_ROWS => format!(
                "Announces since the start, by client software as identified by the peer id: the \
                 {TABLE_ROWS} most frequent of {count}."
            ),
            _ => "Announces since the start, by client software as identified by the peer id."
                .to_owned(),
        };
        clients.truncate(TABLE_ROWS);
        // Only some daemons know how many peers there are.
        let columns: &[&str] = match peers.is_empty() {
            true => &["Client", "Announces"],
            false => &["Client", "Announces", "Peers"],
        };
        let row = |(client, announces): (String, u64)| {
            let peers = peers.get(&client).copied().unwrap_or(0).to_string();
            let mut row = vec![client, announces.to_string(), peers];
            row.truncate(columns.len());
            row
        };
        Some(Table {
            title: "Client software",
            caption,
            columns,
            rows: clients.into_iter().map(row).collect(),
            is_code: false,
        })
    }

    /// The sums over all workers, by name.
    fn sum<T: Hash + Eq + Clone>(
        &self,
        tally: impl Fn(&ClientCounts) -> &Mutex<Tally<T>>,
        name: impl Fn(&T) -> String,
    ) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for worker in &self.workers {
            // Announces wait for this lock: it is held for a copy only.
            let tally = locked(tally(worker)).clone();
            tally.add_to(&mut sums, &name);
        }
        sums
    }
}

fn name(client: &Option<Client>) -> String {
    match client {
        Some(client) => client.to_string(),
        None => "unknown".to_owned(),
    }
}

impl ClientCounts {
    /// Counts a new peer.
    pub fn peer_came(&self, peer_id: &PeerId) {
        locked(&self.peers).add(Client::identify(peer_id));
    }

    /// Counts a peer that has left, and whose coming was counted.
    pub fn peer_went(&self, peer_id: &PeerId) {
        locked(&self.peers).remove(&Client::identify(peer_id));
    }

    /// Number of peers that came and did not leave.
    pub fn peers(&self) -> u64 {
        let peers = locked(&self.peers);
        peers.counts.values().sum::<u64>() + peers.other
    }

    /// Counts one announce by client software and version, by the start of the peer id, by
    /// both or by none.
    #[inline]
    pub fn count(&self, config: &MetricsConfig, peer_id: &PeerId) {
        // Nothing else locks these but what reads metrics, for a moment.
        if config.peer_clients {
            locked(&self.clients).add(Client::identify(peer_id));
        }
        if config.peer_id_prefixes {
            locked(&self.prefixes).add(peer_id_prefix(peer_id));
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

    fn config(peer_clients: bool, peer_id_prefixes: bool) -> MetricsConfig {
        MetricsConfig {
            peer_clients,
            peer_id_prefixes,
            ..MetricsConfig::default()
        }
    }

    fn text(clients: &Clients, config: &MetricsConfig) -> String {
        let mut metrics = Metrics::new("aquatic-test");
        clients.add_metrics(config, &mut metrics);
        metrics.to_text(TextFormat::Prometheus)
    }

    #[test]
    fn counts_over_all_workers() {
        let mut clients = Clients::default();
        let config = config(true, true);
        for _ in 0..2 {
            let worker = clients.add_worker();
            worker.count(&config, &peer_id(b"-TR4060-"));
        }
        let text = text(&clients, &config);
        let line = r#"aquatic_test_client_announces_total{client="Transmission 4.0.6"} 2"#;
        assert!(text.contains(line), "{text}");
        let line = r#"aquatic_test_peer_id_prefix_announces_total{prefix="-TR4060-"} 2"#;
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("client_peers"), "{text}");
    }

    #[test]
    fn nothing_is_counted_that_nobody_wants_to_know() {
        let mut clients = Clients::default();
        let (both, none) = (config(true, true), config(false, false));
        let worker = clients.add_worker();
        worker.count(&none, &peer_id(b"-TR4060-"));
        assert_eq!(text(&clients, &both), text(&Clients::default(), &none));
        worker.count(&both, &peer_id(b"-TR4060-"));
        assert_eq!(text(&clients, &none), text(&Clients::default(), &none));
        let text = text(&clients, &config(true, false));
        assert!(text.contains("client_announces_total{"), "{text}");
        assert!(!text.contains("prefix"), "{text}");
    }

    #[test]
    fn peers_come_and_go() {
        let mut clients = Clients::default();
        let counts = clients.add_worker();
        for _ in 0..3 {
            counts.peer_came(&peer_id(b"-WW0208-"));
        }
        counts.peer_came(&peer_id(b"-TR4060-"));
        counts.peer_went(&peer_id(b"-TR4060-"));
        counts.peer_went(&peer_id(b"-WW0208-"));
        let text = text(&clients, &config(true, false));
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
    fn the_status_page_lists_the_most_frequent() {
        let mut clients = Clients::default();
        let config = config(true, false);
        let counts = clients.add_worker();
        for number in 0..99 {
            for _ in 0..=number {
                counts.count(&config, &peer_id(format!("-TR4{number:02}0-").as_bytes()));
            }
        }
        let table = clients.table(&config).unwrap();
        assert_eq!(table.columns, ["Client", "Announces"]);
        counts.peer_came(&peer_id(b"-TR4980-"));
        let table = clients.table(&config).unwrap();
        assert_eq!(table.rows.len(), TABLE_ROWS);
        assert_eq!(table.rows[0][1..], ["99", "1"]);
        assert_eq!(table.rows[1][1..], ["98", "0"]);
        assert!(table.caption.contains("30 most frequent of "));
        let table = Clients::default().table(&config).unwrap();
        assert_eq!(table.rows.len(), 0);
        assert!(clients.table(&MetricsConfig::default()).is_none());
    }

    #[test]
    fn invented_names_are_bounded() {
        let mut clients = Clients::default();
        let config = config(false, true);
        let counts = clients.add_worker();
        for number in 0..MAX_NAMES + 500 {
            counts.count(&config, &peer_id(format!("{number:08}").as_bytes()));
        }
        let text = text(&clients, &config);
        assert!(text.contains(r#"{prefix="other"} 500"#), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.ends_with("} 1")).count(),
            MAX_NAMES
        );
    }
}
