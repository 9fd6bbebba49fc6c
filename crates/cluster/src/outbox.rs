//! The queue of records to send, shared by the workers of a node.
//!
//! All workers share one outbox. With one for each, a link would read them one after the
//! other, and could publish a peer's stop, recorded by one worker, before the announce that
//! another one had recorded earlier: all other nodes would keep that peer until it expires.
//! Workers push the records of up to eight requests at a time while they still hold the
//! locks of the shards concerned, so the records of a peer are here in the order in which
//! the changes happened. Since applying a record takes 150 ns, the cost of one lock for
//! eight of them cannot be measured.
//!
//! Records are stored in batches, in the form in which they are sent, with space for the
//! header, so taking a batch copies nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use strum::{EnumCount, VariantArray};

use crate::batch::{self, HEADER_LENGTH, Kind, MAX_BATCH_LENGTH};
use crate::record::Record;

/// Minimum capacity of an outbox in batches, whatever is configured.
const MIN_BATCHES: usize = 4;

/// Empty buffers that are kept for further batches.
const MAX_SPARE: usize = 2;

/// Records that have not been sent yet.
///
/// The capacity, in whole batches, full or not, is shared by the kinds of peer that a node
/// has, at most two. When another batch is needed and the outbox is full, the oldest batch
/// of its kind is dropped if that kind has at least half of the capacity, otherwise the
/// oldest of the kind with most batches. So neither kind can take the other's half.
#[derive(Debug)]
pub struct Outbox {
    /// The same as in `queues`, to check it without taking the lock.
    is_open: AtomicBool,
    batches_received: AtomicU64,
    dropped: AtomicU64,
    max_batches: usize,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    is_open: bool,
    /// By [`Kind::index`].
    of_kinds: [VecDeque<Waiting>; Kind::COUNT],
    spare: Vec<Vec<u8>>,
}

/// A queued batch. The last one of its kind gets new records until it is full or closed.
#[derive(Debug)]
struct Waiting {
    /// Space for the header, followed by the records.
    bytes: Vec<u8>,
    received_before: u64,
    closed_at_milliseconds: Option<u64>,
}

/// What a link has to know about a batch that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// When the batch was closed, for its header.
    pub closed_at_milliseconds: u64,
    /// How many batches had been received before its first record, for
    /// [`InFlight::publish`](crate::InFlight::publish).
    pub received_before: u64,
}

impl Outbox {
    /// Creates a closed outbox with a capacity of so many bytes.
    pub fn new(max_outbox_bytes: usize) -> Self {
        Self {
            is_open: AtomicBool::new(false),
            batches_received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            max_batches: (max_outbox_bytes / MAX_BATCH_LENGTH).max(MIN_BATCHES),
            queues: Mutex::default(),
        }
    }

    /// Starts to accept records. A change is either put in here or visible to everyone who
    /// reads the swarm after this call, because workers check this while they hold the lock
    /// of the shard.
    pub fn open(&self) {
        self.lock().is_open = true;
        self.is_open.store(true, Ordering::Release);
    }

    /// Stops accepting records, and discards those that are queued, without counting them
    /// as dropped.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::Release);
        *self.lock() = Queues::default();
    }

    /// Whether records are accepted; if not, workers do not have to make any.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Takes the oldest batch of this kind, full or not. The records are put into `batch`,
    /// after space for the header, and the former buffer of `batch` is reused here.
    pub fn take(&self, kind: Kind, now_milliseconds: u64, batch: &mut Vec<u8>) -> Option<Taken> {
        let mut queues = self.lock();
        let mut waiting = queues.queue(kind).pop_front()?;
        std::mem::swap(&mut waiting.bytes, batch);
        queues.keep(waiting.bytes);
        Some(Taken {
            closed_at_milliseconds: waiting.closed_at_milliseconds.unwrap_or(now_milliseconds),
            received_before: waiting.received_before,
        })
    }

    /// Closes all queued batches that are open. A link that cannot take batches calls this
    /// at intervals, so that their records get a time: peers live too long by at most one
    /// such interval. Each call can leave one partly filled batch of each kind.
    pub fn close_batches(&self, now_milliseconds: u64) {
        let mut queues = self.lock();
        for queue in &mut queues.of_kinds {
            // Starts with the last batch: all batches before a closed one are closed.
            let open = queue.iter_mut().rev();
            for batch in open.take_while(|it| it.closed_at_milliseconds.is_none()) {
                batch.closed_at_milliseconds = Some(now_milliseconds);
            }
        }
    }

    /// Whether the oldest batch of this kind gets no more records: there is another one.
    pub fn has_full(&self, kind: Kind) -> bool {
        self.lock().queue(kind).len() > 1
    }

    /// Number of queued batches, full or not.
    pub fn batches_waiting(&self) -> usize {
        self.lock().len()
    }

    /// Number of records that were dropped because the outbox was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Sets how many batches were received from the link. To be called before any record of
    /// the last one is applied. Only needed with [`InFlight`](crate::InFlight).
    pub fn set_batches_received(&self, count: u64) {
        // A record is applied with its shard locked, after this call. So a worker that
        // pushed a record of that shard before has read at most this count, as required.
        self.batches_received.store(count, Ordering::Relaxed);
    }

    /// Appends records. The caller must hold the locks of their torrents' shards.
    #[inline]
    pub fn append<const S: usize>(&self, records: &[Record<S>]) {
        if self.is_open() && !records.is_empty() {
            self.append_locked(Record::<S>::KIND, records);
        }
    }

    fn append_locked<const S: usize>(&self, kind: Kind, records: &[Record<S>]) {
        let full = HEADER_LENGTH + kind.max_records() * kind.record_length();
        let mut queues = self.lock();
        if !queues.is_open {
            return;
        }
        for record in records {
            let last = queues.queue(kind).back_mut();
            let has_space =
                |it: &&mut Waiting| it.closed_at_milliseconds.is_none() && it.bytes.len() < full;
            if let Some(batch) = last.filter(has_space) {
                record.write(&mut batch.bytes);
                continue;
            }
            if queues.len() >= self.max_batches {
                self.drop_oldest(&mut queues, kind);
            }
            let mut bytes = queues.buffer();
            record.write(&mut bytes);
            let received_before = self.batches_received.load(Ordering::Relaxed);
            queues.queue(kind).push_back(Waiting {
                bytes,
                received_before,
                closed_at_milliseconds: None,
            });
        }
    }

    /// Makes room for another batch of this kind.
    fn drop_oldest(&self, queues: &mut Queues, kind: Kind) {
        let has_half = queues.queue(kind).len() >= self.max_batches / 2;
        let longest = || {
            Kind::VARIANTS
                .iter()
                .copied()
                .max_by_key(|it| queues.of_kinds[it.index()].len())
        };
        let kind = if has_half {
            kind
        } else {
            longest().unwrap_or(kind)
        };
        if let Some(oldest) = queues.queue(kind).pop_front() {
            let count = (oldest.bytes.len() - HEADER_LENGTH) / kind.record_length();
            self.dropped.fetch_add(count as u64, Ordering::Relaxed);
            queues.keep(oldest.bytes);
        }
    }

    /// After a panic of a worker, the batches are still valid: at worst, the last records
    /// are missing.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn queue(&mut self, kind: Kind) -> &mut VecDeque<Waiting> {
        &mut self.of_kinds[kind.index()]
    }

    /// Number of batches of all kinds.
    fn len(&self) -> usize {
        self.of_kinds.iter().map(VecDeque::len).sum()
    }

    /// A buffer for a batch, with space for its header.
    fn buffer(&mut self) -> Vec<u8> {
        let spare = self.spare.pop();
        let mut bytes = spare.unwrap_or_else(|| Vec::with_capacity(MAX_BATCH_LENGTH));
        batch::start(&mut bytes);
        bytes
    }

    fn keep(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && bytes.capacity() >= MAX_BATCH_LENGTH {
            self.spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
