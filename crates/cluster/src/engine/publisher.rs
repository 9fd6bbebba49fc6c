//! What adds batches to the streams.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aquatic_bittorrent::InfoHash;
use redis::{Value, cmd};

use super::connection::{Connector, Engine};
use super::error::EngineError;
use super::pauses::Pauses;
use super::refill::Refill;
use super::status::Half;
use super::stream::{self, BATCH, EntryId, NAME};
use super::{Shared, SharedSwarms, lock};
use crate::batch::RecordIter;
use crate::batch::{self, Batch, Header, Kind, Records};
use crate::local::Swarms;
use crate::outbox::Taken;
use crate::record::PeerChange;

/// How often is looked whether a batch is full.
const TICK: Duration = Duration::from_millis(10);

/// After how many milliseconds a batch is published that is not full.
const FLUSH_MILLISECONDS: u64 = 100;

/// How often a sign of life is given.
const SIGN_MILLISECONDS: u64 = 1_000;

/// How often clocks are compared, and streams are measured.
const MEASURE_MILLISECONDS: u64 = 5_000;

/// How often batches that cannot be published are closed.
const CLOSE_MILLISECONDS: u64 = 5_000;

/// Batches that are sent before replies are waited for.
const WINDOW: usize = 16;

/// Entries that are never trimmed for want of memory: somebody else has to be big then.
const MIN_ENTRIES: u64 = 8;

/// By how much longer than peers live entries are kept.
const MARGIN_MILLISECONDS: u64 = 10_000;

/// Replies in which is looked for batches that may have been added.
const MAX_PAGES: usize = 64;
const PAGE: usize = 64;

/// The half of a link that adds batches to the streams.
pub struct Publisher<S: Swarms> {
    shared: Arc<Shared>,
    connector: Connector,
    engine: Option<Engine>,
    was_connected: bool,
    pauses: Pauses,
    refill: Refill<S>,
    /// Sequence numbers of the last batches.
    sequences: [u64; 2],
    /// The last entries that are known to have been added.
    last_ids: [EntryId; 2],
    /// Batches that were taken from the outbox, and not added yet.
    unsent: VecDeque<Unsent>,
    flush_at: u64,
    sign_at: u64,
    measure_at: u64,
    close_at: u64,
}

/// A batch that is to be added.
#[derive(Debug)]
struct Unsent {
    kind: Kind,
    sequence: u64,
    bytes: Vec<u8>,
    records: usize,
    /// How often torrents were downloaded.
    downloads: HashMap<InfoHash, u32>,
    is_sign: bool,
    /// Whether it may have been added.
    was_tried: bool,
}

impl<S: SharedSwarms> Publisher<S> {
    pub(super) fn new(shared: Arc<Shared>, swarms: Arc<S>) -> Self {
        Self {
            shared,
            connector: Connector::default(),
            engine: None,
            was_connected: false,
            pauses: Pauses::new(Half::Publisher),
            refill: Refill::new(swarms),
            sequences: [0; 2],
            last_ids: [EntryId::default(); 2],
            unsent: VecDeque::new(),
            flush_at: 0,
            sign_at: 0,
            measure_at: 0,
            close_at: 0,
        }
    }

    /// Does its work until the [`Stopper`](super::Stopper) is dropped, and sends at last
    /// what waits, if the engine is there. Calls `beat` all the time, with pauses of some
    /// seconds at most.
    pub fn run(&mut self, mut beat: impl FnMut()) {
        while !self.shared.stop.wait(TICK) {
            beat();
            self.turn();
        }
        if let Some(mut engine) = self.engine.take() {
            // For what is not taken any more, it is too late.
            let _ = self
                .flush(&mut engine)
                .and_then(|()| self.send(&mut engine));
        }
        self.shared.status.set_connected(Half::Publisher, false);
        self.shared.outbox.close();
    }

    fn turn(&mut self) {
        let Shared {
            outbox,
            status,
            settings,
            ..
        } = &*self.shared;
        let now = (settings.clock)();
        status.counts().set_dropped(outbox.dropped());
        if self.pauses.is_pause(now) || self.engine.is_none() {
            // So that records get an age.
            if now >= self.close_at {
                self.close_at = now.saturating_add(CLOSE_MILLISECONDS);
                outbox.close_batches(now);
            }
            if self.pauses.is_pause(now) {
                return;
            }
        }
        let result = match self.engine.take() {
            Some(engine) => Ok(engine),
            None => match self.connector.connect(settings, TICK) {
                Some(result) => result.and_then(|engine| self.begin(engine)),
                None => return,
            },
        };
        let shared = self.shared.clone();
        let result = result.and_then(|mut engine| match self.publish(&mut engine) {
            Ok(()) => {
                self.engine = Some(engine);
                Ok(())
            }
            Err(EngineError::Full) => {
                self.engine = Some(engine);
                Err(EngineError::Full)
            }
            Err(error) => Err(error),
        });
        if let Err(error) = result {
            self.pauses.fail(&error, now, &shared.status);
        }
        let is_connected = self.engine.is_some();
        shared.status.set_connected(Half::Publisher, is_connected);
    }

    /// After connecting, before anything is published.
    fn begin(&mut self, mut engine: Engine) -> Result<Engine, EngineError> {
        if std::mem::replace(&mut self.was_connected, true) {
            self.shared.status.counts().add_reconnect();
        }
        self.forget_added(&mut engine)?;
        // Another engine may have another clock, by which these are in the future: trimming
        // by them would remove everything.
        self.last_ids = [EntryId::default(); 2];
        self.sign_at = 0;
        self.measure_at = 0;
        Ok(engine)
    }

    /// The first node's key is that of all. When the engine has lost it, whoever comes
    /// first brings back the one that all use.
    fn share_connection_id_key(&self, engine: &mut Engine) -> Result<(), EngineError> {
        let settings = &self.shared.settings;
        let name = settings.key("connection-id-key");
        let own = lock(&self.shared.connection_id_key).unwrap_or(settings.connection_id_key);
        engine.query(cmd("SET").arg(&name).arg(&own[..]).arg("NX"))?;
        let Value::BulkString(bytes) = engine.query(cmd("GET").arg(&name))? else {
            return Err(EngineError::strange_reply("GET"));
        };
        let key = <[u8; 16]>::try_from(bytes).map_err(|_| {
            EngineError::Refused(format!(
                "{name} is not the 16 bytes of a node: choose another cluster.namespace, or \
                 delete it"
            ))
        })?;
        *lock(&self.shared.connection_id_key) = Some(key);
        Ok(())
    }

    /// Forgets batches that were added although no reply said so.
    fn forget_added(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        for kind in self.shared.settings.kinds.clone() {
            let mut start = self.last_ids[Shared::place(kind)];
            if start == EntryId::default() {
                start = EntryId {
                    milliseconds: engine.now(),
                    number: 0,
                };
                start = start.before(60_000);
            }
            for _ in 0..MAX_PAGES {
                let is_unknown = |it: &Unsent| it.kind == kind && it.was_tried;
                if !self.unsent.iter().any(is_unknown) {
                    break;
                }
                let mut range = cmd("XRANGE");
                range.arg(self.shared.settings.stream(kind));
                range
                    .arg(format!("({start}"))
                    .arg("+")
                    .arg("COUNT")
                    .arg(PAGE);
                let reply = engine.query(&range)?;
                let entries =
                    stream::entries(reply).ok_or_else(|| EngineError::strange_reply("XRANGE"))?;
                for entry in &entries {
                    start = entry.id;
                    let Ok(batch) = Batch::parse(&entry.batch) else {
                        continue;
                    };
                    if batch.header().node == self.shared.settings.node {
                        self.note_added(kind, batch.header().sequence, entry.id);
                    }
                }
                if entries.len() < PAGE {
                    break;
                }
            }
        }
        for unsent in &mut self.unsent {
            unsent.was_tried = false;
        }
        Ok(())
    }

    fn note_added(&mut self, kind: Kind, sequence: u64, id: EntryId) {
        let place = Shared::place(kind);
        self.last_ids[place] = id;
        let is_it = |it: &Unsent| it.kind == kind && it.sequence == sequence;
        if let Some(index) = self.unsent.iter().position(is_it)
            && let Some(unsent) = self.unsent.remove(index)
        {
            self.shared.status.counts().add_out(unsent.records);
        }
    }

    /// Publishes what is due.
    fn publish(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        self.send(engine)?;
        let now = (self.shared.settings.clock)();
        if now >= self.measure_at {
            engine.read_clock()?;
            // Somebody may have deleted it.
            self.share_connection_id_key(engine)?;
            self.measure(engine)?;
            self.measure_at = now.saturating_add(MEASURE_MILLISECONDS);
        }
        // Before what waits in the outbox: what is found now may have changed before it
        // is taken from there, but not after.
        let shared = self.shared.clone();
        let mut refill = std::mem::take(&mut self.refill.batches);
        self.refill.step(&shared, engine.now(), now, &mut refill);
        for found in refill.drain(..) {
            self.queue(
                found.header_of(&shared.settings),
                found.bytes,
                found.received,
                false,
            );
        }
        self.refill.batches = refill;
        self.send(engine)?;

        if now >= self.sign_at {
            self.sign_at = now.saturating_add(SIGN_MILLISECONDS);
            self.queue_sign(engine);
        }
        let kinds = self.shared.settings.kinds.len();
        let is_any_full = self.shared.outbox.batches_waiting() > kinds;
        if now >= self.flush_at || is_any_full {
            self.flush_at = now.saturating_add(FLUSH_MILLISECONDS);
            self.flush(engine)?;
        }
        self.send(engine)
    }

    /// Sends what waits in the outbox, as far as it is there now.
    fn flush(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let count = self.shared.outbox.batches_waiting();
        for _ in 0..count.div_ceil(WINDOW) {
            for kind in self.shared.settings.kinds.clone() {
                self.take(kind, engine);
            }
            self.send(engine)?;
        }
        Ok(())
    }

    fn take(&mut self, kind: Kind, engine: &Engine) {
        let shared = self.shared.clone();
        for _ in 0..WINDOW {
            let mut bytes = Vec::new();
            let now = (shared.settings.clock)();
            let Some(taken) = shared.outbox.take(kind, now, &mut bytes) else {
                break;
            };
            let Taken {
                closed_at_milliseconds,
                received_before,
            } = taken;
            let header = Header {
                kind,
                max_peer_age_seconds: shared.settings.max_peer_age_seconds,
                node: shared.settings.node,
                sequence: 0,
                closed_at_milliseconds: engine.on_its_clock(closed_at_milliseconds),
            };
            self.queue(header, bytes, received_before, false);
        }
    }

    fn queue_sign(&mut self, engine: &Engine) {
        let settings = &self.shared.settings;
        let header = Header {
            kind: settings.kinds[0],
            max_peer_age_seconds: settings.max_peer_age_seconds,
            node: settings.node,
            sequence: 0,
            closed_at_milliseconds: engine.now(),
        };
        let mut bytes = Vec::new();
        batch::start(&mut bytes);
        self.queue(header, bytes, 0, true);
    }

    /// Gives a batch its number, with which it may be sent more than once.
    fn queue(&mut self, header: Header, mut bytes: Vec<u8>, received: u64, is_sign: bool) {
        let kind = header.kind;
        let sequence = &mut self.sequences[Shared::place(kind)];
        *sequence += 1;
        let sequence = *sequence;
        Header { sequence, ..header }.write(&mut bytes);
        let mut in_flight = self.shared.in_flight();
        in_flight.publish(kind, sequence, received);
        drop(in_flight);
        let (records, downloads) = match Batch::parse(&bytes) {
            Ok(batch) => (batch.len(), downloads(&batch)),
            Err(error) => {
                // Nobody could read it.
                debug_assert!(false, "{error}");
                return;
            }
        };
        self.unsent.push_back(Unsent {
            kind,
            sequence,
            records,
            downloads,
            bytes,
            is_sign,
            was_tried: false,
        });
    }

    /// Sends what was taken until nothing is left.
    fn send(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        while !self.unsent.is_empty() {
            self.send_window(engine)?;
            let shared = self.shared.clone();
            self.pauses.succeed(&shared.status);
        }
        Ok(())
    }

    fn send_window(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let mut commands = Vec::new();
        let mut lengths = Vec::new();
        let retention = self.shared.retention_milliseconds() + MARGIN_MILLISECONDS;
        let count = self.unsent.len().min(WINDOW);
        for index in 0..count {
            let unsent = &mut self.unsent[index];
            unsent.was_tried = true;
            let last = self.last_ids[Shared::place(unsent.kind)];
            let minid = (last != EntryId::default()).then(|| last.before(retention));
            lengths.push(unsent.write(&self.shared, minid, &mut commands));
        }
        let replies = engine.query_all(&commands, lengths.iter().sum())?;
        let mut replies = replies.into_iter();
        let mut failed = VecDeque::new();
        let mut first_error = None;
        for length in lengths {
            let Some(mut unsent) = self.unsent.pop_front() else {
                break;
            };
            let replies: Vec<Value> = replies.by_ref().take(length).collect();
            match added(&replies) {
                Ok(id) => {
                    self.last_ids[Shared::place(unsent.kind)] = id;
                    self.shared.status.counts().add_out(unsent.records);
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                    unsent.was_tried = false;
                    failed.push_back(unsent);
                }
            }
        }
        let Some(error) = first_error else {
            return Ok(());
        };
        // Others that were added after one that was not have higher numbers, and readers
        // would take it for a repeat.
        if failed.len() < count {
            self.give_new_numbers(&mut failed);
        }
        failed.append(&mut self.unsent);
        self.unsent = failed;
        if error == EngineError::Full {
            self.make_space(engine)?;
        }
        Err(error)
    }

    /// They come after batches that were made later, so all of them is applied again.
    fn give_new_numbers(&mut self, failed: &mut VecDeque<Unsent>) {
        let mut in_flight = self.shared.in_flight();
        for unsent in failed.iter_mut().chain(&mut self.unsent) {
            let sequence = &mut self.sequences[Shared::place(unsent.kind)];
            *sequence += 1;
            unsent.sequence = *sequence;
            let Ok(batch) = Batch::parse(&unsent.bytes) else {
                continue;
            };
            let header = Header {
                sequence: *sequence,
                ..*batch.header()
            };
            header.write(&mut unsent.bytes);
            in_flight.publish(unsent.kind, *sequence, 0);
        }
    }

    /// Removes an eighth of each stream.
    fn make_space(&self, engine: &mut Engine) -> Result<(), EngineError> {
        for kind in &self.shared.settings.kinds {
            let key = self.shared.settings.stream(*kind);
            let Value::Int(length) = engine.query(cmd("XLEN").arg(&key))? else {
                return Err(EngineError::strange_reply("XLEN"));
            };
            let length = u64::try_from(length).unwrap_or(0);
            let rest = (length - length.div_ceil(8)).max(MIN_ENTRIES);
            engine.query(cmd("XTRIM").arg(&key).arg("MAXLEN").arg(rest))?;
        }
        Ok(())
    }

    /// Asks how much memory the streams take, and trims them if that is too much.
    fn measure(&self, engine: &mut Engine) -> Result<(), EngineError> {
        let settings = &self.shared.settings;
        let mut sum = 0;
        for kind in &settings.kinds {
            let mut usage = cmd("MEMORY");
            usage.arg("USAGE").arg(settings.stream(*kind));
            sum += match engine.query(&usage)? {
                Value::Int(bytes) => u64::try_from(bytes).unwrap_or(0),
                // There is no stream yet.
                _ => 0,
            };
        }
        self.shared.status.set_stream_bytes(sum);
        if sum <= settings.max_stream_bytes {
            return Ok(());
        }
        for kind in &settings.kinds {
            let key = settings.stream(*kind);
            let Value::Int(length) = engine.query(cmd("XLEN").arg(&key))? else {
                return Err(EngineError::strange_reply("XLEN"));
            };
            let length = u128::try_from(length).unwrap_or(0);
            let rest = length * u128::from(settings.max_stream_bytes) / u128::from(sum.max(1));
            let rest = u64::try_from(rest).unwrap_or(u64::MAX);
            engine.query(cmd("XTRIM").arg(&key).arg("MAXLEN").arg("~").arg(rest))?;
        }
        log::debug!("the streams took {sum} bytes, and are trimmed to cluster.max_stream_bytes");
        Ok(())
    }
}

impl Unsent {
    /// Appends what adds it; returns how many replies come.
    fn write(&self, shared: &Shared, minid: Option<EntryId>, commands: &mut Vec<u8>) -> usize {
        let settings = &shared.settings;
        let mut add = cmd("XADD");
        add.arg(settings.stream(self.kind));
        if let Some(minid) = minid {
            add.arg("MINID").arg("~").arg(minid.to_string());
        }
        add.arg("*").arg(BATCH).arg(&self.bytes[..]);
        if self.is_sign {
            add.arg(NAME).arg(&settings.name);
        }
        if self.downloads.is_empty() {
            add.write_packed_command(commands);
            return 1;
        }
        cmd("MULTI").write_packed_command(commands);
        add.write_packed_command(commands);
        for (info_hash, count) in &self.downloads {
            let mut count_them = cmd("HINCRBY");
            count_them.arg(settings.downloads(self.kind));
            count_them.arg(&info_hash.0[..]).arg(*count);
            count_them.write_packed_command(commands);
        }
        cmd("EXEC").write_packed_command(commands);
        self.downloads.len() + 3
    }
}

/// The entry that was added, by the replies to [`Unsent::write`].
fn added(replies: &[Value]) -> Result<EntryId, EngineError> {
    for reply in replies {
        if let Value::ServerError(error) = reply {
            return Err(error.into());
        }
    }
    let add = match replies {
        [.., Value::Array(executed)] => {
            for reply in executed {
                if let Value::ServerError(error) = reply {
                    return Err(error.into());
                }
            }
            executed.first()
        }
        [reply] => Some(reply),
        _ => None,
    };
    add.and_then(stream::id)
        .ok_or_else(|| EngineError::strange_reply("XADD"))
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
    }
    downloads
}
