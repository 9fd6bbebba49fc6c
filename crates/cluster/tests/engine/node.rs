//! A minimal node: a map of peers, and a link.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use aquatic_bittorrent::{InfoHash, PeerId};
use aquatic_cluster::engine::{EngineHandle, EngineLink, EngineSettings, Position, Stopper};
use aquatic_cluster::{
    Batch, Held, Kind, MaxPeerAge, NodeId, Outbox, PeerChange, Record, RecordIter, Records,
    SharedSwarms, Signal, SignalBatch, SignalKind, SignalOutbox,
};
use aquatic_test_harness::waiting::eventually;

/// Peers by family (`true` for IPv6) and number, with their roles and when they expire.
pub(crate) type Peers = BTreeMap<(bool, u32), (PeerChange, u64)>;

/// The number of peers in a block.
const BLOCK: usize = 1_000;

pub(crate) const MAX_PEER_AGE: u16 = 1200;

#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) peers: Mutex<Peers>,
    pub(crate) downloads: AtomicU64,
    pub(crate) applied: AtomicU64,
}

pub(crate) struct Node {
    pub(crate) members: Arc<Members>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) link: EngineHandle,
    id: NodeId,
    signals: Arc<SignalOutbox>,
    /// Descriptions of the signals that were received.
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    stopper: Option<Stopper>,
    threads: Vec<JoinHandle<()>>,
}

pub(crate) fn clock() -> u64 {
    static START: Mutex<Option<Instant>> = Mutex::new(None);
    let mut start = START.lock().expect("nobody panics with it");
    let elapsed = start.get_or_insert_with(Instant::now).elapsed();
    1_000_000 + u64::try_from(elapsed.as_millis()).expect("a test ends")
}

pub(crate) fn settings(url: &str, name: &str) -> EngineSettings {
    static NODES: AtomicU64 = AtomicU64::new(1);
    let number = NODES.fetch_add(1, Ordering::Relaxed);
    EngineSettings {
        url: url.parse().expect("a URL"),
        username: None,
        password: None,
        tls_ca: None,
        namespace: "test".into(),
        name: name.into(),
        node: NodeId(number.to_be_bytes()),
        max_peer_age: MaxPeerAge::of_seconds(MAX_PEER_AGE),
        max_stream_bytes: 1 << 30,
        kinds: Kind::ADDRESSES.to_vec(),
        connection_id_key: Some(u128::from(number).to_be_bytes()),
        clock,
    }
}

impl Node {
    pub(crate) fn start(url: &str, name: &str) -> Self {
        Self::start_with(settings(url, name), Arc::default(), None)
    }

    pub(crate) fn start_with(
        settings: EngineSettings,
        members: Arc<Members>,
        position: Option<Position>,
    ) -> Self {
        let outbox = Arc::new(Outbox::new(64 << 20));
        let id = settings.node;
        let link = EngineLink::new(settings, outbox.clone(), members.clone(), position);
        let EngineLink {
            mut publisher,
            mut reader,
            stopper,
            handle,
        } = link;
        let signals = Arc::<SignalOutbox>::default();
        let received = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let deliver = {
            let received = received.clone();
            move |batch: &SignalBatch<'_>, _: u64| {
                let descriptions = batch.signals().map(|it| it.description.to_vec());
                received.lock().expect("no panic").extend(descriptions);
            }
        };
        let (mut sender, mut receiver) = handle.signals(signals.clone(), deliver);
        Self {
            members,
            outbox,
            link: handle,
            id,
            signals,
            received,
            stopper: Some(stopper),
            threads: vec![
                thread::spawn(move || publisher.run(|| {})),
                thread::spawn(move || reader.run(|| {})),
                thread::spawn(move || sender.run(|| {})),
                thread::spawn(move || receiver.run(|| {})),
            ],
        }
    }

    /// Sends an offer to another node; it is lost if there is no connection.
    pub(crate) fn offer(&self, to: &Node, description: &str) {
        let signal = Signal {
            kind: SignalKind::Offer,
            info_hash: InfoHash([1; 20]),
            to: PeerId([2; 20]),
            from: PeerId([3; 20]),
            offer_id: [4; 20],
            description: description.as_bytes(),
        };
        // Without a connection, the signal is not even queued.
        let _ = self.signals.put(to.id, &signal);
    }

    /// Sends offers to another node until one arrives there.
    #[track_caller]
    pub(crate) fn offer_until_received(&self, to: &Node, description: &str) {
        eventually("an offer is received", || {
            self.offer(to, description);
            let received = to.received.lock().expect("no panic");
            received
                .iter()
                .any(|it| it == description.as_bytes())
                .then_some(())
        });
    }

    /// Clients announce or stop: for each number, one of IPv4 and one of IPv6.
    pub(crate) fn change(&self, numbers: impl IntoIterator<Item = u32>, change: PeerChange) {
        let numbers: Vec<u32> = numbers.into_iter().collect();
        let until = clock() + u64::from(MAX_PEER_AGE) * 1000;
        for group in numbers.chunks(8) {
            let mut peers = self.members.lock();
            for number in group {
                for is_ipv6 in [false, true] {
                    self.members
                        .apply(&mut peers, (is_ipv6, *number), change, until);
                }
            }
            let ipv4: Vec<Record<6>> = group.iter().map(|it| record(*it, change)).collect();
            let ipv6: Vec<Record<18>> = group.iter().map(|it| record(*it, change)).collect();
            self.outbox.append(&ipv4);
            self.outbox.append(&ipv6);
        }
    }

    /// Waits until the node holds this many peers of each kind.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        eventually(&format!("{count} peers of each kind"), || {
            (self.members.lock().len() == 2 * count).then_some(())
        });
    }

    #[track_caller]
    pub(crate) fn wait_until_connected(&self) {
        eventually("it is connected", || {
            let status = self.link.status();
            (status.is_connected() && status.error().is_none() && status.counts().batches_out() > 0)
                .then_some(())
        });
    }

    /// Waits until the node reports an error that contains `part`.
    #[track_caller]
    pub(crate) fn wait_for_error(&self, part: &str) -> String {
        eventually(part, || {
            self.link.status().error().filter(|it| it.contains(part))
        })
    }

    /// Peers and roles.
    pub(crate) fn roles(&self) -> BTreeMap<(bool, u32), PeerChange> {
        let peers = self.members.lock();
        peers
            .iter()
            .map(|(key, (change, _))| (*key, *change))
            .collect()
    }

    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stopper = None;
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok(), "a thread panicked");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
    }
}

impl Members {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, peers: &mut Peers, key: (bool, u32), change: PeerChange, until: u64) {
        if change == PeerChange::Completed && key.0 {
            self.downloads.fetch_add(1, Ordering::Relaxed);
        }
        let role = match change {
            PeerChange::Stopped => {
                peers.remove(&key);
                return;
            }
            PeerChange::Completed => PeerChange::Seeder,
            role => role,
        };
        let before = peers.get(&key).map_or(0, |(_, until)| *until);
        peers.insert(key, (role, until.max(before)));
    }

    fn apply_all<const S: usize>(&self, is_ipv6: bool, records: RecordIter<'_, S>, until: u64) {
        let mut peers = self.lock();
        for record in records {
            let [a, b, c, d, ..] = record.peer[..] else {
                panic!("peers have 6 or 18 bytes");
            };
            let key = (is_ipv6, u32::from_be_bytes([a, b, c, d]));
            self.apply(&mut peers, key, record.change, until);
            self.applied.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl SharedSwarms for Members {
    /// The last peer that was returned.
    type Walk = Option<(bool, u32)>;

    fn begin(&self) -> Self::Walk {
        None
    }

    fn next_held(&self, walk: &mut Self::Walk, held: &mut Held) -> bool {
        let now = clock();
        let peers = self.lock();
        let start = walk.map_or(Unbounded, Excluded);
        let before = *walk;
        let downloads = self.downloads.load(Ordering::Relaxed) as u32;
        for kind in Kind::ADDRESSES {
            held.downloads.push((kind, InfoHash([1; 20]), downloads));
        }
        for (key, (change, until)) in peers.range((start, Unbounded)).take(BLOCK) {
            let remaining = until.saturating_sub(now) / 1000;
            let remaining = u16::try_from(remaining).expect("some minutes");
            let change = match change {
                PeerChange::Leecher => PeerChange::Leecher,
                _ => PeerChange::Seeder,
            };
            match key {
                (false, number) => held.ipv4.push((record(*number, change), remaining)),
                (true, number) => held.ipv6.push((record(*number, change), remaining)),
            }
            *walk = Some(*key);
        }
        *walk != before
    }

    fn apply(&self, batch: &Batch<'_>, now_milliseconds: u64) {
        let remaining = batch.header().remaining_seconds(now_milliseconds);
        let until = clock() + u64::from(remaining) * 1000;
        match batch.records() {
            Records::Ipv4(records) => self.apply_all(false, records, until),
            Records::Ipv6(records) => self.apply_all(true, records, until),
            Records::WebTorrent(_) => unreachable!("no node has such peers"),
        }
    }

    fn restore_downloads(&self, _: Kind, _: &InfoHash, downloads: u64) {
        // In these tests, both kinds have the same number of downloads.
        self.downloads.fetch_max(downloads, Ordering::Relaxed);
    }

    fn node_has_started(&self, _: NodeId) {}

    fn node_has_ended(&self, _: NodeId) {}

    fn remove_ended_peers(&self) -> bool {
        false
    }
}

pub(crate) fn record<const S: usize>(number: u32, change: PeerChange) -> Record<S> {
    let mut peer = [0; S];
    peer[..4].copy_from_slice(&number.to_be_bytes());
    Record {
        info_hash: InfoHash([1; 20]),
        peer,
        change,
    }
}
