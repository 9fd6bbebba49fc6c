//! Batches with sequence numbers, until the engine has confirmed that it has added them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aquatic_bittorrent::InfoHash;
use redis::{Value, cmd};
use strum::EnumCount;

use super::Shared;
use super::connection::Engine;
use super::error::EngineError;
use super::nodes::SILENCE_MILLISECONDS;
use super::position::Ids;
use super::stream::{self, BATCH, EntryId, NAME};
use crate::batch::{Batch, Header, Kind, RecordIter, Records};
use crate::record::PeerChange;

/// Maximum number of batches that are sent before their replies are awaited.
pub(super) const WINDOW: usize = 16;

/// How much longer than `max_peer_age` entries are kept, in milliseconds.
const MARGIN_MILLISECONDS: u64 = 10_000;

/// How far back batches are searched for if no entry is known to have been added before.
const SEARCH_MILLISECONDS: u64 = 60_000;

/// Minimum time in milliseconds between two log messages about downloads.
const REPORT_MILLISECONDS: u64 = 60_000;

/// Maximum number of replies, and of entries in each, that are searched for batches that
/// may have been added.
const MAX_PAGES: usize = 64;
const PAGE: usize = 64;

/// Batches with sequence numbers that were not added yet, or may not have been.
pub(super) struct SendQueue {
    shared: Arc<Shared>,
    /// The last sequence number of each kind.
    sequences: [u64; Kind::COUNT],
    /// The last entry of each stream that is known to have been added; none if it is 0-0.
    last_ids: Ids,
    /// When the last entry for WebTorrent peers was added, on the engine's clock.
    last_alive: Option<u64>,
    unsent: VecDeque<Unsent>,
    report_at: u64,
}

/// A batch that is to be added.
#[derive(Debug)]
struct Unsent {
    kind: Kind,
    sequence: u64,
    bytes: Vec<u8>,
    records: usize,
    /// Number of downloads for each torrent.
    downloads: HashMap<InfoHash, u32>,
    /// Whether the node's name is added with it.
    is_heartbeat: bool,
    /// Whether it was sent, and there was no reply.
    may_be_added: bool,
}

impl SendQueue {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            sequences: Default::default(),
            last_ids: Ids::default(),
            last_alive: None,
            unsent: VecDeque::new(),
            report_at: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Queues a batch under the next sequence number, which replaces that of the header.
    /// `received_before` is that of [`Taken`](crate::Taken).
    pub(super) fn push(
        &mut self,
        header: Header,
        mut bytes: Vec<u8>,
        received_before: u64,
        is_heartbeat: bool,
    ) {
        let kind = header.kind;
        let sequence = self.next_sequence(kind);
        Header { sequence, ..header }.write(&mut bytes);
        self.shared
            .in_flight()
            .publish(kind, sequence, received_before);
        let (records, downloads) = match Batch::parse(&bytes) {
            Ok(batch) => (batch.len(), downloads(&batch)),
            Err(error) => {
                // No node could read it.
                debug_assert!(false, "{error}");
                return;
            }
        };
        self.unsent.push_back(Unsent {
            kind,
            sequence,
            bytes,
            records,
            downloads,
            is_heartbeat,
            may_be_added: false,
        });
    }

    /// To be called with a new connection: removes the batches that were added although
    /// there was no reply, so that the others can be sent again under the same number.
    pub(super) fn remove_added(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        for kind in self.shared.settings.kinds.clone() {
            self.remove_added_of(kind, engine)?;
        }
        for unsent in &mut self.unsent {
            unsent.may_be_added = false;
        }
        // Another engine may have another clock, by which these ids are in the future:
        // trimming by them would remove everything.
        self.last_ids = Ids::default();
        Ok(())
    }

    fn remove_added_of(&mut self, kind: Kind, engine: &mut Engine) -> Result<(), EngineError> {
        let mut start = self.last_ids[kind.index()];
        if start == EntryId::default() {
            start.milliseconds = engine.now();
            start = start.before(SEARCH_MILLISECONDS);
        }
        for _ in 0..MAX_PAGES {
            let is_unknown = |it: &Unsent| it.kind == kind && it.may_be_added;
            if !self.unsent.iter().any(is_unknown) {
                break;
            }
            let mut range = cmd("XRANGE");
            range.arg(self.shared.settings.stream(kind));
            range.arg(format!("({start}")).arg("+");
            range.arg("COUNT").arg(PAGE);
            let entries = stream::entries(engine.query(&range)?)
                .ok_or_else(|| EngineError::unexpected_reply("XRANGE"))?;
            for entry in &entries {
                start = entry.id;
                let Ok(batch) = Batch::parse(&entry.batch) else {
                    continue;
                };
                if batch.header().node == self.shared.settings.node {
                    self.remove(kind, batch.header().sequence);
                }
            }
            if entries.len() < PAGE {
                break;
            }
        }
        Ok(())
    }

    fn remove(&mut self, kind: Kind, sequence: u64) {
        let is_it = |it: &Unsent| it.kind == kind && it.sequence == sequence;
        if let Some(index) = self.unsent.iter().position(is_it)
            && let Some(unsent) = self.unsent.remove(index)
        {
            self.shared.status.counts().add_out(unsent.records);
        }
    }

    /// Sends the first batches, as many as are sent before replies are awaited. What was not
    /// added stays in the queue.
    ///
    /// # Errors
    /// The first error of a batch. With [`EngineError::Full`] and [`EngineError::Refused`],
    /// the connection can still be used.
    pub(super) fn send_window(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let mut commands = Vec::new();
        let mut lengths = Vec::new();
        let retention = self.shared.retention_milliseconds() + MARGIN_MILLISECONDS;
        for unsent in self.unsent.iter_mut().take(WINDOW) {
            unsent.may_be_added = true;
            let last = self.last_ids[unsent.kind.index()];
            let min_id = (last != EntryId::default()).then(|| last.before(retention));
            lengths.push(unsent.write(&self.shared, min_id, &mut commands));
        }
        let replies = engine.query_all(&commands, lengths.iter().sum())?;
        self.handle_replies(&lengths, replies)
    }

    /// Records an entry that was added. If it comes late, other nodes may have removed the
    /// WebTorrent peers of this one, because it seemed to have ended.
    fn note_added(&mut self, kind: Kind, id: EntryId) {
        self.last_ids[kind.index()] = id;
        if kind == Kind::WebTorrent {
            let last = self.last_alive.replace(id.milliseconds);
            let is_late = |last: u64| id.milliseconds.abs_diff(last) > SILENCE_MILLISECONDS;
            if last.is_some_and(is_late) {
                self.shared.refills.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn handle_replies(
        &mut self,
        lengths: &[usize],
        replies: Vec<Value>,
    ) -> Result<(), EngineError> {
        let mut replies = replies.into_iter();
        let mut failed = VecDeque::new();
        let mut first_error = None;
        for &length in lengths {
            let Some(mut unsent) = self.unsent.pop_front() else {
                break;
            };
            let replies: Vec<Value> = replies.by_ref().take(length).collect();
            match added(&replies) {
                Ok(id) => {
                    self.note_added(unsent.kind, id);
                    self.shared.status.counts().add_out(unsent.records);
                    if let Some(error) = increment_error(&replies) {
                        self.report_lost_downloads(&error);
                    }
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                    unsent.may_be_added = false;
                    failed.push_back(unsent);
                }
            }
        }
        let Some(error) = first_error else {
            return Ok(());
        };
        // Batches after a failed one may have been added. They have higher numbers, so
        // readers would take it for a repeat.
        let is_any_added = failed.len() < lengths.len();
        failed.append(&mut self.unsent);
        self.unsent = failed;
        if is_any_added {
            self.renumber();
        }
        Err(error)
    }

    /// Gives all batches new sequence numbers. They come after batches that were made later,
    /// so this node applies all of their records again.
    fn renumber(&mut self) {
        for index in 0..self.unsent.len() {
            let sequence = self.next_sequence(self.unsent[index].kind);
            let unsent = &mut self.unsent[index];
            unsent.sequence = sequence;
            let Ok(batch) = Batch::parse(&unsent.bytes) else {
                continue;
            };
            let header = Header {
                sequence,
                ..*batch.header()
            };
            header.write(&mut unsent.bytes);
            self.shared.in_flight().publish(unsent.kind, sequence, 0);
        }
    }

    /// The batch must not be added again: other nodes have counted its downloads.
    fn report_lost_downloads(&mut self, error: &EngineError) {
        let now = (self.shared.settings.clock)();
        if now >= self.report_at {
            self.report_at = now.saturating_add(REPORT_MILLISECONDS);
            log::error!("downloads are not counted in the engine: {error}");
        }
    }

    fn next_sequence(&mut self, kind: Kind) -> u64 {
        let sequence = &mut self.sequences[kind.index()];
        *sequence += 1;
        *sequence
    }
}

impl Unsent {
    /// Appends the commands that add it; returns the number of their replies.
    fn write(&self, shared: &Shared, min_id: Option<EntryId>, commands: &mut Vec<u8>) -> usize {
        let settings = &shared.settings;
        let mut add = cmd("XADD");
        add.arg(settings.stream(self.kind));
        if let Some(min_id) = min_id {
            add.arg("MINID").arg("~").arg(min_id.to_string());
        }
        add.arg("*").arg(BATCH).arg(&self.bytes[..]);
        if self.is_heartbeat {
            add.arg(NAME).arg(&settings.name);
        }
        if self.downloads.is_empty() {
            add.write_packed_command(commands);
            return 1;
        }
        cmd("MULTI").write_packed_command(commands);
        add.write_packed_command(commands);
        for (info_hash, count) in &self.downloads {
            let mut increase = cmd("HINCRBY");
            increase.arg(settings.downloads(self.kind));
            increase.arg(&info_hash.0[..]).arg(*count);
            increase.write_packed_command(commands);
        }
        cmd("EXEC").write_packed_command(commands);
        self.downloads.len() + 3
    }
}

/// The entry that was added, from the replies to [`Unsent::write`].
fn added(replies: &[Value]) -> Result<EntryId, EngineError> {
    // Before the last reply, an error is the reason why nothing is executed.
    let error = replies.iter().find(|it| is_error(it));
    let add = error.or(match replies {
        [reply] => Some(reply),
        [.., Value::Array(executed)] => executed.first(),
        _ => None,
    });
    match add {
        Some(Value::ServerError(error)) => Err(error.into()),
        add => add
            .and_then(stream::id)
            .ok_or_else(|| EngineError::unexpected_reply("XADD")),
    }
}

/// The error of a download that was not counted although the batch was added: an engine
/// executes the rest of a transaction after an error.
fn increment_error(replies: &[Value]) -> Option<EngineError> {
    let [.., Value::Array(executed)] = replies else {
        return None;
    };
    executed.iter().find_map(|reply| match reply {
        Value::ServerError(error) => Some(error.into()),
        _ => None,
    })
}

fn is_error(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(_))
}

fn downloads(batch: &Batch<'_>) -> HashMap<InfoHash, u32> {
    fn count<const S: usize>(records: RecordIter<'_, S>, downloads: &mut HashMap<InfoHash, u32>) {
        let completed = records.filter(|it| it.change == PeerChange::Completed);
        for record in completed {
            *downloads.entry(record.info_hash).or_default() += 1;
        }
    }
    let mut downloads = HashMap::new();
    match batch.records() {
        Records::Ipv4(records) => count(records, &mut downloads),
        Records::Ipv6(records) => count(records, &mut downloads),
        Records::WebTorrent(records) => count(records, &mut downloads),
    }
    downloads
}
