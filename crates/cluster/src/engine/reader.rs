//! The half of a link that reads the streams.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::cmd;

use super::connection::{Connector, Engine};
use super::cursor::{Cursor, last_id};
use super::downloads;
use super::error::EngineError;
use super::nodes::Nodes;
use super::retry::Retry;
use super::status::Part;
use super::stream::{self, Entry};
use super::{Shared, lock};
use crate::batch::{Batch, BatchError, HEADER_LENGTH, RecordIter, Records};
use crate::in_flight::InFlight;
use crate::record::PeerChange;
use crate::sequences::Arrival;
use crate::shared_swarms::SharedSwarms;

/// How long the engine waits for an entry, in milliseconds. It delays stopping, and has to
/// be less than the timeout of the connection.
const BLOCK_MILLISECONDS: u64 = 250;

/// Maximum number of entries of each stream in a reply: half a megabyte.
const COUNT: usize = 16;

/// Minimum time in milliseconds from one command to the next, unless more entries are there
/// than a reply can contain. At 200,000 records per second, a batch arrives every 6 ms, and
/// waking up for each costs more than reading several at a time.
const READ_INTERVAL_MILLISECONDS: u64 = 20;

/// Interval in milliseconds at which it is checked whether a stream was lost.
const CHECK_MILLISECONDS: u64 = 5_000;

/// How far back the streams are read again when another process of the engine has taken
/// over, in milliseconds. It may have the last entries in another order or under other ids.
const TAKEOVER_MILLISECONDS: u64 = 5_000;

/// How long after the first time the numbers of downloads are read again, in milliseconds.
const REREAD_MILLISECONDS: u64 = 60_000;

/// Maximum number of times that numbers of downloads are read because there were other
/// changes at the same time.
const MAX_READS: usize = 3;

/// Minimum time between two log messages about lost data, in milliseconds.
const REPORT_MILLISECONDS: u64 = 60_000;

/// How long to wait if there is nothing to do.
const PAUSE: Duration = Duration::from_millis(50);

/// The half of a link that reads the streams.
pub struct Reader<S> {
    shared: Arc<Shared>,
    swarms: Arc<S>,
    connector: Connector,
    engine: Option<Engine>,
    retry: Retry,
    nodes: Nodes,
    /// One for each kind of peer.
    cursors: Vec<Cursor>,
    /// Identifies the process of the engine that was read from last.
    run_id: Option<String>,
    /// When the last reply was received, on our clock.
    replied_at: u64,
    /// When numbers of downloads are read next; `None` if they were read twice.
    read_downloads_at: Option<u64>,
    check_at: u64,
    /// Maximum number of entries of each stream in the next reply.
    count: usize,
    /// When a loss is logged again at the earliest.
    report_at: u64,
    /// Errors in entries that were logged, to log each kind once.
    logged: HashSet<Discriminant<BatchError>>,
    /// A buffer that is reused for batches of which some records are applied.
    rest: Vec<u8>,
    /// Whether peers of nodes that have ended may be left.
    has_ended_peers: bool,
}

impl<S: SharedSwarms> Reader<S> {
    pub(super) fn new(shared: Arc<Shared>, swarms: Arc<S>) -> Self {
        let settings = &shared.settings;
        let ids = *lock(&shared.read_up_to);
        let cursors = settings.kinds.iter();
        Self {
            cursors: cursors
                .map(|&kind| Cursor::new(settings, kind, ids[kind.index()]))
                .collect(),
            nodes: Nodes::new(settings.node, &settings.name),
            swarms,
            connector: Connector::default(),
            engine: None,
            retry: Retry::new(Part::Reader),
            run_id: None,
            replied_at: (settings.clock)(),
            read_downloads_at: Some(0),
            check_at: 0,
            count: COUNT,
            report_at: 0,
            logged: HashSet::new(),
            rest: Vec::new(),
            has_ended_peers: false,
            shared,
        }
    }

    /// Runs until the [`Stopper`](super::Stopper) is dropped. Calls `beat` in each turn, at
    /// least every few seconds.
    pub fn run(&mut self, mut beat: impl FnMut()) {
        while !self.shared.stop.is_stopped() {
            beat();
            self.turn();
        }
        self.shared.status.set_connected(Part::Reader, false);
    }

    fn turn(&mut self) {
        let shared = self.shared.clone();
        let Shared {
            status,
            settings,
            stop,
            ..
        } = &*shared;
        let now = (settings.clock)();
        if self.engine.is_none() {
            // At worst, there has been something to read since the last reply.
            status.set_lag(now.saturating_sub(self.replied_at));
        }
        if self.retry.is_pause(now) {
            stop.wait(PAUSE);
            return;
        }
        let connected = match self.engine.take() {
            Some(engine) => Ok(engine),
            None => match self.connector.connect(settings, stop, PAUSE) {
                Some(connected) => connected.and_then(|engine| self.begin(engine)),
                None => return,
            },
        };
        let read = connected.and_then(|mut engine| {
            self.read(&mut engine)?;
            self.engine = Some(engine);
            Ok(())
        });
        match read {
            Ok(()) => self.retry.succeed(now, status),
            Err(error) => self.retry.fail(&error, now, status),
        }
        status.set_connected(Part::Reader, self.engine.is_some());
    }

    /// After connecting, before anything is read.
    fn begin(&mut self, mut engine: Engine) -> Result<Engine, EngineError> {
        let is_first = self.run_id.is_none();
        if !is_first {
            self.shared.status.counts().add_reconnect();
        }
        let is_another = self.run_id.as_ref() != Some(&engine.run_id);
        self.check(&mut engine)?;
        if is_another && !is_first {
            for cursor in &mut self.cursors {
                cursor.position = cursor.position.before(TAKEOVER_MILLISECONDS);
            }
        }
        self.run_id = Some(engine.run_id.clone());
        Ok(engine)
    }

    /// Reads the numbers of downloads from the engine, before the first entry, and once more
    /// after a minute: other nodes may be about to restore them.
    fn read_downloads(&mut self, engine: &mut Engine, now: u64) -> Result<(), EngineError> {
        let Some(due_at) = self.read_downloads_at.filter(|at| now >= *at) else {
            return Ok(());
        };
        // What is added while numbers are read may be contained in them, and would be counted
        // again. Numbers that are read once more are not counted twice.
        for _ in 0..MAX_READS {
            for cursor in &mut self.cursors {
                cursor.counted_up_to = last_id(engine, &cursor.key)?;
            }
            for kind in self.shared.settings.kinds.clone() {
                downloads::read(kind, &self.shared, &*self.swarms, engine)?;
            }
            let mut is_any_longer = false;
            for cursor in &self.cursors {
                is_any_longer |= last_id(engine, &cursor.key)? != cursor.counted_up_to;
            }
            if !is_any_longer {
                break;
            }
        }
        self.read_downloads_at = (due_at == 0).then(|| now.saturating_add(REREAD_MILLISECONDS));
        Ok(())
    }

    /// Checks whether what was read is still there. If not, it is read from the start, and
    /// the publisher adds what this node has.
    fn check(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let mut is_any_lost = false;
        for cursor in &mut self.cursors {
            if cursor.is_lost(&self.shared, engine)? {
                is_any_lost = true;
                lock(&self.shared.read_up_to)[cursor.kind.index()] = cursor.position;
            }
        }
        if is_any_lost {
            let now = (self.shared.settings.clock)();
            if now >= self.report_at {
                // An engine that is too small may lose data all the time.
                self.report_at = now.saturating_add(REPORT_MILLISECONDS);
                log::warn!(
                    "the engine has lost data of the cluster: sending the peers of this node again"
                );
            }
            self.shared.status.add_lost_stream();
            self.shared.refills.fetch_add(1, Ordering::Relaxed);
            self.nodes.reset();
        }
        Ok(())
    }

    /// Reads and applies the next entries, or waits for them.
    fn read(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let now = (self.shared.settings.clock)();
        if now >= self.check_at {
            self.check_at = now.saturating_add(CHECK_MILLISECONDS);
            engine.read_clock()?;
            self.check(engine)?;
        }
        self.read_downloads(engine, now)?;
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(self.count);
        if !self.has_ended_peers {
            read.arg("BLOCK").arg(BLOCK_MILLISECONDS);
        }
        read.arg("STREAMS");
        for cursor in &self.cursors {
            read.arg(&cursor.key);
        }
        for cursor in &self.cursors {
            read.arg(cursor.position.to_string());
        }
        let asked_at = (self.shared.settings.clock)();
        let reply = engine.query(&read);
        self.count = match &reply {
            Err(EngineError::TooLong) => 1,
            _ => COUNT,
        };
        let unexpected = || EngineError::unexpected_reply("XREAD");
        let found = stream::streams(reply?).ok_or_else(unexpected)?;
        self.replied_at = (self.shared.settings.clock)();
        let is_early = self.replied_at < asked_at + BLOCK_MILLISECONDS / 2;
        if found.is_empty() && is_early && !self.has_ended_peers {
            // No engine does that without a reason, but it must not keep a core busy.
            self.shared.stop.wait(PAUSE);
        }
        let mut lag = 0;
        let mut is_behind = self.has_ended_peers;
        for (key, entries) in found {
            is_behind |= entries.len() >= self.count;
            let mut cursors = self.cursors.iter();
            let index = cursors.position(|it| it.key.as_bytes() == key);
            let index = index.ok_or_else(unexpected)?;
            for entry in &entries {
                // Otherwise the same entries could be read for ever.
                if entry.id <= self.cursors[index].position {
                    return Err(unexpected());
                }
                self.apply(index, entry, engine);
                self.cursors[index].position = entry.id;
                lag = engine.now().saturating_sub(entry.id.milliseconds);
            }
        }
        self.shared.status.set_lag(lag);
        self.update_nodes();
        let passed = (self.shared.settings.clock)().saturating_sub(asked_at);
        if !is_behind && passed < READ_INTERVAL_MILLISECONDS {
            let left = Duration::from_millis(READ_INTERVAL_MILLISECONDS - passed);
            self.shared.stop.wait(left);
        }
        Ok(())
    }

    fn update_nodes(&mut self) {
        for node in self.nodes.take_ended() {
            self.swarms.node_has_ended(node);
        }
        self.has_ended_peers = self.swarms.remove_ended_peers();
        self.nodes.forget();
        let status = &self.shared.status;
        status.set_nodes(self.nodes.running());
        status.set_has_duplicate_name(self.nodes.has_duplicate_name());
        let own = self.shared.settings.max_peer_age.seconds();
        let longest = own.max(self.nodes.max_peer_age_seconds());
        self.shared
            .retention_seconds
            .store(longest.into(), Ordering::Relaxed);
    }

    fn apply(&mut self, index: usize, entry: &Entry, engine: &Engine) {
        let shared = self.shared.clone();
        let Cursor {
            kind,
            counted_up_to,
            ..
        } = self.cursors[index];
        // Locked until the entry is applied, so that nobody gets a position that differs
        // from what the swarm contains.
        let mut read_up_to = lock(&shared.read_up_to);
        read_up_to[kind.index()] = entry.id;
        let batch = match Batch::parse(&entry.batch) {
            Ok(batch) if batch.header().kind == kind => batch,
            Ok(batch) => return self.reject(BatchError::Kind(batch.header().kind as u8)),
            Err(error) => return self.reject(error),
        };
        self.note_node(&batch, entry);
        let is_own = batch.header().node == shared.settings.node;
        let mut in_flight = shared.in_flight();
        let arrival = in_flight.receive(batch.header());
        shared.status.counts().add_in(arrival, batch.len(), is_own);
        if arrival == Arrival::Repeat {
            return;
        }
        shared
            .outbox
            .set_batches_received(in_flight.batches_received());
        if !in_flight.may_be_due() {
            return;
        }
        // Own downloads were counted when they happened.
        let is_counted = is_own || entry.id <= counted_up_to;
        let batch = if is_counted {
            self.rest.clear();
            self.rest.extend_from_slice(&entry.batch[..HEADER_LENGTH]);
            match batch.records() {
                Records::Ipv4(records) => {
                    append_due_uncounted(records, &mut in_flight, &mut self.rest);
                }
                Records::Ipv6(records) => {
                    append_due_uncounted(records, &mut in_flight, &mut self.rest);
                }
                Records::WebTorrent(records) => {
                    append_due_uncounted(records, &mut in_flight, &mut self.rest);
                }
            }
            Batch::parse(&self.rest).ok()
        } else {
            match batch.records() {
                Records::Ipv4(records) => note_all(records, &mut in_flight),
                Records::Ipv6(records) => note_all(records, &mut in_flight),
                Records::WebTorrent(records) => note_all(records, &mut in_flight),
            }
            Some(batch)
        };
        drop(in_flight);
        if let Some(batch) = batch.filter(|it| !it.is_empty()) {
            self.swarms.apply(&batch, engine.now());
        }
    }

    fn note_node(&mut self, batch: &Batch<'_>, entry: &Entry) {
        let header = batch.header();
        let noted = self.nodes.note(
            header.node,
            header.max_peer_age_seconds,
            entry.name.as_deref(),
            entry.id,
        );
        if noted.has_started {
            self.swarms.node_has_started(header.node);
        }
        if noted.is_first_duplicate {
            log::error!(
                "another node of the cluster is called {}, too: each needs a cluster.node of \
                 its own",
                self.shared.settings.name
            );
        }
    }

    /// Counts an entry that is no batch of this version.
    fn reject(&mut self, error: BatchError) {
        self.shared.status.counts().add_refused();
        if self.logged.insert(discriminant(&error)) {
            let what = match error {
                BatchError::Version(_) => {
                    "a node of another version is in the cluster: upgrade all, or give those of \
                     another version another cluster.namespace"
                }
                _ => {
                    "another program writes into the stream: choose another cluster.namespace, or \
                     stop it"
                }
            };
            log::error!("an entry of the stream is ignored: {error}; {what}");
        }
    }
}

/// Appends the records that have to be applied, without their downloads.
fn append_due_uncounted<const S: usize>(
    records: RecordIter<'_, S>,
    in_flight: &mut InFlight,
    due: &mut Vec<u8>,
) {
    for mut record in records {
        if !in_flight.is_due(&record) {
            continue;
        }
        if record.change == PeerChange::Completed {
            record.change = PeerChange::Seeder;
        }
        record.write(due);
    }
}

/// Notes the records of another node, all of which are applied.
fn note_all<const S: usize>(records: RecordIter<'_, S>, in_flight: &mut InFlight) {
    for record in records {
        let is_due = in_flight.is_due(&record);
        debug_assert!(is_due);
    }
}
