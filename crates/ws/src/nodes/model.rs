//! Several nodes with WebTorrent peers, and an engine, in simulated time, from random seeds.
//!
//! Clients connect, announce, stop, leave and move to other nodes; nodes are cut off from the
//! engine and killed; the engine is away. At the end, when all are connected and all living
//! clients have announced once more, all nodes have the same peers in the same roles, and
//! none of nodes that were killed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use aquatic_bittorrent::{InfoHash, PeerId};
use aquatic_cluster::{Batch, Header, Held, Kind, NodeId, Outbox, SharedSwarms as _, batch};
use aquatic_service::clock::{Clock, Now};
use aquatic_swarm::snapshot::{SnapshotWalk, visit_peers};
use serde_json::json;

use super::*;
use crate::config::Config;
use crate::settings::Settings;
use crate::simulation;
use crate::tracker::{Address, PendingOffers, Session, Tracker};

const RUNS: u64 = 300;
const STEPS: usize = 250;
const NODES: usize = 3;
const PEERS: u8 = 6;
const SILENCE: u64 = 3_000;
const INTERRUPTION: u64 = 2_000;
const RETURN: u64 = 10_000;

/// Peers by number, and whether they are seeders.
type Roles = BTreeMap<u8, bool>;

struct Node {
    id: NodeId,
    nodes: Arc<Nodes>,
    members: Members,
    tracker: Tracker,
    swarms: Arc<crate::tracker::State>,
    outbox: Arc<Outbox>,
    sequence: u64,
    /// How many entries of the stream were read.
    position: usize,
    newest: u64,
    expected_until: BTreeMap<NodeId, u64>,
    /// When its last entry was added.
    last_entry: Option<u64>,
    is_cut: bool,
}

struct Client {
    node: usize,
    session: Session,
    is_seeder: bool,
}

struct Run {
    random: fastrand::Rng,
    clock: Clock,
    now: u64,
    away_until: u64,
    stream: Vec<(u64, Vec<u8>)>,
    nodes: Vec<Node>,
    clients: BTreeMap<u8, Client>,
    next_id: u64,
    trace: String,
}

fn info_hash() -> InfoHash {
    InfoHash([b'h'; 20])
}

fn peer_id(number: u8) -> PeerId {
    PeerId([b'a' + number; 20])
}

#[test]
fn nodes_have_the_same_peers_when_all_is_quiet() {
    let base = fastrand::u64(..1 << 40);
    for seed in base..base + RUNS {
        let mut run = Run::new(seed);
        if let Err(message) = run.execute() {
            panic!("seed {seed}:\n{}{message}", run.trace);
        }
    }
}

impl Node {
    fn new(number: u64, clock: &Clock) -> Self {
        let settings = Settings::new(&Default::default()).expect("settings");
        let swarms = simulation::state(&settings, [7; 16]);
        let nodes = Arc::new(Nodes::default());
        let id = NodeId(number.to_be_bytes());
        let outbox = Arc::new(Outbox::new(0));
        outbox.open();
        let random = fastrand::Rng::with_seed(number);
        Self {
            id,
            members: Members::new(
                swarms.clone(),
                nodes.clone(),
                id,
                clock.clone(),
                Arc::default(),
            ),
            tracker: Tracker::new(swarms.clone(), random, Arc::default())
                .with_outbox(Some(outbox.clone())),
            nodes,
            swarms,
            outbox,
            sequence: 0,
            position: 0,
            newest: 0,
            expected_until: BTreeMap::new(),
            last_entry: None,
            is_cut: false,
        }
    }

    fn batch(&mut self, mut bytes: Vec<u8>, closed_at_milliseconds: u64) -> Vec<u8> {
        self.sequence += 1;
        let header = Header {
            kind: Kind::WebTorrent,
            max_peer_age_seconds: 180,
            node: self.id,
            sequence: self.sequence,
            closed_at_milliseconds,
        };
        header.write(&mut bytes);
        bytes
    }

    /// What it adds to the stream, a heartbeat at least.
    fn publish(&mut self, now: u64) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        batch::start(&mut bytes);
        let mut batches = vec![self.batch(bytes, now)];
        if self.last_entry.is_some_and(|last| now > last + SILENCE) {
            let mut held = Held::default();
            let mut walk = self.members.begin();
            while self.members.next_held(&mut walk, &mut held) {}
            let mut bytes = Vec::new();
            batch::start(&mut bytes);
            for (record, _) in &held.web_torrent {
                record.write(&mut bytes);
            }
            batches.push(self.batch(bytes, now));
        }
        let mut bytes = Vec::new();
        while self
            .outbox
            .take(Kind::WebTorrent, now, &mut bytes)
            .is_some()
        {
            let batch = self.batch(std::mem::take(&mut bytes), now);
            batches.push(batch);
        }
        self.last_entry = Some(now);
        batches
    }

    fn read(&mut self, at: u64, bytes: &[u8]) {
        let batch = Batch::parse(bytes).expect("what was written");
        if at > self.newest + INTERRUPTION {
            for until in self.expected_until.values_mut() {
                *until = at + RETURN;
            }
        }
        self.newest = at;
        let node = batch.header().node;
        if node != self.id {
            let until = self.expected_until.entry(node).or_insert_with(|| {
                self.members.node_has_started(node);
                0
            });
            *until = (*until).max(at + SILENCE);
        }
        if !batch.is_empty() {
            self.members.apply(&batch, at);
        }
        let newest = self.newest;
        let members = &self.members;
        self.expected_until.retain(|node, until| {
            let has_ended = *until < newest;
            if has_ended {
                members.node_has_ended(*node);
            }
            !has_ended
        });
        while self.members.remove_ended_peers() {}
    }

    fn roles(&self) -> Roles {
        let swarm = self.swarms.shared.swarms.all().next().expect("a swarm");
        let mut walk = SnapshotWalk::with_blocks_of(60_000);
        let mut roles = Roles::new();
        let mut block = Vec::new();
        while walk.next_block(swarm, 0, &mut block) {
            visit_peers::<28>(&block, |_, record, is_seeder, _| {
                assert!(self.nodes.is_alive()(Address::in_record(record)));
                roles.insert(record[0] - b'a', is_seeder);
            })
            .expect("a block");
            block.clear();
        }
        roles
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let clock = Clock::start();
        Self {
            random: fastrand::Rng::with_seed(seed),
            now: 1_000_000,
            away_until: 0,
            stream: Vec::new(),
            nodes: (0..NODES).map(|it| Node::new(it as u64, &clock)).collect(),
            clients: BTreeMap::new(),
            clock,
            next_id: NODES as u64,
            trace: String::new(),
        }
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.trace, "{:>9}: {what}", self.now);
    }

    fn execute(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step();
            self.check_bound()?;
        }
        self.away_until = 0;
        for node in &mut self.nodes {
            node.is_cut = false;
        }
        self.note(format_args!("quiet"));
        self.wait(20_000);
        let peers: Vec<u8> = self.clients.keys().copied().collect();
        for peer in peers {
            self.announce(peer);
        }
        self.wait(1_000);
        for node in &mut self.nodes {
            for (at, bytes) in &self.stream[node.position..] {
                node.read(*at, bytes);
            }
        }
        let clients = self.clients.iter();
        let living: Roles = clients.map(|(peer, it)| (*peer, it.is_seeder)).collect();
        for (number, node) in self.nodes.iter().enumerate() {
            let roles = node.roles();
            if roles != living {
                return Err(format!("{number} has {roles:?} instead of {living:?}"));
            }
        }
        Ok(())
    }

    fn check_bound(&self) -> Result<(), String> {
        for node in &self.nodes {
            let totals = node.swarms.shared.swarms.all().map(|it| it.totals().peers);
            if totals.sum::<usize>() > usize::from(PEERS) {
                return Err("too many peers".into());
            }
        }
        Ok(())
    }

    fn step(&mut self) {
        let node = self.random.usize(..NODES);
        let peer = self.random.u8(..PEERS);
        match self.random.u8(..100) {
            0..30 => {
                if !self.clients.contains_key(&peer) {
                    self.connect(peer, node);
                }
                self.announce(peer);
            }
            30..40 => self.leave(peer),
            40..50 => {
                // The old connection is closed before or after.
                let old = self.clients.remove(&peer);
                let is_early = self.random.bool();
                if let Some(old) = old {
                    if is_early {
                        self.nodes[old.node].tracker.closed(old.session);
                        self.connect(peer, node);
                        self.announce(peer);
                    } else {
                        self.connect(peer, node);
                        self.announce(peer);
                        self.nodes[old.node].tracker.closed(old.session);
                    }
                }
            }
            50..55 => {
                self.note(format_args!("{node} is cut off or back"));
                self.nodes[node].is_cut ^= true;
            }
            55..57 => self.kill(node),
            57..60 => {
                let until = self.now + self.random.u64(..20_000);
                self.away_until = until;
                self.note(format_args!("the engine is away until {until}"));
            }
            _ => {
                let time = self.random.u64(..2_000);
                self.wait(time);
            }
        }
    }

    fn connect(&mut self, peer: u8, node: usize) {
        self.note(format_args!("{peer} connects to {node}"));
        let source: IpAddr = Ipv4Addr::LOCALHOST.into();
        self.next_id += 1;
        let session = Session::new(source, Address(self.next_id));
        let is_seeder = self.random.bool();
        self.clients.insert(
            peer,
            Client {
                node,
                session,
                is_seeder,
            },
        );
    }

    fn announce(&mut self, peer: u8) {
        let Some(client) = self.clients.get_mut(&peer) else {
            return;
        };
        let message = json!({
            "action": "announce",
            "info_hash": str::from_utf8(&info_hash().0).expect("letters"),
            "peer_id": str::from_utf8(&peer_id(peer).0).expect("letters"),
            "left": u8::from(!client.is_seeder),
        });
        let now = Now {
            monotonic_seconds: self.clock.now().monotonic_seconds,
            epoch_seconds: 0,
            milliseconds: 0,
        };
        let mut pending = PendingOffers::new();
        let tracker = &mut self.nodes[client.node].tracker;
        let text = message.to_string();
        tracker.handle(
            now,
            &Config::default(),
            &mut client.session,
            &mut pending,
            &text,
            &mut Vec::new(),
        );
    }

    fn leave(&mut self, peer: u8) {
        if let Some(client) = self.clients.remove(&peer) {
            self.note(format_args!("{peer} leaves {}", client.node));
            self.nodes[client.node].tracker.closed(client.session);
        }
    }

    fn kill(&mut self, node: usize) {
        self.note(format_args!("{node} is killed"));
        self.clients.retain(|_, client| client.node != node);
        self.next_id += 1;
        self.nodes[node] = Node::new(self.next_id, &self.clock);
    }

    /// Lets time pass, in which nodes publish and read.
    fn wait(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while self.now < end {
            self.now += 100;
            if self.now < self.away_until {
                continue;
            }
            for node in self.nodes.iter_mut().filter(|it| !it.is_cut) {
                let is_due = node.last_entry.is_none_or(|last| self.now >= last + 1_000);
                // An outbox is emptied every now and then.
                if is_due || self.random.u8(..3) == 0 {
                    for batch in node.publish(self.now) {
                        self.stream.push((self.now, batch));
                    }
                }
            }
            for node in self.nodes.iter_mut().filter(|it| !it.is_cut) {
                // Some are behind.
                let behind = self.random.usize(..3);
                let until = self.stream.len().saturating_sub(behind).max(node.position);
                for (at, bytes) in &self.stream[node.position..until] {
                    node.read(*at, bytes);
                }
                node.position = until;
            }
        }
    }
}
