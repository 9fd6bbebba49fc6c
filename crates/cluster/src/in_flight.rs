//! Which of its own records a node has to apply again when it reads them back.
//!
//! A node applies the announces of its clients at once, and publishes them afterwards. The
//! engine puts the records of all nodes into one order, in which all nodes read them. When
//! a node reads its own records, it has already applied them, possibly before another
//! node's record that precedes them in this order. To reach the same state as all other
//! nodes, it applies an own record again when it reads it, if since it was made a record
//! for the same peer was applied: one of another node, or an own one that was applied
//! again. Otherwise only own records have changed the peer in the meantime. They follow in
//! the same order, so applying this one again would not change the final state.
//!
//! Applying a record again without need changes nothing, so approximations suffice:
//!
//! * Instead of when a record was made, the number of batches that had been received before
//!   the first record of its batch.
//! * Instead of the peers whose records were applied, for each hash of peers the last batch
//!   from which a record was applied.

use std::collections::VecDeque;

use strum::EnumCount;

use crate::batch::{Header, Kind, NodeId};
use crate::record::Record;
use crate::sequences::{Arrival, Sequences};

/// Maximum number of published own batches of each kind, not read back yet, whose number of
/// earlier batches is kept. Other batches are applied again entirely.
const MAX_BATCHES: usize = 4096;

/// Is told of all batches in the order of the engine, including own ones, and says which
/// records are to be applied.
///
/// For each batch: call [`receive`](Self::receive); unless it is a repeat, call
/// [`Outbox::set_batches_received`](crate::Outbox::set_batches_received); then call
/// [`is_due`](Self::is_due) for each record, and apply those that are due.
#[derive(Debug)]
pub struct InFlight {
    node: NodeId,
    sequences: Sequences,
    /// Number of batches received, without repeats.
    received: u64,
    /// For each hash, the value of `received` when a record was last applied.
    touched: Box<[u64]>,
    /// The greatest of these.
    last_touched: u64,
    /// Own batches: sequence number, and how many had been received before their first
    /// record.
    own: [VecDeque<(u64, u64)>; Kind::COUNT],
    /// For the batch that was received last, if it is an own one.
    received_before_own: Option<u64>,
}

impl InFlight {
    /// A sufficient number of hashes: with 20,000 records per second from others, and own
    /// batches that are read back within half a second, 8 % of the own records are applied
    /// again without need.
    pub const SLOTS: usize = 1 << 17;

    /// For a node that has published nothing, with so many hashes of peers, 8 bytes each.
    ///
    /// A process that continues where another one was in the stream must pass the
    /// [`sequences`](Self::sequences) of that one. Otherwise a batch that was sent twice
    /// could be read before and after the restart, and be applied by this node only.
    pub fn new(node: NodeId, sequences: Sequences, slots: usize) -> Self {
        Self {
            node,
            sequences,
            received: 0,
            touched: vec![0; slots.max(1)].into(),
            last_touched: 0,
            own: Default::default(),
            received_before_own: None,
        }
    }

    /// Records an own batch before it is sent for the first time: its sequence number, and
    /// `received_before` of [`Taken`](crate::Taken).
    pub fn publish(&mut self, kind: Kind, sequence: u64, received_before: u64) {
        let batches = self.batches(kind);
        if batches.len() >= MAX_BATCHES {
            batches.pop_front();
        }
        batches.push_back((sequence, received_before));
    }

    /// Records a batch that was read, and says whether it is a repeat, in which case none
    /// of its records may be applied.
    pub fn receive(&mut self, header: &Header) -> Arrival {
        let arrival = self
            .sequences
            .note(header.node, header.kind, header.sequence);
        if arrival == Arrival::Repeat {
            return arrival;
        }
        self.received = self.received.saturating_add(1);
        self.received_before_own = (header.node == self.node).then(|| {
            let batches = self.batches(header.kind);
            // Earlier batches that are still in the queue were lost.
            while batches.front().is_some_and(|(it, _)| *it < header.sequence) {
                batches.pop_front();
            }
            let is_known = batches
                .front()
                .is_some_and(|(it, _)| *it == header.sequence);
            let known = is_known.then(|| batches.pop_front()).flatten();
            // All records of a forgotten batch are applied again.
            known.map_or(0, |(_, before)| before)
        });
        arrival
    }

    /// The sequence numbers read so far.
    pub fn sequences(&self) -> &Sequences {
        &self.sequences
    }

    /// Number of batches received so far, without repeats.
    pub fn batches_received(&self) -> u64 {
        self.received
    }

    /// Whether any record of the batch that was received last can be due. None is, if since
    /// it was made no record was applied, as is usual while other nodes publish nothing:
    /// then [`is_due`](Self::is_due) need not be asked.
    pub fn may_be_due(&self) -> bool {
        self.received_before_own
            .is_none_or(|before| self.last_touched >= before)
    }

    /// Whether the next record of the batch that was received last is to be applied.
    #[inline]
    pub fn is_due<const S: usize>(&mut self, record: &Record<S>) -> bool {
        let slot = slot(record, self.touched.len());
        let before = self.received_before_own;
        let is_due = before.is_none_or(|before| self.touched[slot] >= before);
        if is_due {
            self.touched[slot] = self.received;
            self.last_touched = self.received;
        }
        is_due
    }

    fn batches(&mut self, kind: Kind) -> &mut VecDeque<(u64, u64)> {
        &mut self.own[kind.index()]
    }
}

/// Not a keyed hash: whoever chooses peers with the same hash only makes this node apply
/// its own records again.
#[inline]
fn slot<const S: usize>(record: &Record<S>, slots: usize) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    // With space for a peer of either kind; the length is known at compile time.
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&record.info_hash.0[..16]);
    bytes[16..16 + S].copy_from_slice(&record.peer);
    let (words, _) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(0, |hash: u64, word| {
        let mixed = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 32)
    });
    // Maps the hash to the range as evenly as `%` would, but without a division.
    ((u128::from(hash.wrapping_mul(FACTOR)) * slots as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use aquatic_bittorrent::InfoHash;

    use super::*;
    use crate::record::PeerChange;

    const OWN: NodeId = NodeId([1; 8]);
    const OTHER: NodeId = NodeId([2; 8]);

    fn header(node: NodeId, sequence: u64) -> Header {
        Header {
            kind: Kind::Ipv4,
            max_peer_age_seconds: 1200,
            node,
            sequence,
            closed_at_milliseconds: 0,
        }
    }

    fn record(number: u8) -> Record<6> {
        Record {
            info_hash: InfoHash([number; 20]),
            peer: [number; 6],
            change: PeerChange::Leecher,
        }
    }

    #[test]
    fn own_records_are_applied_again_only_if_others_came_between() {
        let mut in_flight = InFlight::new(OWN, Sequences::default(), InFlight::SLOTS);
        in_flight.receive(&header(OTHER, 1));
        assert!(in_flight.is_due(&record(1)));
        in_flight.publish(Kind::Ipv4, 1, 1);
        in_flight.publish(Kind::Ipv4, 2, 2);
        in_flight.receive(&header(OTHER, 2));
        assert!(in_flight.is_due(&record(2)));

        // The other node's record for peer 1 may have arrived after the own batch was
        // begun, and the one for peer 2 did.
        assert_eq!(in_flight.receive(&header(OWN, 1)), Arrival::New);
        let due = [1, 2, 3].map(|number| in_flight.is_due(&record(number)));
        assert_eq!(due, [true, true, false]);
        // A record that was applied again counts like a record of another node.
        assert_eq!(in_flight.receive(&header(OWN, 2)), Arrival::New);
        let due = [1, 2, 3].map(|number| in_flight.is_due(&record(number)));
        assert_eq!(due, [true, true, false]);

        in_flight.publish(Kind::Ipv4, 3, in_flight.batches_received() + 1);
        in_flight.receive(&header(OWN, 3));
        let due = [1, 2, 3].map(|number| in_flight.is_due(&record(number)));
        assert_eq!(due, [false; 3]);
    }

    #[test]
    fn repeats_change_nothing() {
        let mut in_flight = InFlight::new(OWN, Sequences::default(), InFlight::SLOTS);
        in_flight.publish(Kind::Ipv4, 1, 0);
        in_flight.receive(&header(OWN, 1));
        let received = in_flight.batches_received();
        assert_eq!(in_flight.receive(&header(OWN, 1)), Arrival::Repeat);
        assert_eq!(in_flight.batches_received(), received);
    }

    #[test]
    fn what_is_forgotten_is_applied_again() {
        let mut in_flight = InFlight::new(OWN, Sequences::default(), InFlight::SLOTS);
        for sequence in 1..=MAX_BATCHES as u64 + 1 {
            in_flight.publish(Kind::Ipv4, sequence, 1);
        }
        assert_eq!(in_flight.batches(Kind::Ipv4).len(), MAX_BATCHES);
        in_flight.receive(&header(OWN, 1));
        assert!(in_flight.is_due(&record(1)));
        in_flight.receive(&header(OWN, 2));
        assert!(!in_flight.is_due(&record(2)));
    }

    #[test]
    fn peers_are_spread_over_the_slots() {
        const SLOTS: usize = InFlight::SLOTS;
        let mut used = vec![false; SLOTS];
        let numbers = 0..SLOTS as u32;
        for number in numbers {
            let [a, b, c, d] = number.to_be_bytes();
            let record = Record {
                info_hash: InfoHash([3; 20]),
                peer: [10, a, b, c, d, 1],
                change: PeerChange::Leecher,
            };
            used[slot(&record, SLOTS)] = true;
        }
        // A random hash would use 63 %.
        assert!(used.iter().filter(|it| **it).count() > SLOTS / 2);
    }
}
