//! A node: the crate's parts, around a swarm that is a plain map.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aquatic_bittorrent::InfoHash;
use aquatic_cluster::{
    Arrival, Batch, Header, InFlight, Kind, NodeId, Outbox, PeerChange, Record, RecordIter,
    Records, Sequences, batch,
};

/// Torrent and peer.
pub(crate) type Key = (u8, u8);

/// Peers with a number from here on have IPv6 addresses.
pub(crate) const IPV6_FROM: u8 = 3;

/// So few that some peers share a slot.
const SLOTS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) is_seeder: bool,
    /// When the peer expires, on the node's clock.
    pub(crate) until: u64,
}

/// What a node keeps when it is restarted in an orderly way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Swarm {
    pub(crate) peers: BTreeMap<Key, Peer>,
    pub(crate) downloads: BTreeMap<u8, u64>,
    /// Where to continue reading, for IPv4 and IPv6.
    pub(crate) positions: [usize; 2],
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) max_peer_age_seconds: u16,
    /// The error of what this node takes for the engine's time.
    pub(crate) clock_error: i64,
    pub(crate) swarm: Swarm,
    pub(crate) outbox: Outbox,
    pub(crate) in_flight: InFlight,
    /// Last sequence number of each kind.
    sequences: [u64; 2],
    /// The batches that are to be sent next or, after an error, again.
    pub(crate) unsent: VecDeque<(Kind, Vec<u8>)>,
    pub(crate) is_connected: bool,
    /// The id of this node, and those that it had before orderly restarts.
    pub(crate) own_ids: BTreeSet<NodeId>,
    pub(crate) missed: u64,
    /// What was received, as a simple model records it.
    pub(crate) heard: BTreeMap<(NodeId, Kind), Heard>,
}

#[derive(Debug, Default)]
pub(crate) struct Heard {
    last: u64,
    pub(crate) missing: u64,
}

impl Node {
    pub(crate) fn new(
        id: NodeId,
        max_peer_age_seconds: u16,
        clock_error: i64,
        outbox_batches: usize,
        swarm: Swarm,
    ) -> Self {
        let outbox = Outbox::new(outbox_batches * batch::MAX_BATCH_LENGTH);
        outbox.open();
        Self {
            id,
            max_peer_age_seconds,
            clock_error,
            swarm,
            outbox,
            in_flight: InFlight::new(id, Sequences::default(), SLOTS),
            sequences: [0; 2],
            unsent: VecDeque::new(),
            is_connected: true,
            own_ids: BTreeSet::from([id]),
            missed: 0,
            heard: BTreeMap::new(),
        }
    }

    /// Continues where an earlier process stopped.
    pub(crate) fn resume(&mut self, sequences: Sequences) {
        self.heard = sequences
            .iter()
            .map(|(node, kind, last)| ((node, kind), Heard { last, missing: 0 }))
            .collect();
        self.in_flight = InFlight::new(self.id, sequences, SLOTS);
    }

    pub(crate) fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.clock_error)
    }

    /// Handles an announce of a client. Returns what was published of it.
    pub(crate) fn announce(
        &mut self,
        now: u64,
        key: Key,
        change: PeerChange,
    ) -> Option<PeerChange> {
        let clock = self.clock(now);
        self.expire(now);
        let before = self.swarm.peers.get(&key).copied();
        let max_peer_age = u64::from(self.max_peer_age_seconds) * 1000;
        let change = match (change, before) {
            // A seeder cannot complete its download again.
            (PeerChange::Completed, Some(peer)) if peer.is_seeder => PeerChange::Seeder,
            (PeerChange::Stopped, None) => return None,
            (change, _) => change,
        };
        let is_seeder = matches!(change, PeerChange::Seeder | PeerChange::Completed);
        // A refresh is left out while enough of the lifetime is left.
        let is_fresh =
            |it: Peer| it.until > clock + max_peer_age * 4 / 5 && it.is_seeder == is_seeder;
        if change != PeerChange::Stopped && before.is_some_and(is_fresh) {
            return None;
        }
        self.apply(clock, key, change, max_peer_age);
        let (torrent, peer) = key;
        if peer < IPV6_FROM {
            self.outbox.append(&[record::<6>(torrent, peer, change)]);
        } else {
            self.outbox.append(&[record::<18>(torrent, peer, change)]);
        }
        Some(change)
    }

    /// Takes the next batch from the outbox, unless an earlier one still has to be sent.
    pub(crate) fn take(&mut self, now: u64) -> Option<(Kind, Vec<u8>)> {
        if let Some(unsent) = self.unsent.pop_front() {
            return Some(unsent);
        }
        for (kind, sequence) in Kind::ADDRESSES.into_iter().zip(&mut self.sequences) {
            let mut bytes = Vec::new();
            let clock = now.saturating_add_signed(self.clock_error);
            let Some(taken) = self.outbox.take(kind, clock, &mut bytes) else {
                continue;
            };
            *sequence += 1;
            let header = Header {
                kind,
                max_peer_age_seconds: self.max_peer_age_seconds,
                node: self.id,
                sequence: *sequence,
                closed_at_milliseconds: taken.closed_at_milliseconds,
            };
            header.write(&mut bytes);
            self.in_flight
                .publish(kind, *sequence, taken.received_before);
            return Some((kind, bytes));
        }
        None
    }

    pub(crate) fn has_something_to_send(&self) -> bool {
        !self.unsent.is_empty() || self.outbox.batches_waiting() > 0
    }

    /// Queues a batch without records, which only shows that the node is running.
    pub(crate) fn queue_sign_of_life(&mut self, now: u64, kind: Kind) {
        let sequence = &mut self.sequences[kind.index()];
        *sequence += 1;
        let mut bytes = Vec::new();
        batch::start(&mut bytes);
        let header = Header {
            kind,
            max_peer_age_seconds: self.max_peer_age_seconds,
            node: self.id,
            sequence: *sequence,
            closed_at_milliseconds: now.saturating_add_signed(self.clock_error),
        };
        header.write(&mut bytes);
        self.unsent.push_back((kind, bytes));
    }

    /// Receives a batch from the stream. Unless it is a repeat, the caller applies it.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Arrival {
        let batch = Batch::parse(bytes).expect("nodes send batches");
        let arrival = self.in_flight.receive(batch.header());
        let stream = (batch.header().node, batch.header().kind);
        let heard = self.heard.entry(stream).or_default();
        if arrival == Arrival::Repeat {
            return arrival;
        }
        if let Arrival::Gap(missed) = arrival {
            self.missed += missed;
        }
        if heard.last > 0 {
            heard.missing += batch.header().sequence - heard.last - 1;
        }
        heard.last = batch.header().sequence;
        self.outbox
            .set_batches_received(self.in_flight.batches_received());
        arrival
    }

    pub(crate) fn apply_all(&mut self, now: u64, bytes: &[u8]) {
        self.expire(now);
        let batch = Batch::parse(bytes).expect("it was received");
        match batch.records() {
            Records::Ipv4(records) => self.apply_records(now, batch.header(), records),
            Records::Ipv6(records) => self.apply_records(now, batch.header(), records),
            Records::WebTorrent(_) => unreachable!("no node has such peers"),
        }
    }

    pub(crate) fn expire(&mut self, now: u64) {
        let clock = self.clock(now);
        self.swarm.peers.retain(|_, peer| peer.until > clock);
    }

    fn apply_records<const S: usize>(
        &mut self,
        now: u64,
        header: &Header,
        records: RecordIter<'_, S>,
    ) {
        let clock = self.clock(now);
        let remaining = u64::from(header.remaining_seconds(clock)) * 1000;
        let is_own = self.own_ids.contains(&header.node);
        if !self.in_flight.may_be_due() {
            return;
        }
        for record in records {
            if !self.in_flight.is_due(&record) {
                continue;
            }
            let change = match record.change {
                // The download was counted when this change was made.
                PeerChange::Completed if is_own => PeerChange::Seeder,
                change => change,
            };
            let key = (record.info_hash.0[0], record.peer[0]);
            self.apply(clock, key, change, remaining);
        }
    }

    /// The last change decides the role, and the longest remaining time is kept. An
    /// unknown peer without time left is not added.
    fn apply(&mut self, clock: u64, key: Key, change: PeerChange, remaining: u64) {
        let is_seeder = match change {
            PeerChange::Stopped => {
                self.swarm.peers.remove(&key);
                return;
            }
            PeerChange::Leecher => false,
            PeerChange::Seeder => true,
            PeerChange::Completed => {
                *self.swarm.downloads.entry(key.0).or_default() += 1;
                true
            }
        };
        let before = self.swarm.peers.get(&key).map_or(0, |it| it.until);
        let until = before.max(clock + remaining);
        if until > clock {
            self.swarm.peers.insert(key, Peer { is_seeder, until });
        }
    }
}

fn record<const S: usize>(torrent: u8, peer: u8, change: PeerChange) -> Record<S> {
    Record {
        info_hash: InfoHash([torrent; 20]),
        peer: [peer; S],
        change,
    }
}
