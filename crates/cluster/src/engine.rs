//! The link between nodes on any number of hosts, through an *engine*: a server of Redis 6.2
//! or later, or of Valkey.
//!
//! # Keys in the engine
//!
//! | key | value |
//! |---|---|
//! | `{aquatic}:<namespace>:ipv4`, `…:ipv6`, `…:webtorrent` | a stream for each kind of peer. Each entry has a batch in the field `b`; that of a heartbeat also has the name of the node in `n` |
//! | `{aquatic}:<namespace>:ipv4:downloads`, … | a hash for each kind of peer: the number of downloads of each torrent, by its 20 bytes |
//! | `{aquatic}:<namespace>:connection-id-key` | 16 bytes, with which UDP trackers make connection ids |
//! | `{aquatic}:<namespace>:accounting` | a stream of records for other programs ([`RecordStream`]) |
//! | `{aquatic}:<namespace>:accounting:<node>` | the number of the last record of a node in that stream; expires after a day |
//!
//! Each node with WebTorrent peers also receives offers and answers ([`signals`]) in its
//! channel, `aquatic:<namespace>:<node>`.
//!
//! All keys are in one slot of a Redis Cluster. A node needs the rights in [`ACL_RULES`].
//!
//! # Publishing
//!
//! The [`Publisher`] takes batches from the outbox every 100 ms, or as soon as one is full,
//! and adds them to the streams ([`send_queue`]). With each addition, it removes entries
//! that are older than the longest `max_peer_age` of all nodes; every few seconds, it limits
//! the [size] of the streams ([`trimming`]). Every second, it adds an empty batch, which is a
//! heartbeat. Downloads are counted in the same transaction as the batch that contains them.
//!
//! After an error that leaves open whether a batch was added, the publisher searches for it
//! in the stream. So a batch is in the stream once, and each download is counted once.
//!
//! # Reading
//!
//! The [`Reader`] starts at a [`Position`], or with the oldest entry. It drops repeated
//! batches, counts missing ones, and applies the others; of this node's own batches only
//! what [`InFlight`] says.
//!
//! # Lost streams
//!
//! An engine may restart without its data or with older data, and keys may be deleted. The
//! reader checks for that after each reconnect and every few seconds ([`cursor`]). After a
//! loss it reads the streams from the start, and the publisher adds the peers that this node
//! has ([`refill`]). A node does the same when it joins with peers but without a position.
//! Peers with about the same remaining time are sent in one batch, which claims to have been
//! closed so much earlier: readers need not know that it is special. A peer that stops at
//! another node in this moment may come back until it expires. The numbers of downloads are
//! compared with those that this node knows, and raised ([`downloads`]).
//!
//! # Errors
//!
//! After an error, a new connection is made, unless the engine's memory is full. The pauses
//! between attempts grow to some seconds ([`retry`]). Each reply has a deadline and a maximum
//! length ([`client`]), so an engine that hangs or sends anything else cannot block the link
//! or fill the memory. Records wait in the outbox in the meantime.
//!
//! [size]: EngineSettings::max_stream_bytes

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::connection::Connector;
use crate::batch::{Kind, NodeId};
use crate::in_flight::InFlight;
use crate::max_peer_age::MaxPeerAge;
use crate::outbox::Outbox;
use crate::shared_swarms::{Held, SharedSwarms};
use crate::signal::SignalBatch;
use crate::signal_outbox::SignalOutbox;

mod client;
mod connection;
mod cursor;
mod discovery;
mod downloads;
mod error;
mod nodes;
mod position;
mod publisher;
mod reader;
mod record_stream;
mod refill;
mod retry;
mod send_queue;
mod signals;
mod status;
mod stream;
mod trimming;
mod url;

pub use error::EngineError;
use position::Ids;
pub use position::Position;
pub use publisher::Publisher;
pub use reader::Reader;
pub use record_stream::{Appended, Numbered, RecordStream};
pub use signals::{SignalReceiver, SignalSender};
pub use status::EngineStatus;
pub use stream::EntryId;
pub use url::{EngineUrl, Place, Server, UrlError};

/// Maximum time that a daemon that starts waits for the engine.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// The rights that the user of the nodes needs in the engine, as arguments of `ACL SETUSER`.
/// With another database than 0, it also needs `+select`.
pub const ACL_RULES: &str = "~{aquatic}:* &aquatic:* +xadd +xread +xtrim +xinfo +xlen +xrange \
                             +xrevrange +hincrby +hmget +hscan +memory|usage +multi +exec \
                             +watch +unwatch +set +get +publish +subscribe +unsubscribe +ping \
                             +info +time";

/// Settings of a link with an engine.
#[derive(Clone)]
pub struct EngineSettings {
    /// The address of the engine.
    pub url: EngineUrl,
    /// The user name there; `None` is `default`.
    pub username: Option<String>,
    /// The password; `None` if none is needed.
    pub password: Option<String>,
    /// Certificates of authorities in PEM, one of which must have signed the engine's
    /// certificate; `None` for those that the system trusts.
    pub tls_ca: Option<Vec<u8>>,
    /// The name of the cluster, which distinguishes it from others in the same engine.
    pub namespace: String,
    /// The name of this node, which is unique in the cluster.
    pub name: String,
    /// Identifies this run of the process.
    pub node: NodeId,
    /// The maximum age of peers.
    pub max_peer_age: MaxPeerAge,
    /// Maximum memory in bytes that all streams together take in the engine.
    pub max_stream_bytes: u64,
    /// The kinds of peers that this node has, at least one.
    pub kinds: Vec<Kind>,
    /// The key of connection ids that this node proposes to a cluster without one; `None` if
    /// it makes no connection ids.
    pub connection_id_key: Option<[u8; 16]>,
    /// Returns milliseconds on a clock of this process that cannot be set.
    pub clock: fn() -> u64,
}

/// Stops both threads of a link when it is dropped. They end within some seconds, whatever
/// the engine does, usually within a quarter of one.
#[derive(Debug)]
pub struct Stopper(Arc<Stop>);

/// The parts of a link.
pub struct EngineLink<S: SharedSwarms> {
    /// To be run by a thread.
    pub publisher: Publisher<S>,
    /// To be run by another thread, because a blocking read cannot be interrupted.
    pub reader: Reader<S>,
    /// Stops both.
    pub stopper: Stopper,
    /// For other threads.
    pub handle: EngineHandle,
}

/// What other threads may ask a link at any time.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

/// State that both threads share.
struct Shared {
    settings: EngineSettings,
    outbox: Arc<Outbox>,
    status: EngineStatus,
    in_flight: Mutex<InFlight>,
    /// The last applied entry of each stream. Locked while an entry is applied.
    read_up_to: Mutex<Ids>,
    stop: Arc<Stop>,
    /// Whether the link has ended with changes that were not sent.
    has_unsent: AtomicBool,
    /// The longest `max_peer_age` of the nodes that are running.
    retention_seconds: AtomicU64,
    /// How many times the engine was found to lack what this node has.
    refills: AtomicU64,
    /// What has to be added to our clock to get the engine's, in milliseconds, for signals.
    clock_offset: AtomicI64,
    /// The key of connection ids, once it is known.
    connection_id_key: Mutex<Option<[u8; 16]>>,
}

/// Whether a link was stopped.
#[derive(Debug, Default)]
struct Stop {
    is_stopped: Mutex<bool>,
    changed: Condvar,
}

impl<S: SharedSwarms> EngineLink<S> {
    /// Creates a link that is not running, and opens the outbox. Only the link may take from
    /// the outbox or close it. `position` is that of the node when its swarms, which were
    /// restored, were saved.
    ///
    /// # Panics
    /// If there are no kinds of peers.
    pub fn new(
        settings: EngineSettings,
        outbox: Arc<Outbox>,
        swarms: Arc<S>,
        position: Option<Position>,
    ) -> Self {
        assert!(!settings.kinds.is_empty(), "there must be some peers");
        outbox.open();
        // With a position, the peers are in the stream already, or too old to be needed.
        let has_news = position.is_none() && has_contents(&*swarms);
        let stop = Arc::new(Stop::default());
        let sequences = position.as_ref().map(Position::sequences);
        let in_flight = InFlight::new(
            settings.node,
            sequences.unwrap_or_default(),
            InFlight::SLOTS,
        );
        let shared = Arc::new(Shared {
            retention_seconds: AtomicU64::new(settings.max_peer_age.seconds().into()),
            outbox,
            status: EngineStatus::default(),
            in_flight: Mutex::new(in_flight),
            read_up_to: Mutex::new(position.as_ref().map(Position::ids).unwrap_or_default()),
            stop: stop.clone(),
            has_unsent: AtomicBool::new(false),
            refills: AtomicU64::new(has_news.into()),
            clock_offset: AtomicI64::new(0),
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

fn has_contents<S: SharedSwarms>(swarms: &S) -> bool {
    let mut walk = swarms.begin();
    let mut held = Held::default();
    while swarms.next_held(&mut walk, &mut held) {
        if !held.is_empty() {
            return true;
        }
    }
    false
}

/// Connects once, to find errors at start. Takes five seconds at most.
///
/// # Errors
/// [`EngineError::Refused`] if an operator has to change something. After any other error, a
/// node can start, and serves alone until the engine is there.
pub fn check(settings: &EngineSettings) -> Result<(), EngineError> {
    let stop = Arc::new(Stop::default());
    let connected = Connector::default().connect(settings, &stop, CHECK_TIME);
    match connected {
        Some(result) => result.map(drop),
        None => Err(EngineError::Away("no answer in time".into())),
    }
}

/// Checks certificates of authorities, for [`EngineSettings::tls_ca`].
///
/// # Errors
/// Why they cannot be used.
pub fn check_authorities(pem: &[u8]) -> Result<(), EngineError> {
    client::configured_roots(pem).map(drop)
}

impl EngineHandle {
    /// The counters of the link.
    pub fn status(&self) -> &EngineStatus {
        &self.0.status
    }

    /// The threads for offers and answers, which the stopper of the link stops, too: what is
    /// put into `outbox` is sent, and `deliver` is called with each signal batch that is
    /// received and its age in milliseconds.
    pub fn signals<D: FnMut(&SignalBatch<'_>, u64)>(
        &self,
        outbox: Arc<SignalOutbox>,
        deliver: D,
    ) -> (SignalSender, SignalReceiver<D>) {
        (
            SignalSender::new(self.0.clone(), outbox),
            SignalReceiver::new(self.0.clone(), deliver),
        )
    }

    /// A stream of records for other programs. It has a connection of its own, and works
    /// until it is dropped, also after the link has ended.
    pub fn record_stream(&self, name: &str) -> RecordStream {
        RecordStream::new(self.0.settings.clone(), name)
    }

    /// The position up to which everything was applied. A copy of the swarms that is made
    /// after this call can be continued from there. `None` if the link has ended and could
    /// not send all changes: then the next process has to send all peers of the copy.
    pub fn position(&self) -> Option<Position> {
        if self.0.has_unsent.load(Ordering::Relaxed) {
            return None;
        }
        let ids = lock(&self.0.read_up_to);
        let sequences = lock(&self.0.in_flight);
        Some(Position::new(*ids, sequences.sequences()))
    }

    /// The key of connection ids that all nodes use; `None` until the engine was asked, and if
    /// this node makes none.
    pub fn connection_id_key(&self) -> Option<[u8; 16]> {
        *lock(&self.0.connection_id_key)
    }
}

impl EngineSettings {
    /// The full name of a key in the engine.
    fn key(&self, name: &str) -> String {
        format!("{{aquatic}}:{}:{name}", self.namespace)
    }

    /// The key of a stream.
    fn stream(&self, kind: Kind) -> String {
        self.key(match kind {
            Kind::Ipv4 => "ipv4",
            Kind::Ipv6 => "ipv6",
            Kind::WebTorrent => "webtorrent",
        })
    }

    /// The channel of a node.
    fn channel(&self, node: NodeId) -> String {
        let node = u64::from_be_bytes(node.0);
        format!("aquatic:{}:{node:016x}", self.namespace)
    }

    /// The key of the hash with the numbers of downloads.
    fn downloads(&self, kind: Kind) -> String {
        format!("{}:downloads", self.stream(kind))
    }
}

impl fmt::Debug for EngineSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without secrets.
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
}

impl Stop {
    fn set(&self) {
        *lock(&self.is_stopped) = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *lock(&self.is_stopped)
    }

    /// Waits for so long, or until the link is stopped; returns whether it is.
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
        self.0.set();
    }
}

/// After a panic of the thread that held the lock, the process is about to end.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
