//! Which of a node's own records it has to apply again when they come back.
//!
//! A node applies what its clients say at once, and only then publishes it. The engine
//! puts the records of all nodes into one order, in which everybody reads them, but a
//! node's own have then long been applied: perhaps before another's that now stands
//! before them. To end up like all others, it applies an own record again when it reads
//! it, if since it was made another's record, or an own one that was applied again, came
//! for that peer. Otherwise nothing has touched the peer in between but own records,
//! which follow in the same order, so that nothing would change in the end.
//!
//! Applying again what need not be changes nothing. So it is enough to know too little:
//!
//! * Not when a record was made, but how many batches had come when the first one of
//!   its batch was.
//! * Not which peers others' records came for, but the last batch with a peer of the same
//!   hash.

use std::collections::VecDeque;

use crate::batch::{Header, Kind, NodeId};
use crate::record::Record;
use crate::sequences::{Arrival, Sequences};

/// Own batches of each kind, published and not read back, of which is known how many had
/// come before. Others are applied again as a whole.
const MAX_BATCHES: usize = 4096;

/// Sees all batches in the order of the engine, own ones included, and says what of them
/// is to be applied.
///
/// For each batch that is read: [`receive`](Self::receive); unless it is a repeat,
/// [`Outbox::set_batches_received`](crate::Outbox::set_batches_received); then
/// [`is_due`](Self::is_due) for each record, and those that are due are applied.
#[derive(Debug)]
pub struct InFlight {
    node: NodeId,
    sequences: Sequences,
    /// Batches that were received, repeats not counted.
    received: u64,
    /// For each hash, what `received` was when a record was last applied.
    touched: Box<[u64]>,
    /// Own batches: sequence number, and how many had been received before their first
    /// record.
    ipv4: VecDeque<(u64, u64)>,
    ipv6: VecDeque<(u64, u64)>,
    /// Of the batch that was received last, if it is an own one.
    received_before_own: Option<u64>,
}

impl InFlight {
    /// Hashes that are enough: with 20,000 records a second of others, and own batches that
    /// come back within half a second, 8 % of the own records are applied for nothing.
    pub const SLOTS: usize = 1 << 17;

    /// Of this node, which has published nothing, with 8 bytes for each of so many hashes
    /// that peers can have.
    ///
    /// If it goes on where another process was in the stream, that one's
    /// [`sequences`](Self::sequences) must be given. Without, a batch that was sent twice
    /// could be read before and after, and be applied by this node only.
    pub fn new(node: NodeId, sequences: Sequences, slots: usize) -> Self {
        Self {
            node,
            sequences,
            received: 0,
            touched: vec![0; slots.max(1)].into(),
            ipv4: VecDeque::new(),
            ipv6: VecDeque::new(),
            received_before_own: None,
        }
    }

    /// Notes an own batch, before it is sent for the first time: its number, and what
    /// [`Taken`](crate::Taken) says.
    pub fn publish(&mut self, kind: Kind, sequence: u64, received_before: u64) {
        let batches = self.batches(kind);
        if batches.len() >= MAX_BATCHES {
            batches.pop_front();
        }
        batches.push_back((sequence, received_before));
    }

    /// Notes a batch that was read, and says whether it came before, in which case
    /// nothing of it may be applied.
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
            // Those before it, if any are left, were lost.
            while batches.front().is_some_and(|(it, _)| *it < header.sequence) {
                batches.pop_front();
            }
            let is_known = batches
                .front()
                .is_some_and(|(it, _)| *it == header.sequence);
            let known = is_known.then(|| batches.pop_front()).flatten();
            // Of what was forgotten, all is applied again.
            known.map_or(0, |(_, before)| before)
        });
        arrival
    }

    /// What was read up to here.
    pub fn sequences(&self) -> &Sequences {
        &self.sequences
    }

    /// Batches that were received so far, repeats not counted.
    pub fn batches_received(&self) -> u64 {
        self.received
    }

    /// Whether the next record, of the batch that was received last, is to be applied.
    #[inline]
    pub fn is_due<const S: usize>(&mut self, record: &Record<S>) -> bool {
        let slot = slot(record, self.touched.len());
        let before = self.received_before_own;
        let is_due = before.is_none_or(|before| self.touched[slot] >= before);
        if is_due {
            self.touched[slot] = self.received;
        }
        is_due
    }

    fn batches(&mut self, kind: Kind) -> &mut VecDeque<(u64, u64)> {
        match kind {
            Kind::Ipv4 => &mut self.ipv4,
            Kind::Ipv6 => &mut self.ipv6,
        }
    }
}

/// Who chooses peers that have the same hash only has the own ones applied again.
#[inline]
fn slot<const S: usize>(record: &Record<S>, slots: usize) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    // With space for a peer of any kind, whose length is known when this is compiled.
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&record.info_hash.0[..16]);
    bytes[16..16 + S].copy_from_slice(&record.peer);
    let (words, _) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(0, |hash: u64, word| {
        let mixed = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 32)
    });
    // As many of each, as `%` would, without a division.
    ((u128::from(hash.wrapping_mul(FACTOR)) * slots as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use aquatic_bittorrent::InfoHash;

    use super::*;
    use crate::record::Change;

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
            change: Change::Leecher,
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

        // That for peer 1 may have come within the own batch's time, and 2 did.
        assert_eq!(in_flight.receive(&header(OWN, 1)), Arrival::New);
        let due = [1, 2, 3].map(|number| in_flight.is_due(&record(number)));
        assert_eq!(due, [true, true, false]);
        // What was applied again counts like another's.
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
        assert_eq!(in_flight.ipv4.len(), MAX_BATCHES);
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
                change: Change::Leecher,
            };
            used[slot(&record, SLOTS)] = true;
        }
        // At random, 63 % would be.
        assert!(used.iter().filter(|it| **it).count() > SLOTS / 2);
    }
}
