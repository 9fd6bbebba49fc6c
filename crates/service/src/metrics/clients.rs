//! Announces and peers by client software, for those who want to know.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::metrics::Figures;
use aquatic_bittorrent::PeerId;
use aquatic_bittorrent::client::{Client, PeerIdPrefix, peer_id_prefix};

/// The most names that are told apart; peer ids can be made up at will, and
/// what comes beyond counts as "other".
const MAX_NAMES: usize = 1_000;

/// Counts of one worker.
#[derive(Default)]
pub struct ClientCounts {
    clients: Option<Mutex<Tally<Option<Client>>>>,
    prefixes: Option<Mutex<Tally<PeerIdPrefix>>>,
    /// Peers that are there, where a daemon knows when they go.
    peers: Option<Mutex<Tally<Option<Client>>>>,
}

/// How often each of a bounded number of things was seen.
struct Tally<T> {
    counts: HashMap<T, u64>,
    other: u64,
}

impl ClientCounts {
    /// Counts by client software and version, by the start of the peer id, or
    /// both.
    pub fn new(by_client: bool, by_prefix: bool) -> Self {
        Self {
            clients: by_client.then(Mutex::default),
            prefixes: by_prefix.then(Mutex::default),
            peers: None,
        }
    }

    /// As [`new`](Self::new); with `by_client`, peers are counted, too.
    pub fn with_peers(by_client: bool, by_prefix: bool) -> Self {
        Self {
            peers: by_client.then(Mutex::default),
            ..Self::new(by_client, by_prefix)
        }
    }

    /// Counts a peer that has come.
    pub fn peer_came(&self, peer_id: &PeerId) {
        if let Some(peers) = &self.peers {
            locked(peers).add(Client::identify(peer_id));
        }
    }

    /// Counts a peer that has gone, after it had come.
    pub fn peer_went(&self, peer_id: &PeerId) {
        if let Some(peers) = &self.peers {
            locked(peers).remove(&Client::identify(peer_id));
        }
    }

    /// Counts one announce.
    pub fn count(&self, peer_id: &PeerId) {
        // The metrics page is the only other one to lock.
        if let Some(clients) = &self.clients {
            locked(clients).add(Client::identify(peer_id));
        }
        if let Some(prefixes) = &self.prefixes {
            locked(prefixes).add(peer_id_prefix(peer_id));
        }
    }
}

/// Adds the counts of all workers.
pub fn add_figures<'a>(workers: impl IntoIterator<Item = &'a ClientCounts>, figures: &mut Figures) {
    let mut clients = BTreeMap::<String, u64>::new();
    let mut prefixes = BTreeMap::<String, u64>::new();
    let mut peers = BTreeMap::<String, u64>::new();
    let name = |client: &Option<Client>| match client {
        Some(client) => client.to_string(),
        None => "unknown".to_owned(),
    };
    for worker in workers {
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
        figures.counter(
            "client_announces_total",
            "Announces, by the client software that the peer id names",
            &[("client", &client)],
            count,
        );
    }
    for (client, count) in peers {
        figures.gauge(
            "client_peers",
            "Peers of open connections, by the client software that the peer id names",
            &[("client", &client)],
            count,
        );
    }
    for (prefix, count) in prefixes {
        figures.counter(
            "peer_id_prefix_announces_total",
            "Announces, by the first bytes of the peer id",
            &[("prefix", &prefix)],
            count,
        );
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

fn locked<T>(tally: &Mutex<Tally<T>>) -> std::sync::MutexGuard<'_, Tally<T>> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_id(start: &[u8]) -> PeerId {
        let mut bytes = [b'x'; 20];
        bytes[..start.len()].copy_from_slice(start);
        PeerId(bytes)
    }

    #[test]
    fn counts_over_all_workers() {
        let workers = [
            ClientCounts::new(true, false),
            ClientCounts::new(true, true),
        ];
        for worker in &workers {
            worker.count(&peer_id(b"-TR4060-"));
        }
        let mut figures = Figures::new("aquatic-udp");
        add_figures(&workers, &mut figures);
        let text = figures.to_prometheus();
        let line = r#"aquatic_udp_client_announces_total{client="Transmission 4.0.6"} 2"#;
        assert!(text.contains(line), "{text}");
        let line = r#"aquatic_udp_peer_id_prefix_announces_total{prefix="-TR4060-"} 1"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn peers_come_and_go() {
        let counts = ClientCounts::with_peers(true, false);
        for _ in 0..3 {
            counts.peer_came(&peer_id(b"-WW0208-"));
        }
        counts.peer_came(&peer_id(b"-TR4060-"));
        counts.peer_went(&peer_id(b"-TR4060-"));
        counts.peer_went(&peer_id(b"-WW0208-"));
        let mut figures = Figures::new("aquatic-ws");
        add_figures([&counts], &mut figures);
        let text = figures.to_prometheus();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("aquatic_ws_client_peers{"))
            .collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(
            lines[0].contains("WebTorrent") && lines[0].ends_with(" 2"),
            "{text}"
        );
    }

    #[test]
    fn invented_names_are_bounded() {
        let counts = ClientCounts::new(false, true);
        for number in 0..MAX_NAMES + 500 {
            counts.count(&peer_id(format!("{number:08}").as_bytes()));
        }
        let mut figures = Figures::new("aquatic-udp");
        add_figures([&counts], &mut figures);
        let text = figures.to_prometheus();
        assert!(text.contains(r#"{prefix="other"} 500"#), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.ends_with("} 1")).count(),
            MAX_NAMES
        );
    }
}
