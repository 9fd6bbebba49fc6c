//! Three daemons with real swarms and simulated links, from random seeds.
//!
//! Clients announce, complete and stop at any of them; links are delayed, lost and opened
//! again with everything that is held; daemons are restarted, with snapshots and without.
//! When all is quiet, each holds every peer that lives, in the role that it said last.
//! Not so, until they expire or announce in time again: peers that said something else to
//! one daemon before it was told what they had said to another, or while any was away.
//! After `max_peer_age`, all hold exactly those that live.

mod node;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use aquatic_bittorrent::AnnounceEvent;
use aquatic_cluster::local::{MAX_BLOCK_LENGTH, Swarms as _};
use aquatic_cluster::{Arrival, Batch, Sequences};
use aquatic_swarm::Families;

use node::{Connection, Node, Packet, roles};

const RUNS: u64 = 200;
const STEPS: usize = 120;
const TORRENTS: u8 = 3;
const PEERS: u8 = 6;

/// Ages of the daemons' peers, in seconds.
const AGES: [u16; 3] = [600, 1_200, 900];
const MAX_AGE: u64 = 1_200;

/// Refreshes are stored below this; clients announce within the time before.
const REFRESH_BELOW: u16 = 400;
const INTERVAL: u64 = 300;

/// Milliseconds between two removals of peers that have expired.
const SWEEP_INTERVAL: u64 = 120_000;

/// How long a batch or a block travels at most, in milliseconds.
const MAX_DELAY: u64 = 50;

/// Within this, a change at one may not be known to the other: it waits 10 ms to be sent.
const FLUSH: u64 = 10;

/// Bounds the packets that wait; a reader has at most 8 MiB.
const MAX_WAITING: usize = 2_000;

type Key = (u8, u8);

/// What a peer has said last, and when, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Said {
    at: u64,
    /// When each daemon was told something.
    told_at: [u64; AGES.len()],
    /// `None` if it has stopped.
    is_seeder: Option<bool>,
    /// Whether another daemon may hold what it said before.
    is_disputed: bool,
}

struct Run {
    random: fastrand::Rng,
    now: u64,
    nodes: Vec<Node>,
    said: BTreeMap<Key, Said>,
    next_id: u8,
    trace: String,
}

#[test]
fn daemons_agree_when_all_is_quiet() {
    if let Ok(seed) = std::env::var("AQUATIC_CLUSTER_SEED") {
        let mut run = Run::new(seed.parse().expect("a number"));
        let result = run.execute();
        println!("{}", run.trace);
        result.expect("daemons agree");
        return;
    }
    let base = fastrand::u64(..1 << 40) * RUNS;
    for seed in base..base + RUNS {
        let mut run = Run::new(seed);
        if let Err(message) = run.execute() {
            panic!("AQUATIC_CLUSTER_SEED={seed}:\n{}{message}", run.trace);
        }
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let count = AGES.len();
        Self {
            nodes: (0..count)
                .map(|it| Node::new(it as u8 + 1, AGES[it]))
                .collect(),
            next_id: count as u8 + 1,
            random,
            now: 10_000_000,
            said: BTreeMap::new(),
            trace: String::new(),
        }
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.trace, "{:>10}: {what}", self.now);
    }

    fn execute(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step()?;
        }
        self.quiet()?;
        let start = self.now;
        self.expect_living(false)?;
        // Everybody who lives goes on, and the others expire, wherever they are.
        while self.now < start + (MAX_AGE + 60) * 1_000 + SWEEP_INTERVAL {
            self.pass(10_000)?;
        }
        self.quiet()?;
        self.expect_living(true)?;
        self.expect_nobody_else()
    }

    fn step(&mut self) -> Result<(), String> {
        let node = self.random.usize(..self.nodes.len());
        match self.random.u8(..100) {
            0..45 => self.say(node),
            45..60 => {
                let other = self.random.usize(..self.nodes.len());
                if other != node && self.nodes[node].readers.remove(&other).is_some() {
                    self.dispute_latest();
                    self.note(format_args!("{other} no longer reads from {node}"));
                }
            }
            60..75 => self.connect(node),
            75..78 => self.restart(node),
            78..95 => {
                let time = self.random.u64(..200);
                self.pass(time)?;
            }
            _ => {
                let time = self.random.u64(..INTERVAL * 500);
                self.pass(time)?;
            }
        }
        Ok(())
    }

    fn say(&mut self, node: usize) {
        let key = (self.random.u8(..TORRENTS), self.random.u8(..PEERS));
        let is_seeder = self.random.bool();
        let event = match self.random.u8(..4) {
            0 => AnnounceEvent::Stopped,
            1 if is_seeder => AnnounceEvent::Completed,
            _ => AnnounceEvent::None,
        };
        let is_seeder = (event != AnnounceEvent::Stopped).then_some(is_seeder);
        self.announce(node, key, is_seeder, event);
    }

    fn announce(&mut self, node: usize, key: Key, is_seeder: Option<bool>, event: AnnounceEvent) {
        self.note(format_args!(
            "{key:?} says {is_seeder:?} {event:?} to {node}"
        ));
        let at = &self.nodes[node];
        let said = (is_seeder.unwrap_or_default(), event);
        let Families { ipv4, ipv6, .. } = &at.state.swarms;
        at.announce(ipv4, key, said, self.now, &mut self.random);
        at.announce(ipv6, key, said, self.now, &mut self.random);
        let before = self.said.get(&key);
        let is_linked = self.is_linked();
        let mut told_at = before.map_or_else(Default::default, |before| before.told_at);
        told_at[node] = self.now;
        let is_disputed = before.is_some_and(|before| {
            let is_new = before.is_seeder != is_seeder;
            let is_early = |at: &u64| at + FLUSH + MAX_DELAY > self.now;
            // This one is early in any case.
            let early = told_at.iter().filter(|at| is_early(at)).count();
            early > 1 || is_new && !is_linked || before.is_disputed
        });
        self.said.insert(
            key,
            Said {
                at: self.now,
                told_at,
                is_seeder,
                is_disputed,
            },
        );
    }

    fn is_linked(&self) -> bool {
        let others = self.nodes.len() - 1;
        self.nodes.iter().all(|node| {
            node.readers.len() == others && node.readers.values().all(Connection::is_complete)
        })
    }

    fn connect(&mut self, node: usize) {
        for other in 0..self.nodes.len() {
            if other != node && !self.nodes[node].readers.contains_key(&other) {
                self.note(format_args!("{other} reads from {node}"));
                let now = self.now;
                let from = &mut self.nodes[node];
                from.outbox.open();
                let walk = from.members(now).begin();
                from.readers.insert(
                    other,
                    Connection {
                        walk: Some(walk),
                        waiting: VecDeque::new(),
                        sequences: Sequences::default(),
                    },
                );
            }
        }
    }

    /// In an orderly way: what has changed is sent before.
    fn restart(&mut self, node: usize) {
        let now = self.now;
        self.nodes[node].flush(now, &mut self.random);
        let is_kept = self.random.bool() || !self.is_linked();
        self.note(format_args!("{node} is restarted, kept: {is_kept}"));
        // What is on its way arrives, as the kernel keeps it.
        let on_its_way = std::mem::take(&mut self.nodes[node].readers);
        for (reader, connection) in on_its_way {
            self.deliver(node, reader, connection.waiting, connection.sequences);
        }
        let new = Node::new(self.next_id, self.nodes[node].age);
        self.next_id = self.next_id.wrapping_add(1);
        let old = std::mem::replace(&mut self.nodes[node], new);
        if is_kept {
            let members = old.members(now);
            let mut walk = members.begin();
            let mut block = Vec::new();
            while members.next_block(&mut walk, &mut block) {
                let kept = self.nodes[node].members(now);
                kept.restore(&block).expect("what was written");
                block.clear();
            }
        }
        for other in &mut self.nodes {
            other.readers.remove(&node);
        }
        self.dispute_latest();
    }

    /// A link ends before what was said at last has come over it.
    fn dispute_latest(&mut self) {
        for said in self.said.values_mut() {
            said.is_disputed |= said.at + FLUSH + MAX_DELAY >= self.now;
        }
    }

    fn deliver(
        &mut self,
        from: usize,
        to: usize,
        packets: VecDeque<(u64, Packet)>,
        mut sequences: Sequences,
    ) -> Sequences {
        let now = self.now;
        debug_assert_ne!(from, to);
        let members = self.nodes[to].members(now);
        for (_, packet) in packets {
            match packet {
                Packet::Block(block) => members.restore(&block).expect("what was written"),
                Packet::Batch(bytes) => {
                    let batch = Batch::parse(&bytes).expect("what was written");
                    let header = *batch.header();
                    let arrival = sequences.note(header.node, header.kind, header.sequence);
                    assert_eq!(arrival, Arrival::New, "nothing is lost or repeated");
                    members.apply(&batch, now);
                }
            }
        }
        sequences
    }

    /// Lets milliseconds pass, in which those who live announce in time.
    fn pass(&mut self, milliseconds: u64) -> Result<(), String> {
        let end = self.now + milliseconds;
        while self.now < end {
            self.now += FLUSH.max((end - self.now) / 20).min(end - self.now);
            let due: Vec<_> = self
                .said
                .iter()
                .filter(|(_, said)| said.at + INTERVAL * 1_000 <= self.now)
                .filter_map(|(key, said)| Some((*key, said.is_seeder?)))
                .collect();
            for (key, is_seeder) in due {
                let node = self.random.usize(..self.nodes.len());
                self.announce(node, key, Some(is_seeder), AnnounceEvent::None);
            }
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), String> {
        let now = self.now;
        for from in 0..self.nodes.len() {
            let members = self.nodes[from].members(now);
            let node = &mut self.nodes[from];
            if now >= node.sweep_at {
                node.sweep_at = now + SWEEP_INTERVAL;
                node.sweep(now);
            }
            for connection in node.readers.values_mut() {
                let mut block = Vec::new();
                if let Some(walk) = &mut connection.walk {
                    if members.next_block(walk, &mut block) {
                        if block.len() > MAX_BLOCK_LENGTH {
                            return Err(format!("a block of {} bytes", block.len()));
                        }
                        connection.send(now, Packet::Block(block), &mut self.random);
                    } else {
                        connection.walk = None;
                    }
                }
            }
            node.flush(now, &mut self.random);
            let readers: Vec<usize> = node.readers.keys().copied().collect();
            for to in readers {
                let Some(connection) = self.nodes[from].readers.get_mut(&to) else {
                    continue;
                };
                if connection.waiting.len() > MAX_WAITING {
                    return Err(format!("{} packets wait", connection.waiting.len()));
                }
                let ready = connection.waiting.partition_point(|(at, _)| *at <= now);
                let rest = connection.waiting.split_off(ready);
                let packets = std::mem::replace(&mut connection.waiting, rest);
                let sequences = std::mem::take(&mut connection.sequences);
                let sequences = self.deliver(from, to, packets, sequences);
                if let Some(connection) = self.nodes[from].readers.get_mut(&to) {
                    connection.sequences = sequences;
                }
            }
        }
        Ok(())
    }

    /// All are linked, and all has arrived.
    fn quiet(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.connect(node);
        }
        self.note(format_args!("quiet"));
        for _ in 0..40 {
            self.now += FLUSH;
            self.turn()?;
        }
        Ok(())
    }

    fn expect_living(&self, with_disputed: bool) -> Result<(), String> {
        for (number, node) in self.nodes.iter().enumerate() {
            let blocks = node.blocks();
            for (key, said) in &self.said {
                if said.is_seeder.is_none() || said.is_disputed && !with_disputed {
                    continue;
                }
                let roles = roles(&blocks, *key);
                if roles != [said.is_seeder; 2] {
                    return Err(format!("{key:?} is {roles:?} at {number}: {said:?}"));
                }
            }
        }
        Ok(())
    }

    fn expect_nobody_else(&self) -> Result<(), String> {
        let living = self
            .said
            .iter()
            .filter(|(_, said)| said.is_seeder.is_some());
        let living: BTreeSet<Key> = living.map(|(key, _)| *key).collect();
        for (number, node) in self.nodes.iter().enumerate() {
            let blocks = node.blocks();
            let all = (0..TORRENTS).flat_map(|torrent| (0..PEERS).map(move |peer| (torrent, peer)));
            for key in all.filter(|key| !living.contains(key)) {
                let roles = roles(&blocks, key);
                if roles != [None; 2] {
                    return Err(format!("{key:?} is {roles:?} at {number}, but it is gone"));
                }
            }
        }
        Ok(())
    }
}
