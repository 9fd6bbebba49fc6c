//! Invariants of an outbox, and of the batches that a node reads from the stream.
//!
//! The input is a list of operations. The outbox and the sequence numbers of batches are
//! compared with plain lists. When a node reads a record of its own, it must apply it
//! again if it has applied another record for the same peer since it made this one.

use std::collections::{BTreeMap, VecDeque};

use aquatic_bittorrent::InfoHash;
use aquatic_cluster::{
    Arrival, Batch, Header, InFlight, Kind, NodeId, Outbox, PeerChange, Record, RecordIter,
    Records, Sequences, batch,
};

/// Maximum number of operations: more would find nothing new.
const MAX_OPERATIONS: usize = 200;

/// Bounds of the outbox, in batches.
const SPACES: [usize; 3] = [4, 5, 8];

const OWN: NodeId = NodeId([1; 8]);

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let mut input = bytes.iter().copied();
    let space = SPACES[usize::from(input.next().unwrap_or(0)) % SPACES.len()];
    let mut run = Run::new(space);
    for _ in 0..MAX_OPERATIONS {
        let (Some(operation), Some(argument)) = (input.next(), input.next()) else {
            break;
        };
        run.operate(operation, argument);
        let [ipv4, ipv6] = &run.waiting;
        assert_eq!(run.outbox.batches_waiting(), ipv4.len() + ipv6.len());
        assert!(run.outbox.batches_waiting() <= space);
        assert_eq!(run.outbox.has_full(Kind::Ipv4), ipv4.len() > 1);
        assert_eq!(run.outbox.has_full(Kind::Ipv6), ipv6.len() > 1);
        assert_eq!(run.outbox.dropped(), run.dropped);
    }
}

/// Records that wait in one batch, and when that was closed.
#[derive(Debug, Default)]
struct Waiting {
    /// The peer, and when the record was made.
    records: Vec<(u8, u64)>,
    closed_at: Option<u64>,
}

struct Run {
    space: usize,
    now: u64,
    outbox: Outbox,
    in_flight: InFlight,
    sequences: [u64; 2],
    /// Batches that were taken and not read back, and when their records were made.
    stream: VecDeque<(Vec<u8>, Vec<u64>)>,
    // The model.
    is_open: bool,
    waiting: [VecDeque<Waiting>; 2],
    dropped: u64,
    last: BTreeMap<(NodeId, Kind), u64>,
    /// When the last of all records that were read was applied.
    applied: BTreeMap<(Kind, u8), u64>,
    time: u64,
}

impl Run {
    fn new(space: usize) -> Self {
        Self {
            space,
            now: 1_000,
            outbox: Outbox::new(space * batch::MAX_BATCH_LENGTH),
            in_flight: InFlight::new(OWN, Sequences::default(), 64),
            sequences: [0; 2],
            stream: VecDeque::new(),
            is_open: false,
            waiting: Default::default(),
            dropped: 0,
            last: BTreeMap::new(),
            applied: BTreeMap::new(),
            time: 0,
        }
    }

    fn operate(&mut self, operation: u8, argument: u8) {
        self.time += 1;
        let kind = Kind::ADDRESSES[usize::from(operation) % 2];
        match operation / 2 % 16 {
            0..5 => self.append(kind, 1 + usize::from(argument) % 8, argument),
            5 => self.append(kind, usize::from(argument) * 8, argument),
            6..9 => self.take(kind),
            9..11 => self.read_own(),
            11..13 => self.read_others(kind, argument),
            13 => {
                self.now += u64::from(argument);
                self.outbox.close_batches(self.now);
                for waiting in self.waiting.iter_mut().flatten() {
                    waiting.closed_at.get_or_insert(self.now);
                }
            }
            14 => {
                self.outbox.open();
                self.is_open = true;
            }
            _ if argument.is_multiple_of(8) => {
                self.outbox.close();
                self.is_open = false;
                self.waiting = Default::default();
            }
            _ => self.repeat_own(),
        }
    }

    fn append(&mut self, kind: Kind, count: usize, first: u8) {
        let numbers = (0..count).map(|index| first.wrapping_add(index as u8) % 16);
        match kind {
            Kind::Ipv4 => {
                let records: Vec<Record<6>> = numbers.clone().map(record).collect();
                self.outbox.append(&records);
            }
            Kind::Ipv6 => {
                let records: Vec<Record<18>> = numbers.clone().map(record).collect();
                self.outbox.append(&records);
            }
            Kind::WebTorrent => unreachable!("no such peer is added"),
        }
        if !self.is_open {
            return;
        }
        for number in numbers {
            let index = kind.index();
            let last = self.waiting[index].back();
            let has_space = last
                .is_some_and(|it| it.closed_at.is_none() && it.records.len() < kind.max_records());
            if !has_space {
                let [ipv4, ipv6] = &self.waiting;
                if ipv4.len() + ipv6.len() == self.space {
                    let has_half = self.waiting[index].len() >= self.space / 2;
                    let loser = if has_half { index } else { 1 - index };
                    let lost = self.waiting[loser].pop_front().expect("it has half");
                    self.dropped += lost.records.len() as u64;
                }
                self.waiting[index].push_back(Waiting::default());
            }
            let last = self.waiting[index].back_mut().expect("it was added");
            last.records.push((number, self.time));
        }
    }

    fn take(&mut self, kind: Kind) {
        let index = kind.index();
        let mut bytes = Vec::new();
        let taken = self.outbox.take(kind, self.now, &mut bytes);
        let expected = self.waiting[index].pop_front();
        let (Some(taken), Some(expected)) = (taken, &expected) else {
            assert!(taken.is_none() && expected.is_none());
            return;
        };
        assert_eq!(
            taken.closed_at_milliseconds,
            expected.closed_at.unwrap_or(self.now)
        );
        self.sequences[index] += 1;
        self.header(OWN, kind, self.sequences[index])
            .write(&mut bytes);
        let found = numbers(&Batch::parse(&bytes).expect("it was made here"));
        assert!(
            found
                .iter()
                .eq(expected.records.iter().map(|(number, _)| number))
        );
        self.in_flight
            .publish(kind, self.sequences[index], taken.received_before);
        let made = expected.records.iter().map(|(_, time)| *time).collect();
        self.stream.push_back((bytes, made));
    }

    /// The oldest own batch is read back.
    fn read_own(&mut self) {
        if let Some((bytes, made)) = self.stream.pop_front() {
            self.read(&bytes, Some(&made));
        }
    }

    /// An own batch is read back twice.
    fn repeat_own(&mut self) {
        if let Some((bytes, made)) = self.stream.pop_front() {
            self.read(&bytes, Some(&made));
            self.read(&bytes, Some(&made));
        }
    }

    fn read_others(&mut self, kind: Kind, argument: u8) {
        let mut bytes = Vec::new();
        batch::start(&mut bytes);
        for number in 0..argument % 4 {
            let number = number.wrapping_add(argument) % 16;
            match kind {
                Kind::Ipv4 => record::<6>(number).write(&mut bytes),
                Kind::Ipv6 => record::<18>(number).write(&mut bytes),
                Kind::WebTorrent => record::<20>(number).write(&mut bytes),
            }
        }
        let node = NodeId([2 + argument / 4 % 3; 8]);
        let sequence = 1 + u64::from(argument / 16);
        self.header(node, kind, sequence).write(&mut bytes);
        self.read(&bytes, None);
    }

    /// Reads a batch. If it is an own one, it is known when its records were made.
    fn read(&mut self, bytes: &[u8], made: Option<&[u64]>) {
        let batch = Batch::parse(bytes).expect("it was made here");
        let header = batch.header();
        let last = self.last.entry((header.node, header.kind)).or_default();
        let expected = match *last {
            0 => Arrival::New,
            last if header.sequence <= last => Arrival::Repeat,
            last if header.sequence == last + 1 => Arrival::New,
            last => Arrival::Gap(header.sequence - last - 1),
        };
        assert_eq!(self.in_flight.receive(header), expected);
        if expected == Arrival::Repeat {
            return;
        }
        *last = header.sequence;
        self.outbox
            .set_batches_received(self.in_flight.batches_received());
        let due = match batch.records() {
            Records::Ipv4(records) => self.due(records),
            Records::Ipv6(records) => self.due(records),
            Records::WebTorrent(records) => self.due(records),
        };
        for (index, (number, is_due)) in numbers(&batch).into_iter().zip(due).enumerate() {
            self.time += 1;
            let key = (header.kind, number);
            let made = made.map(|made| made[index]);
            let must = made.is_none_or(|made| self.applied.get(&key).is_some_and(|it| *it > made));
            assert!(is_due || !must);
            if is_due {
                self.applied.insert(key, self.time);
            }
        }
    }

    fn due<const S: usize>(&mut self, records: RecordIter<'_, S>) -> Vec<bool> {
        records
            .map(|record| {
                let may_be_due = self.in_flight.may_be_due();
                let is_due = self.in_flight.is_due(&record);
                assert!(may_be_due || !is_due, "a batch would be passed over");
                is_due
            })
            .collect()
    }

    fn header(&self, node: NodeId, kind: Kind, sequence: u64) -> Header {
        Header {
            kind,
            max_peer_age_seconds: 1200,
            node,
            sequence,
            closed_at_milliseconds: self.now,
        }
    }
}

fn record<const S: usize>(number: u8) -> Record<S> {
    Record {
        info_hash: InfoHash([number; 20]),
        peer: [number; S],
        change: PeerChange::Leecher,
    }
}

fn numbers(batch: &Batch<'_>) -> Vec<u8> {
    match batch.records() {
        Records::Ipv4(records) => records.map(|it| it.peer[0]).collect(),
        Records::Ipv6(records) => records.map(|it| it.peer[0]).collect(),
        Records::WebTorrent(records) => records.map(|it| it.peer[0]).collect(),
    }
}
