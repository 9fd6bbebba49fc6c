//! Where workers leave records, and a link takes batches.
//!
//! There is one for all workers of a node. With one for each, a link would take them one
//! after the other, and could publish a peer's stop, left by one worker, before the
//! announce that another one had left earlier: everybody else would keep that peer until
//! it expires. Workers leave the records of up to eight requests at a time while the
//! shards of the swarm that these are about are still locked, so the records of a peer
//! stand here in the order in which things happened to it. At 150 ns for each record
//! that is applied, a lock for each eight of them cannot be measured.
//!
//! Records are kept as the batches that they will travel in, with space for the header,
//! so taking a batch copies nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::batch::{self, HEADER_LENGTH, Kind, MAX_BATCH_LENGTH};
use crate::record::Record;

/// Batches that an outbox has space for at least, whatever is configured.
const MIN_BATCHES: usize = 4;

/// Buffers that are kept for further batches.
const MAX_SPARE: usize = 2;

/// Records on their way out of this node.
///
/// Its bound is one for both kinds of peer, in whole batches, full or not. When another
/// one is needed, the oldest of a kind that has half of them is dropped: so neither kind
/// can take that half from the other.
#[derive(Debug)]
pub struct Outbox {
    /// Also in `queues`; here for who only wants to know that nothing is to be done.
    is_open: AtomicBool,
    batches_received: AtomicU64,
    dropped: AtomicU64,
    max_batches: usize,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    is_open: bool,
    ipv4: VecDeque<Waiting>,
    ipv6: VecDeque<Waiting>,
    spare: Vec<Vec<u8>>,
}

/// A batch that waits. The last one of its kind takes records until it is full or closed.
#[derive(Debug)]
struct Waiting {
    /// Space for the header, and the records.
    bytes: Vec<u8>,
    received_before: u64,
    closed_at_milliseconds: Option<u64>,
}

/// What a link gets to know about a batch that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// When it was closed, for its header.
    pub closed_at_milliseconds: u64,
    /// How many batches had been received before its first record, for
    /// [`InFlight::publish`](crate::InFlight::publish).
    pub received_before: u64,
}

impl Outbox {
    /// A closed one, which is to hold so many bytes.
    pub fn new(max_outbox_bytes: usize) -> Self {
        Self {
            is_open: AtomicBool::new(false),
            batches_received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            max_batches: (max_outbox_bytes / MAX_BATCH_LENGTH).max(MIN_BATCHES),
            queues: Mutex::default(),
        }
    }

    /// Records are wanted from now on. Who reads the swarm after this finds there all
    /// that is not left here: workers look at this while they have a shard locked.
    pub fn open(&self) {
        self.lock().is_open = true;
        self.is_open.store(true, Ordering::Release);
    }

    /// Records are not wanted, and those that wait are thrown away, uncounted.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::Release);
        *self.lock() = Queues::default();
    }

    /// Whether records are wanted: if not, none need to be made.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Leaves what became of IPv4 peers. The shards with their torrents have to be locked.
    #[inline]
    pub fn append_ipv4(&self, records: &[Record<6>]) {
        self.append(records);
    }

    /// Leaves what became of IPv6 peers, like [`append_ipv4`](Self::append_ipv4).
    #[inline]
    pub fn append_ipv6(&self, records: &[Record<18>]) {
        self.append(records);
    }

    /// Takes the oldest batch of this kind, full or not: `batch` gets its records, with
    /// space before them for the header, and its own memory is used again here.
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

    /// Closes the batches that wait, as far as they are not. A link that cannot take them
    /// calls this now and then, so that records get an age: peers are kept too long by the
    /// time between two calls at most. Each call costs the space of a batch for each kind
    /// of which there are records.
    pub fn close_batches(&self, now_milliseconds: u64) {
        let mut queues = self.lock();
        for kind in Kind::ALL {
            // From the last one back: those before one that is closed are closed.
            let open = queues.queue(kind).iter_mut().rev();
            for batch in open.take_while(|it| it.closed_at_milliseconds.is_none()) {
                batch.closed_at_milliseconds = Some(now_milliseconds);
            }
        }
    }

    /// Batches that wait, full or not.
    pub fn batches_waiting(&self) -> usize {
        let queues = self.lock();
        queues.ipv4.len() + queues.ipv6.len()
    }

    /// Records that were dropped because the outbox was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Tells how many batches were received from the link, before any record of the last
    /// one is applied. Only needed with [`InFlight`](crate::InFlight).
    pub fn set_batches_received(&self, count: u64) {
        // Who applies a record has locked its shard after this, so whoever leaves records
        // of that shard before reads at most this count, as it has to be.
        self.batches_received.store(count, Ordering::Relaxed);
    }

    /// Leaves what became of peers. The shards with their torrents have to be locked.
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
            if queues.ipv4.len() + queues.ipv6.len() >= self.max_batches {
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

    /// To have space for another batch of this kind.
    fn drop_oldest(&self, queues: &mut Queues, kind: Kind) {
        let has_half = queues.queue(kind).len() >= self.max_batches / 2;
        let kind = if has_half { kind } else { kind.other() };
        if let Some(oldest) = queues.queue(kind).pop_front() {
            let count = (oldest.bytes.len() - HEADER_LENGTH) / kind.record_length();
            self.dropped.fetch_add(count as u64, Ordering::Relaxed);
            queues.keep(oldest.bytes);
        }
    }

    /// A worker that panicked leaves whole batches: at worst, one without the last
    /// records.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn queue(&mut self, kind: Kind) -> &mut VecDeque<Waiting> {
        match kind {
            Kind::Ipv4 => &mut self.ipv4,
            Kind::Ipv6 => &mut self.ipv6,
        }
    }

    /// For a batch, with space for its header.
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
