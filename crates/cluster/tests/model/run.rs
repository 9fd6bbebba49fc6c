//! One run: what happens, step by step, and what must hold.

use std::collections::BTreeMap;

use aquatic_cluster::{Arrival, Batch, Header, Kind, NodeId, PeerChange};

use crate::MAX_EXTRA;
use crate::engine::Engine;
use crate::node::{Key, Node, Swarm};

/// Milliseconds after which a batch is closed at the latest.
pub(crate) const CLOSE_INTERVAL: u64 = 500;

/// The largest error of a node's estimate of the engine's clock, in milliseconds.
pub(crate) const MAX_CLOCK_ERROR: u64 = 2_000;

/// `max_peer_age` of nodes, in seconds.
const AGES: [u16; 2] = [20, 30];

/// Milliseconds for which the engine keeps batches beyond the longest of these ages.
const TRIM_MARGIN: u64 = 60_000;

const TORRENTS: u8 = 2;
const PEERS: u8 = 5;

/// Bounds of outboxes, in batches.
const LARGE_OUTBOX: usize = 200;
const SMALL_OUTBOX: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    ages: Vec<u16>,
    clock_errors: Vec<i64>,
    outbox_batches: usize,
    pub(crate) steps: Vec<Step>,
}

/// Nodes are named by their index.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Wait(u64),
    Announce(usize, Key, PeerChange),
    Publish(usize, Delivery),
    SignOfLife(usize, Kind),
    /// The node reads this many batches of each kind.
    Read(usize, usize),
    /// The node reads a batch, and a client announces before it is applied.
    ReadDuring(usize, Kind, Key, PeerChange),
    /// The connection is lost, and this many batches of each kind are read again.
    ReadAgain(usize, usize),
    /// From now on, the node neither publishes nor reads.
    Cut(usize),
    Connect(usize),
    /// The node publishes everything, and continues where it was.
    Restart(usize),
    /// The node starts empty.
    Kill(usize),
    /// Trims the batches that are older than any peer may be.
    Trim,
    /// Trims all but this many batches of each kind.
    TrimTo(usize),
}

/// Whether a batch is delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Delivery {
    Arrives,
    /// It arrives, but its sender gets no confirmation, and sends it again.
    Unconfirmed,
    /// It does not arrive, and is sent again.
    Lost,
}

/// How often the events occurred that runs have to cover.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    repeats: u64,
    gaps: u64,
    dropped: u64,
    losses: u64,
    complete: u64,
    restarts: u64,
    kills: u64,
}

pub(crate) struct Run<'a> {
    plan: &'a Plan,
    now: u64,
    engine: Engine,
    nodes: Vec<Node>,
    /// Until when each peer may be held, without [`MAX_EXTRA`].
    deadlines: BTreeMap<Key, u64>,
    /// Whether a record may have been lost before its peer expired.
    is_lost: bool,
    /// Whether a record may have been lost with which a download was counted.
    are_counts_lost: bool,
    next_id: u64,
    /// A log of the steps, if requested.
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) covered: Covered,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(2..=5);
        // Most runs lose nothing, so that all nodes have to agree.
        let is_lossy = random.u8(..4) == 0;
        let error = i64::try_from(MAX_CLOCK_ERROR).expect("it is small");
        let is_exact = random.bool();
        let clock_error = |random: &mut fastrand::Rng| match is_exact {
            true => 0,
            false => random.i64(-error..=error),
        };
        let len = random.usize(20..200);
        Self {
            ages: (0..count).map(|_| AGES[random.usize(..2)]).collect(),
            clock_errors: (0..count).map(|_| clock_error(&mut random)).collect(),
            outbox_batches: if is_lossy { SMALL_OUTBOX } else { LARGE_OUTBOX },
            steps: (0..len)
                .map(|_| Step::new(&mut random, count, is_lossy))
                .collect(),
        }
    }
}

impl Step {
    fn new(random: &mut fastrand::Rng, nodes: usize, is_lossy: bool) -> Self {
        let node = random.usize(..nodes);
        let kind = Kind::ADDRESSES[random.usize(..2)];
        let key = (random.u8(..TORRENTS), random.u8(..PEERS));
        let change = match random.u8(..8) {
            0..3 => PeerChange::Leecher,
            3 => PeerChange::Completed,
            4..6 => PeerChange::Seeder,
            _ => PeerChange::Stopped,
        };
        match random.u8(..100) {
            0..40 => Self::Announce(node, key, change),
            40..60 => {
                let delivery = match random.u8(..8) {
                    0 => Delivery::Unconfirmed,
                    1 => Delivery::Lost,
                    _ => Delivery::Arrives,
                };
                Self::Publish(node, delivery)
            }
            60..72 => Self::Read(node, random.usize(1..5)),
            72..76 => Self::ReadDuring(node, kind, key, change),
            76..86 => Self::Wait(random.u64(1..=CLOSE_INTERVAL)),
            86..88 => Self::Wait(random.u64(1..15_000)),
            88..90 => Self::SignOfLife(node, kind),
            90..92 => Self::ReadAgain(node, random.usize(1..10)),
            92 => Self::Cut(node),
            93..96 => Self::Connect(node),
            96 => Self::Restart(node),
            97 => Self::Kill(node),
            _ if is_lossy => Self::TrimTo(random.usize(..3)),
            _ => Self::Trim,
        }
    }
}

impl Covered {
    pub(crate) fn add(&mut self, other: &Self) {
        self.repeats += other.repeats;
        self.gaps += other.gaps;
        self.dropped += other.dropped;
        self.losses += other.losses;
        self.complete += other.complete;
        self.restarts += other.restarts;
        self.kills += other.kills;
    }

    /// Checks that none of the events is so rare that runs might not cover it.
    pub(crate) fn expect_all(&self) {
        println!("{self:?}");
        let all = [
            self.repeats,
            self.gaps,
            self.dropped,
            self.losses,
            self.complete,
            self.restarts,
            self.kills,
        ];
        assert!(all.iter().all(|it| *it > 50), "{self:?}");
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        let mut run = Self {
            plan,
            // The engine's clock does not begin with 0.
            now: 1_000_000,
            engine: Engine::default(),
            nodes: Vec::new(),
            deadlines: BTreeMap::new(),
            is_lost: false,
            are_counts_lost: false,
            next_id: 1,
            trace: None,
            covered: Covered::default(),
        };
        for index in 0..plan.ages.len() {
            let node = run.started(index, Swarm::default());
            run.nodes.push(node);
        }
        run
    }

    pub(crate) fn execute(&mut self) -> Result<(), String> {
        for step in &self.plan.steps {
            self.step(*step);
            self.check_bounds()?;
        }
        self.settle();
        self.check_bounds()?;
        self.check_gaps()?;
        if self.is_lost {
            self.covered.losses += 1;
            self.begin_anew();
        } else {
            self.covered.complete += 1;
            self.check_downloads()?;
        }
        self.check_agreement()
    }

    fn step(&mut self, step: Step) {
        self.note(|| format!("{step:?}"));
        match step {
            Step::Wait(time) => self.wait(time),
            Step::Announce(index, key, change) => self.announce(index, key, change),
            Step::Publish(index, delivery) => self.publish(index, delivery),
            Step::SignOfLife(index, kind) => self.nodes[index].queue_sign_of_life(self.now, kind),
            Step::Read(index, count) if self.nodes[index].is_connected => {
                for kind in Kind::ADDRESSES {
                    for _ in 0..count {
                        self.read(index, kind, None);
                    }
                }
            }
            Step::ReadDuring(index, kind, key, change) if self.nodes[index].is_connected => {
                self.read(index, kind, Some((key, change)));
            }
            Step::Read(..) | Step::ReadDuring(..) => {}
            Step::ReadAgain(index, count) => {
                for position in &mut self.nodes[index].swarm.positions {
                    *position = position.saturating_sub(count);
                }
            }
            Step::Cut(index) => self.nodes[index].is_connected = false,
            Step::Connect(index) => self.nodes[index].is_connected = true,
            Step::Restart(index) => self.restart(index),
            Step::Kill(index) => {
                self.covered.kills += 1;
                self.note_dropped(index);
                // Downloads that the node had counted and not published are lost.
                self.are_counts_lost = true;
                self.nodes[index] = self.started(index, Swarm::default());
            }
            Step::Trim => {
                let age = u64::from(AGES[1]) * 1000 + TRIM_MARGIN;
                for kind in Kind::ADDRESSES {
                    self.engine
                        .stream(kind)
                        .trim_before(self.now.saturating_sub(age));
                }
            }
            Step::TrimTo(len) => {
                for kind in Kind::ADDRESSES {
                    self.engine.stream(kind).trim_to(len);
                }
            }
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8} {}", self.now, line()));
        }
    }

    fn wait(&mut self, time: u64) {
        for later in [0, time] {
            self.now += later;
            for node in &mut self.nodes {
                node.outbox.close_batches(node.clock(self.now));
                node.expire(self.now);
            }
        }
    }

    fn announce(&mut self, index: usize, key: Key, change: PeerChange) {
        let published = self.nodes[index].announce(self.now, key, change);
        self.note_announced(index, key, published);
    }

    fn note_announced(&mut self, index: usize, key: Key, published: Option<PeerChange>) {
        if published.is_some_and(|it| it != PeerChange::Stopped) {
            let age = u64::from(self.plan.ages[index]) * 1000;
            let deadline = self.deadlines.entry(key).or_default();
            *deadline = (*deadline).max(self.now + age);
        }
    }

    fn publish(&mut self, index: usize, delivery: Delivery) {
        let node = &mut self.nodes[index];
        if !node.is_connected {
            return;
        }
        let Some((kind, batch)) = node.take(self.now) else {
            return;
        };
        if matches!(delivery, Delivery::Arrives | Delivery::Unconfirmed) {
            self.engine.stream(kind).add(self.now, &batch);
        }
        if matches!(delivery, Delivery::Lost | Delivery::Unconfirmed) {
            node.unsent.push_front((kind, batch));
        }
    }

    /// Reads the next batch, if there is one.
    fn read(&mut self, index: usize, kind: Kind, during: Option<(Key, PeerChange)>) -> bool {
        let node = &mut self.nodes[index];
        let stream = self.engine.stream(kind);
        let position = &mut node.swarm.positions[kind.index()];
        if *position < stream.lost_before {
            self.is_lost = true;
        }
        let Some((found, batch)) = stream.read(*position) else {
            return false;
        };
        self.are_counts_lost |= found > *position;
        *position = found + 1;
        let arrival = node.receive(&batch);
        if let Some((key, change)) = during {
            self.announce(index, key, change);
        }
        if arrival != Arrival::Repeat {
            self.nodes[index].apply_all(self.now, &batch);
        }
        match arrival {
            Arrival::New => {}
            Arrival::Repeat => self.covered.repeats += 1,
            Arrival::Gap(_) => self.covered.gaps += 1,
        }
        let header = *Batch::parse(&batch).expect("it was read").header();
        self.note(|| {
            let Header { node, sequence, .. } = header;
            let node = node.0[7];
            format!("{index} reads {kind:?} {found}: batch {sequence} of {node}, {arrival:?}")
        });
        true
    }

    fn publish_all(&mut self, index: usize) {
        self.nodes[index].is_connected = true;
        while self.nodes[index].has_something_to_send() {
            self.publish(index, Delivery::Arrives);
        }
    }

    fn restart(&mut self, index: usize) {
        self.covered.restarts += 1;
        self.publish_all(index);
        self.note_dropped(index);
        let old = &self.nodes[index];
        let (swarm, sequences) = (old.swarm.clone(), old.in_flight.sequences().clone());
        let mut former = old.own_ids.clone();
        let mut node = self.started(index, swarm);
        node.resume(sequences);
        node.own_ids.append(&mut former);
        self.nodes[index] = node;
    }

    fn started(&mut self, index: usize, swarm: Swarm) -> Node {
        let id = NodeId(self.next_id.to_be_bytes());
        self.next_id += 1;
        let (age, error) = (self.plan.ages[index], self.plan.clock_errors[index]);
        Node::new(id, age, error, self.plan.outbox_batches, swarm)
    }

    fn note_dropped(&mut self, index: usize) {
        let dropped = self.nodes[index].outbox.dropped();
        self.covered.dropped += dropped;
        self.is_lost |= dropped > 0;
    }

    /// Everything that is on its way arrives.
    fn settle(&mut self) {
        self.note(|| "all settles".to_owned());
        for index in 0..self.nodes.len() {
            self.note_dropped(index);
            for kind in Kind::ADDRESSES {
                self.nodes[index].queue_sign_of_life(self.now, kind);
            }
            self.publish_all(index);
        }
        for index in 0..self.nodes.len() {
            for kind in Kind::ADDRESSES {
                while self.read(index, kind, None) {}
            }
            self.nodes[index].expire(self.now);
        }
    }

    /// After a loss, lets old peers expire, and clients announce again.
    fn begin_anew(&mut self) {
        self.wait(u64::from(AGES[1]) * 1000 + MAX_EXTRA);
        self.deadlines.clear();
        let mut random = fastrand::Rng::with_seed(self.now);
        for _ in 0..10 {
            let index = random.usize(..self.nodes.len());
            let key = (random.u8(..TORRENTS), random.u8(..PEERS));
            self.step(Step::Announce(index, key, PeerChange::Leecher));
        }
        self.settle();
    }

    fn check_bounds(&self) -> Result<(), String> {
        for (index, node) in self.nodes.iter().enumerate() {
            for (key, peer) in &node.swarm.peers {
                let until = peer.until.saturating_add_signed(-node.clock_error);
                let deadline = self.deadlines.get(key).copied().unwrap_or(0);
                if until > deadline + MAX_EXTRA {
                    return Err(format!(
                        "node {index} holds {key:?} until {until} instead of {deadline}"
                    ));
                }
            }
            if node.outbox.batches_waiting() > self.plan.outbox_batches {
                return Err(format!("the outbox of node {index} is too large"));
            }
        }
        Ok(())
    }

    /// Checks that a node which missed batches of a node that it knew has noticed that
    /// when it received a later one.
    fn check_gaps(&self) -> Result<(), String> {
        for (index, node) in self.nodes.iter().enumerate() {
            let expected: u64 = node.heard.values().map(|heard| heard.missing).sum();
            if node.missed != expected {
                return Err(format!(
                    "node {index} noticed {} missing batches of {expected}",
                    node.missed
                ));
            }
        }
        Ok(())
    }

    fn check_downloads(&self) -> Result<(), String> {
        if self.are_counts_lost {
            return Ok(());
        }
        let first = &self.nodes[0].swarm.downloads;
        let expected = self.nodes.iter().find(|it| it.swarm.downloads != *first);
        match expected {
            Some(other) => Err(format!(
                "downloads {first:?} and {:?}",
                other.swarm.downloads
            )),
            None => Ok(()),
        }
    }

    fn check_agreement(&self) -> Result<(), String> {
        for torrent in 0..TORRENTS {
            for peer in 0..PEERS {
                self.check_peer((torrent, peer))?;
            }
        }
        Ok(())
    }

    fn check_peer(&self, key: Key) -> Result<(), String> {
        let held = self.nodes.iter().map(|node| {
            let peer = node.swarm.peers.get(&key)?;
            Some((
                peer.is_seeder,
                peer.until.saturating_add_signed(-node.clock_error),
            ))
        });
        let held: Vec<_> = held.collect();
        let until = |it: &Option<(bool, u64)>| it.map_or(self.now, |(_, until)| until);
        let latest = held.iter().map(until).max().unwrap_or(0);
        let earliest = held.iter().map(until).min().unwrap_or(0);
        let mut roles = held.iter().flatten().map(|(is_seeder, _)| is_seeder);
        let role = roles.next();
        // Peers that are about to expire may be gone at one node before another.
        if latest > earliest + MAX_EXTRA || roles.any(|it| Some(it) != role) {
            return Err(format!("at {}, {key:?} is {held:?}", self.now));
        }
        Ok(())
    }
}
