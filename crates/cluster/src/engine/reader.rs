//! What reads the streams.

use std::collections::HashSet;
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aquatic_bittorrent::InfoHash;
use redis::{Value, cmd};

use super::connection::{Connector, Engine};
use super::error::EngineError;
use super::nodes::Nodes;
use super::pauses::Pauses;
use super::status::Half;
use super::stream::{self, Entry, EntryId};
use super::{Shared, SharedSwarms, lock};
use crate::batch::RecordIter;
use crate::batch::{Batch, BatchError, HEADER_LENGTH, Kind, Records};
use crate::in_flight::InFlight;
use crate::record::PeerChange;
use crate::sequences::Arrival;

/// For how long the engine waits for an entry. It delays stopping, and must be less than
/// the time after which a reply is given up.
const BLOCK_MILLISECONDS: u64 = 250;

/// Entries of each stream in a reply: half a megabyte.
const COUNT: usize = 16;

/// How often is looked whether a stream was lost.
const CHECK_MILLISECONDS: u64 = 5_000;

/// How much earlier is read again after another process has taken over: it may have got
/// the last entries in another order, or under other ids.
const TAKEOVER_MILLISECONDS: u64 = 5_000;

/// Torrents in a reply to HSCAN: some tenths of a megabyte.
const SCAN_COUNT: usize = 5_000;

/// The half of a link that reads the streams.
pub struct Reader<S> {
    shared: Arc<Shared>,
    swarms: Arc<S>,
    connector: Connector,
    engine: Option<Engine>,
    pauses: Pauses,
    nodes: Nodes,
    streams: Vec<Stream>,
    /// Which run of which process was read from last; `None` before the first.
    run_id: Option<String>,
    /// When there was a reply last, on our clock.
    replied_at: u64,
    has_downloads: bool,
    check_at: u64,
    /// The errors of entries that were logged.
    logged: HashSet<std::mem::Discriminant<BatchError>>,
    /// Used for every batch of which not all is applied.
    rest: Vec<u8>,
}

/// Where this node is in a stream.
struct Stream {
    kind: Kind,
    key: String,
    /// The last entry that was read.
    position: EntryId,
    /// One that was there some seconds ago.
    anchor: Option<EntryId>,
    /// Up to here, downloads are counted in the engine's hash that was read at start.
    counted_up_to: EntryId,
}

impl<S: SharedSwarms> Reader<S> {
    pub(super) fn new(shared: Arc<Shared>, swarms: Arc<S>) -> Self {
        let settings = &shared.settings;
        let ids = *lock(&shared.read_up_to);
        let streams = settings.kinds.iter().map(|&kind| {
            let position = ids[Shared::place(kind)];
            Stream {
                kind,
                key: settings.stream(kind),
                position,
                anchor: (position != EntryId::default()).then_some(position),
                counted_up_to: EntryId::default(),
            }
        });
        Self {
            streams: streams.collect(),
            nodes: Nodes::new(settings.node, &settings.name),
            swarms,
            connector: Connector::default(),
            engine: None,
            pauses: Pauses::new(Half::Reader),
            run_id: None,
            replied_at: (settings.clock)(),
            has_downloads: false,
            check_at: 0,
            logged: HashSet::new(),
            rest: Vec::new(),
            shared,
        }
    }

    /// Does its work until the [`Stopper`](super::Stopper) is dropped. Calls `beat` all
    /// the time, with pauses of some seconds at most.
    pub fn run(&mut self, mut beat: impl FnMut()) {
        while !self.shared.stop.wait(Duration::ZERO) {
            beat();
            self.turn();
        }
        self.shared.status.set_connected(Half::Reader, false);
    }

    fn turn(&mut self) {
        let shared = self.shared.clone();
        let now = (shared.settings.clock)();
        if self.engine.is_none() {
            // Nobody knows since when there is something to read: at worst, since then.
            shared.status.set_lag(now.saturating_sub(self.replied_at));
        }
        if self.pauses.is_pause(now) {
            shared.stop.wait(Duration::from_millis(50));
            return;
        }
        let result = match self.engine.take() {
            Some(engine) => Ok(engine),
            None => {
                let time = Duration::from_millis(50);
                match self.connector.connect(&shared.settings, time) {
                    Some(result) => result.and_then(|engine| self.begin(engine)),
                    None => return,
                }
            }
        };
        let result = result.and_then(|mut engine| {
            self.read(&mut engine)?;
            self.engine = Some(engine);
            Ok(())
        });
        match result {
            Ok(()) => self.pauses.succeed(&shared.status),
            Err(error) => self.pauses.fail(&error, now, &shared.status),
        }
        let is_connected = self.engine.is_some();
        shared.status.set_connected(Half::Reader, is_connected);
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
            for stream in &mut self.streams {
                stream.position = stream.position.before(TAKEOVER_MILLISECONDS);
            }
        }
        self.run_id = Some(engine.run_id.clone());
        if !self.has_downloads {
            self.read_downloads(&mut engine)?;
            self.has_downloads = true;
        }
        Ok(engine)
    }

    /// Looks whether what was read is still there.
    fn check(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let retention = self.shared.retention_milliseconds();
        let mut is_any_lost = false;
        for stream in &mut self.streams {
            let newest = last_id(engine, &stream.key)?;
            let Some(anchor) = stream.anchor else {
                stream.set_anchor();
                continue;
            };
            let mut range = cmd("XRANGE");
            range.arg(&stream.key).arg(anchor.to_string());
            range.arg(anchor.to_string());
            let entries = stream::entries(engine.query(&range)?)
                .ok_or_else(|| EngineError::strange_reply("XRANGE"))?;
            if is_lost(anchor, !entries.is_empty(), newest, retention) {
                is_any_lost = true;
                stream.position = EntryId::default();
                stream.anchor = None;
                stream.counted_up_to = EntryId::default();
                lock(&self.shared.read_up_to)[Shared::place(stream.kind)] = stream.position;
            } else {
                stream.set_anchor();
            }
        }
        if is_any_lost {
            log::warn!(
                "the engine has lost what nodes had told each other: this one tells again what \
                 it holds"
            );
            self.shared.status.add_lost_stream();
            self.shared.refills.fetch_add(1, Ordering::Relaxed);
            self.nodes.start_again();
        }
        Ok(())
    }

    /// Reads how often torrents were downloaded. What stands in the streams by then is
    /// in these counts.
    fn read_downloads(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        for stream in &mut self.streams {
            stream.counted_up_to = last_id(engine, &stream.key)?;
        }
        for kind in self.shared.settings.kinds.clone() {
            self.read_downloads_of(kind, engine)?;
        }
        Ok(())
    }

    fn read_downloads_of(&self, kind: Kind, engine: &mut Engine) -> Result<(), EngineError> {
        let key = self.shared.settings.downloads(kind);
        let mut cursor = b"0".to_vec();
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(&key).arg(&cursor).arg("COUNT").arg(SCAN_COUNT);
            let strange = || EngineError::strange_reply("HSCAN");
            let (next, found) = match engine.query(&scan)? {
                Value::Array(parts) => match <[Value; 2]>::try_from(parts) {
                    Ok([Value::BulkString(next), Value::Array(found)]) => (next, found),
                    _ => return Err(strange()),
                },
                _ => return Err(strange()),
            };
            for (info_hash, count) in found.as_chunks::<2>().0.iter().map(|[a, b]| (a, b)) {
                let (Value::BulkString(info_hash), Value::BulkString(count)) = (info_hash, count)
                else {
                    return Err(strange());
                };
                // Others may have put anything there.
                let info_hash = <[u8; 20]>::try_from(&info_hash[..]).ok();
                let count = str::from_utf8(count).ok().and_then(|it| it.parse().ok());
                if let (Some(info_hash), Some(count)) = (info_hash, count) {
                    self.swarms
                        .restore_downloads(kind, &InfoHash(info_hash), count);
                }
            }
            if next == b"0" || self.shared.stop.wait(Duration::ZERO) {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Reads what is there, or waits for it.
    fn read(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let now = (self.shared.settings.clock)();
        if now >= self.check_at {
            self.check_at = now.saturating_add(CHECK_MILLISECONDS);
            engine.read_clock()?;
            self.check(engine)?;
        }
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(COUNT);
        read.arg("BLOCK").arg(BLOCK_MILLISECONDS).arg("STREAMS");
        for stream in &self.streams {
            read.arg(&stream.key);
        }
        for stream in &self.streams {
            read.arg(stream.position.to_string());
        }
        let found = stream::streams(engine.query(&read)?)
            .ok_or_else(|| EngineError::strange_reply("XREAD"))?;
        self.replied_at = (self.shared.settings.clock)();
        let mut lag = 0;
        for (key, entries) in found {
            let Some(index) = self.streams.iter().position(|it| it.key.as_bytes() == key) else {
                continue;
            };
            for entry in &entries {
                self.apply(index, entry, engine);
                self.streams[index].position = entry.id;
                lag = engine.now().saturating_sub(entry.id.milliseconds);
            }
        }
        self.shared.status.set_lag(lag);
        self.nodes.forget();
        let status = &self.shared.status;
        status.set_nodes(self.nodes.living());
        status.set_has_namesake(self.nodes.has_namesake());
        let own = self.shared.settings.max_peer_age_seconds;
        let longest = own.max(self.nodes.max_peer_age_seconds());
        self.shared
            .retention_seconds
            .store(longest.into(), Ordering::Relaxed);
        Ok(())
    }

    fn apply(&mut self, index: usize, entry: &Entry, engine: &Engine) {
        let shared = self.shared.clone();
        let Stream {
            kind,
            counted_up_to,
            ..
        } = self.streams[index];
        // Until all of it is applied: a position must not say more or less.
        let mut read_up_to = lock(&shared.read_up_to);
        read_up_to[Shared::place(kind)] = entry.id;
        let batch = match Batch::parse(&entry.batch) {
            Ok(batch) if batch.header().kind == kind => batch,
            Ok(batch) => return self.refuse(BatchError::Kind(batch.header().kind as u8)),
            Err(error) => return self.refuse(error),
        };
        let header = batch.header();
        let is_own = header.node == shared.settings.node;
        let age = header.max_peer_age_seconds;
        let name = entry.name.as_deref();
        if self.nodes.note(header.node, age, name, entry.id) {
            log::error!(
                "another node of the cluster is called {}, too: each needs a cluster.node of \
                 its own",
                shared.settings.name
            );
        }
        let mut in_flight = shared.in_flight();
        let arrival = in_flight.receive(header);
        shared.status.counts().add_in(arrival, batch.len(), is_own);
        if arrival == Arrival::Repeat {
            return;
        }
        shared
            .outbox
            .set_batches_received(in_flight.batches_received());
        // Own downloads were counted when they were made.
        let is_counted = is_own || entry.id <= counted_up_to;
        let batch = if is_counted {
            self.rest.clear();
            self.rest.extend_from_slice(&entry.batch[..HEADER_LENGTH]);
            match batch.records() {
                Records::Ipv4(records) => due_uncounted(records, &mut in_flight, &mut self.rest),
                Records::Ipv6(records) => due_uncounted(records, &mut in_flight, &mut self.rest),
            }
            Batch::parse(&self.rest).ok()
        } else {
            match batch.records() {
                Records::Ipv4(records) => note_all(records, &mut in_flight),
                Records::Ipv6(records) => note_all(records, &mut in_flight),
            }
            Some(batch)
        };
        drop(in_flight);
        if let Some(batch) = batch.filter(|it| !it.is_empty()) {
            self.swarms.apply(&batch, engine.now());
        }
    }

    /// An entry is no batch that this version understands.
    fn refuse(&mut self, error: BatchError) {
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
            log::error!("an entry of the stream is left out: {error}; {what}");
        }
    }
}

impl Stream {
    fn set_anchor(&mut self) {
        self.anchor = (self.position != EntryId::default()).then_some(self.position);
    }
}

/// Appends the records that are to be applied, without their downloads.
fn due_uncounted<const S: usize>(
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

/// Notes records of another node, all of which are to be applied.
fn note_all<const S: usize>(records: RecordIter<'_, S>, in_flight: &mut InFlight) {
    for record in records {
        let is_due = in_flight.is_due(&record);
        debug_assert!(is_due);
    }
}

/// The id that a stream's last entry had, also if that was trimmed.
fn last_id(engine: &mut Engine, key: &str) -> Result<EntryId, EngineError> {
    match engine.query(cmd("XINFO").arg("STREAM").arg(key)) {
        Ok(reply) => stream::info(&reply, "last-generated-id")
            .and_then(stream::id)
            .ok_or_else(|| EngineError::strange_reply("XINFO STREAM")),
        Err(EngineError::Away(text)) if text.contains("no such key") => Ok(EntryId::default()),
        Err(error) => Err(error),
    }
}

/// Whether an entry that was there is not because the stream was lost, and not because it
/// is old.
fn is_lost(anchor: EntryId, is_there: bool, newest: EntryId, retention: u64) -> bool {
    let is_young = anchor.milliseconds.saturating_add(retention / 2) > newest.milliseconds;
    newest < anchor || (!is_there && is_young)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_stream_is_told_from_one_that_was_trimmed() {
        let at = |milliseconds| EntryId {
            milliseconds,
            number: 0,
        };
        let is_lost = |anchor, is_there, newest| is_lost(at(anchor), is_there, at(newest), 1_000);
        assert!(!is_lost(500, true, 600));
        assert!(is_lost(500, false, 600));
        assert!(!is_lost(500, false, 1_000));
        // Whatever clock gave the new ids.
        assert!(is_lost(500, false, 0));
        assert!(is_lost(500, false, 499));
        assert!(is_lost(500, true, 499));
    }
}
