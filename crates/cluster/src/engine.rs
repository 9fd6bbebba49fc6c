//! The link between nodes of any number of hosts, over Redis 6.2 or later, or Valkey: the
//! *engine*.
//!
//! # In the engine
//!
//! | key | what |
//! |---|---|
//! | `{aquatic}:<namespace>:ipv4`, `…:ipv6` | a stream for each kind of peer. An entry has a batch under `b`; a sign of life has the node's name under `n` besides |
//! | `{aquatic}:<namespace>:ipv4:downloads`, `…:ipv6:downloads` | a hash for each kind of peer: how often each torrent, by its 20 bytes, was downloaded |
//! | `{aquatic}:<namespace>:connection-id-key` | 16 bytes, which all nodes use |
//!
//! All are in one slot of a cluster. These rights suffice: [`ACL_RULES`].
//!
//! # Publishing
//!
//! The [`Publisher`] takes what waits in the outbox each 100 ms, or as soon as a batch is
//! full, and adds it. It trims as it adds, by an id that the engine gave to an earlier
//! batch less the longest `max_peer_age` of all nodes, and by [bytes] every few seconds.
//! Each second it adds an empty batch as a sign of life. Downloads are counted in one
//! transaction with the batch that tells them.
//!
//! After an error that leaves open whether a batch was added, it looks in the stream. So a
//! batch stands there twice only if somebody else repeated it, and no download is counted
//! twice.
//!
//! # Reading
//!
//! The [`Reader`] begins at a [`Position`], or with the oldest entry. It drops repeats,
//! counts gaps, and applies what is left, own records as [`InFlight`] says.
//!
//! # A stream that is lost
//!
//! An engine may start again without its data, or with older ones, or somebody deletes a
//! key. The reader looks after each reconnect, and every few seconds, whether the entry
//! that it had read some seconds before is still there. If it is not, and not so old that
//! it was trimmed, all is read from the beginning, and the publisher adds what this node
//! holds; so does a node that joins with peers but no position. Peers with the same time
//! left, to ten seconds, travel in a batch that says that it was closed so much
//! earlier, so nobody needs to know that it is special. A peer that stops at another node
//! just then may come back until it expires.
//!
//! # Errors
//!
//! After an error, there is a new connection, unless the engine's memory is full, with
//! pauses that grow to some seconds. What only an operator can mend is logged once, and
//! tried again more slowly. Meanwhile records wait in the outbox, and nothing else is
//! held up.
//!
//! [bytes]: EngineSettings::max_stream_bytes

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquatic_bittorrent::InfoHash;

use crate::batch::{Kind, NodeId};
use crate::in_flight::InFlight;
use crate::local::Swarms;
use crate::outbox::Outbox;
use crate::record::Record;

mod connection;
mod error;
mod nodes;
mod pauses;
mod position;
mod publisher;
mod reader;
mod refill;
mod status;
mod stream;
mod url;

pub use error::EngineError;
pub use position::Position;
pub use publisher::Publisher;
pub use reader::Reader;
pub use status::EngineStatus;
pub use stream::EntryId;
pub use url::{EngineUrl, UrlError};

/// For how long an engine is waited for. A timeout is shown to nobody but the two threads.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What an engine has to allow the user that nodes have there, as `ACL SETUSER` takes it.
/// With another database than 0, `+select` is needed besides.
pub const ACL_RULES: &str = "~{aquatic}:* &aquatic:* +xadd +xread +xtrim +xinfo +xlen +xrange \
                             +xrevrange +hincrby +hmget +hscan +memory|usage +multi +exec +set \
                             +get +publish +subscribe +unsubscribe +ping +info +time";

/// What a link with an engine is to do.
#[derive(Clone)]
pub struct EngineSettings {
    /// Where the engine is.
    pub url: EngineUrl,
    /// The user there; `None` is `default`.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Certificates, in PEM, of which one must have signed the engine's; `None` are those
    /// that the system trusts.
    pub tls_ca: Option<Vec<u8>>,
    /// What distinguishes this cluster from others that use the same engine.
    pub namespace: String,
    /// What this node is called, which no other one may be.
    pub name: String,
    /// This run of the process.
    pub node: NodeId,
    /// After how many seconds this node forgets a peer that does not announce again.
    pub max_peer_age_seconds: u16,
    /// Bytes that the streams may take in the engine, all together.
    pub max_stream_bytes: u64,
    /// What kinds of peers this node has, at least one.
    pub kinds: Vec<Kind>,
    /// The key that connection ids are made with, unless another node was first.
    pub connection_id_key: [u8; 16],
    /// Milliseconds on a clock of this process that nobody can set.
    pub clock: fn() -> u64,
}

/// What a link with an engine needs of the swarms of its node, besides.
pub trait SharedSwarms: Swarms {
    /// Appends the peers of a block that [`next_block`](Swarms::next_block) made.
    fn held(&self, block: &[u8], held: &mut Held);

    /// Says how often a torrent was downloaded by peers of a kind, if that is more than is
    /// known.
    fn restore_downloads(&self, kind: Kind, info_hash: &InfoHash, downloads: u64);
}

/// Peers that a node holds, as leechers and seeders, with the seconds they have left.
#[derive(Debug, Default)]
pub struct Held {
    /// Peers of IPv4.
    pub ipv4: Vec<(Record<6>, u16)>,
    /// Peers of IPv6.
    pub ipv6: Vec<(Record<18>, u16)>,
}

/// Ends both threads when it is dropped, within about a second.
#[derive(Debug)]
pub struct Stopper(Arc<Stop>);

/// What a node has to say of its link.
pub struct EngineLink<S: Swarms> {
    /// To be run by a thread.
    pub publisher: Publisher<S>,
    /// To be run by another one, because a read that waits cannot be interrupted.
    pub reader: Reader<S>,
    /// What ends both.
    pub stopper: Stopper,
    /// What others may ask at any time.
    pub handle: EngineHandle,
}

/// What other threads may ask a link.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

/// What both threads know.
struct Shared {
    settings: EngineSettings,
    outbox: Arc<Outbox>,
    status: EngineStatus,
    in_flight: Mutex<InFlight>,
    /// Up to where this node has applied everything. Locked while a batch is applied.
    read_up_to: Mutex<[EntryId; 2]>,
    stop: Arc<Stop>,
    /// The longest `max_peer_age` of the nodes that live.
    retention_seconds: AtomicU64,
    /// How often it was noticed that the engine lacks what is held here.
    refills: AtomicU64,
    /// The key of connection ids that all use, when that is known.
    connection_id_key: Mutex<Option<[u8; 16]>>,
}

#[derive(Debug, Default)]
struct Stop {
    is_stopped: Mutex<bool>,
    changed: Condvar,
}

impl<S: SharedSwarms> EngineLink<S> {
    /// A link that has not begun. It opens the outbox; nothing but it may take from it,
    /// or close it. `position` is where a node was whose swarms were restored.
    ///
    /// # Panics
    /// When there are no kinds of peers.
    pub fn new(
        settings: EngineSettings,
        outbox: Arc<Outbox>,
        swarms: Arc<S>,
        position: Option<Position>,
    ) -> Self {
        assert!(!settings.kinds.is_empty(), "there must be some peers");
        outbox.open();
        // What is only held because others were read is not told to them.
        let has_news = position.is_none() && holds_any(&*swarms);
        let stop = Arc::new(Stop::default());
        let sequences = position.as_ref().map(Position::sequences);
        let in_flight = InFlight::new(
            settings.node,
            sequences.unwrap_or_default(),
            InFlight::SLOTS,
        );
        let shared = Arc::new(Shared {
            retention_seconds: AtomicU64::new(settings.max_peer_age_seconds.into()),
            outbox,
            status: EngineStatus::default(),
            in_flight: Mutex::new(in_flight),
            read_up_to: Mutex::new(position.as_ref().map(Position::ids).unwrap_or_default()),
            stop: stop.clone(),
            refills: AtomicU64::new(has_news.into()),
            connection_id_key: Mutex::new(None),
            settings,
        });
        Self {
            publisher: Publisher::new(shared.clone(), swarms.clone()),
            reader: Reader::new(shared.clone(), swarms),
            stopper: Stopper(stop),
            handle: EngineHandle(shared),
        }
    }
}

/// Whether there are any peers.
fn holds_any<S: SharedSwarms>(swarms: &S) -> bool {
    let mut walk = swarms.begin();
    let mut block = Vec::new();
    let mut held = Held::default();
    while swarms.next_block(&mut walk, &mut block) {
        swarms.held(&block, &mut held);
        if !held.ipv4.is_empty() || !held.ipv6.is_empty() {
            return true;
        }
        block.clear();
    }
    false
}

/// Connects once, to say at start what an operator has to mend.
///
/// # Errors
/// [`EngineError::Refused`] is what no waiting will mend; with any other, a node serves
/// alone until the engine is there.
pub fn check(settings: &EngineSettings) -> Result<(), EngineError> {
    connection::Engine::connect(settings).map(drop)
}

impl EngineHandle {
    /// What the link counts.
    pub fn status(&self) -> &EngineStatus {
        &self.0.status
    }

    /// Up to where all has been applied. What is copied of the swarms after this can be
    /// gone on with from here.
    pub fn position(&self) -> Position {
        let ids = lock(&self.0.read_up_to);
        Position::new(*ids, lock(&self.0.in_flight).sequences())
    }

    /// The key of connection ids that all nodes use, when an engine has said it.
    pub fn connection_id_key(&self) -> Option<[u8; 16]> {
        *lock(&self.0.connection_id_key)
    }
}

impl EngineSettings {
    /// A key in the engine.
    fn key(&self, name: &str) -> String {
        format!("{{aquatic}}:{}:{name}", self.namespace)
    }

    /// The key of a stream.
    fn stream(&self, kind: Kind) -> String {
        self.key(match kind {
            Kind::Ipv4 => "ipv4",
            Kind::Ipv6 => "ipv6",
        })
    }

    /// The key of how often torrents were downloaded.
    fn downloads(&self, kind: Kind) -> String {
        format!("{}:downloads", self.stream(kind))
    }
}

impl fmt::Debug for EngineSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without what is secret.
        formatter
            .debug_struct("EngineSettings")
            .field("url", &self.url)
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        lock(&self.in_flight)
    }

    fn retention_milliseconds(&self) -> u64 {
        self.retention_seconds
            .load(Ordering::Relaxed)
            .saturating_mul(1000)
    }

    /// The place of a kind in arrays.
    fn place(kind: Kind) -> usize {
        kind as usize - 1
    }
}

impl Stop {
    /// Waits; returns whether the link is stopped.
    fn wait(&self, time: Duration) -> bool {
        let is_stopped = lock(&self.is_stopped);
        let waited = self
            .changed
            .wait_timeout_while(is_stopped, time, |is_stopped| !*is_stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        *lock(&self.0.is_stopped) = true;
        self.0.changed.notify_all();
    }
}

/// Whoever panicked with it has left something whole: the process is about to end.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
