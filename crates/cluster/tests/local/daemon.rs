//! A minimal daemon: a map of peers, and a link.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aquatic_bittorrent::InfoHash;
use aquatic_cluster::local::{LocalLink, LocalSettings, LocalStatus, Stopper, Swarms};
use aquatic_cluster::{Batch, MaxPeerAge, NodeId, Outbox, PeerChange, Record, RecordIter, Records};
use aquatic_test_harness::waiting::eventually;
use socket2::{Domain, SockAddr, Socket, Type};

/// Peers by family (`true` for IPv6) and number, with their roles.
pub(crate) type Peers = BTreeMap<(bool, u32), PeerChange>;

/// The number of peers in a block.
const BLOCK: usize = 1_000;

#[derive(Debug, Default, Clone)]
pub(crate) struct Held {
    pub(crate) peers: Arc<Mutex<Peers>>,
    /// Additional time that making a block takes.
    pub(crate) pause: Duration,
}

pub(crate) struct Daemon {
    pub(crate) held: Held,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) status: Arc<LocalStatus>,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn clock() -> u64 {
    static START: Mutex<Option<Instant>> = Mutex::new(None);
    let mut start = START.lock().expect("nobody panics with it");
    let elapsed = start.get_or_insert_with(Instant::now).elapsed();
    1_000_000 + u64::try_from(elapsed.as_millis()).expect("a test ends")
}

pub(crate) fn settings(directory: &Path, daemon: &str, linked: &[&str]) -> LocalSettings {
    static NODES: AtomicU8 = AtomicU8::new(1);
    LocalSettings {
        directory: directory.to_owned(),
        daemon: daemon.to_owned(),
        linked: linked.iter().map(|it| (*it).to_owned()).collect(),
        node: NodeId([NODES.fetch_add(1, Ordering::Relaxed); 8]),
        max_peer_age: MaxPeerAge::of_seconds(1200),
        clock,
    }
}

pub(crate) fn socket_path(directory: &Path, daemon: &str) -> PathBuf {
    directory.join(format!("{daemon}.sock"))
}

impl Daemon {
    pub(crate) fn start(directory: &Path, daemon: &str, linked: &[&str]) -> Self {
        Self::start_with(directory, daemon, linked, Held::default(), 64 << 20)
    }

    pub(crate) fn start_with(
        directory: &Path,
        daemon: &str,
        linked: &[&str],
        held: Held,
        max_outbox_bytes: usize,
    ) -> Self {
        let outbox = Arc::new(Outbox::new(max_outbox_bytes));
        let settings = settings(directory, daemon, linked);
        let link = LocalLink::new(settings, outbox.clone(), held.clone());
        let (mut link, stopper) = link.expect("paths are short");
        Self {
            held,
            outbox,
            status: link.status(),
            stopper: Some(stopper),
            thread: Some(thread::spawn(move || link.run(|| {}))),
        }
    }

    /// Clients announce or stop: for each number, one of IPv4 and one of IPv6.
    pub(crate) fn change(&self, numbers: impl IntoIterator<Item = u32>, change: PeerChange) {
        let numbers: Vec<u32> = numbers.into_iter().collect();
        for group in numbers.chunks(8) {
            let mut held = self.held.lock();
            for number in group {
                for is_ipv6 in [false, true] {
                    apply(&mut held, (is_ipv6, *number), change);
                }
            }
            let ipv4: Vec<Record<6>> = group.iter().map(|it| record(*it, change)).collect();
            let ipv6: Vec<Record<18>> = group.iter().map(|it| record(*it, change)).collect();
            self.outbox.append(&ipv4);
            self.outbox.append(&ipv6);
        }
    }

    /// Waits until the daemon holds this many peers of each kind.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        eventually(
            &format!("{count} peers of each kind: {:?}", self.status),
            || (self.held.lock().len() == 2 * count).then_some(()),
        );
    }

    #[track_caller]
    pub(crate) fn wait_for_readers(&self, count: u64) {
        eventually(&format!("{count} readers"), || {
            (self.status.readers() == count).then_some(())
        });
    }

    /// Stops the daemon in an orderly way.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stopper = None;
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the link panicked");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
    }
}

impl Held {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Swarms for Held {
    /// The last peer that was put in a block.
    type Walk = Option<(bool, u32)>;
    type BlockError = &'static str;

    fn begin(&self) -> Self::Walk {
        None
    }

    fn next_block(&self, walk: &mut Self::Walk, block: &mut Vec<u8>) -> bool {
        use std::ops::Bound::{Excluded, Unbounded};
        thread::sleep(self.pause);
        let held = self.lock();
        let start = walk.map_or(Unbounded, Excluded);
        for (key, change) in held.range((start, Unbounded)).take(BLOCK) {
            block.extend(key.1.to_be_bytes());
            block.extend([u8::from(key.0), *change as u8]);
            *walk = Some(*key);
        }
        !block.is_empty()
    }

    fn restore(&self, block: &[u8]) -> Result<(), Self::BlockError> {
        let (peers, []) = block.as_chunks::<6>() else {
            return Err("a peer is cut off");
        };
        for &[a, b, c, d, is_ipv6, change] in peers {
            let changes = [
                PeerChange::Leecher,
                PeerChange::Seeder,
                PeerChange::Completed,
            ];
            let change = changes.get(usize::from(change)).ok_or("an unknown role")?;
            let number = u32::from_be_bytes([a, b, c, d]);
            apply(&mut self.lock(), (is_ipv6 == 1, number), *change);
        }
        Ok(())
    }

    fn apply(&self, batch: &Batch<'_>, now_milliseconds: u64) {
        assert!(batch.header().remaining_seconds(now_milliseconds) > 1100);
        match batch.records() {
            Records::Ipv4(records) => self.apply_all(false, records),
            Records::Ipv6(records) => self.apply_all(true, records),
            Records::WebTorrent(_) => panic!("daemons of a host have no such peers"),
        }
    }
}

impl Held {
    fn apply_all<const S: usize>(&self, is_ipv6: bool, records: RecordIter<'_, S>) {
        let mut held = self.lock();
        for record in records {
            let [a, b, c, d, ..] = record.peer[..] else {
                panic!("peers have 6 or 18 bytes");
            };
            let number = u32::from_be_bytes([a, b, c, d]);
            apply(&mut held, (is_ipv6, number), record.change);
        }
    }
}

fn apply(held: &mut Peers, key: (bool, u32), change: PeerChange) {
    match change {
        PeerChange::Stopped => held.remove(&key),
        role => held.insert(key, role),
    };
}

fn record<const S: usize>(number: u32, change: PeerChange) -> Record<S> {
    let mut peer = [0; S];
    peer[..4].copy_from_slice(&number.to_be_bytes());
    Record {
        info_hash: InfoHash([1; 20]),
        peer,
        change,
    }
}

/// Listens like a daemon.
pub(crate) fn listen(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(4)?;
    Ok(socket)
}

/// Connects like a daemon that reads.
pub(crate) fn connect(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// The next packet; empty if the other side closes the connection.
pub(crate) fn packet(socket: &Socket) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 18];
    let length = (&*socket).read(&mut buffer).expect("read");
    buffer.truncate(length);
    buffer
}
