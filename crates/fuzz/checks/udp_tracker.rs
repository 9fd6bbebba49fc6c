//! Invariants for any sequence of batches of datagrams.
//!
//! The input is a sequence of operations: batches of datagrams from several clients, time
//! that passes, sweeps, other access lists. A simple model knows the outcome of each
//! datagram. A second tracker gets the same datagrams one by one, and must reply the same.
//!
//! * Only connect requests are answered without a connection id that was given to that
//!   address, and is neither too old nor from the future.
//! * A reply has the transaction id of its request, and no more bytes than the
//!   configuration allows; without a connection id, no more than the request.
//! * Counts are those of the model. Peers are those of the torrent, without duplicates, and
//!   as many as exist and are allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use aquatic_bittorrent::InfoHash;
use aquatic_service::access_list::{AccessList, InfoHashSet};
use aquatic_service::clock::Now;
use aquatic_service::config::numbers::Number;
use aquatic_service::lists::Lists;
use aquatic_swarm::{Families, HashKey, SwarmLimits, Sweep};
use aquatic_udp::MAX_REPLY_LENGTH;
use aquatic_udp::config::Config;
use aquatic_udp::tracker::{
    Batch, ConnectionIdKeys, Datagram, Outcome, RejectReason, RequestKind, State, Tracker,
};
use aquatic_udp_protocol::{AddressFamily, ConnectionIdKey, Peers, Response};

#[path = "udp_tracker_model.rs"]
mod model;

/// Maximum number of operations: more would find nothing new.
const MAX_EVENTS: usize = 300;

/// Numbers of torrents, of clients of each family, and of ports of each client.
const TORRENTS: u8 = 6;
const CLIENTS: u8 = 3;
const PORTS: u8 = 6;

/// Number of datagrams in a batch, so that announces take several groups.
const MAX_DATAGRAMS: usize = 20;

const MAX_RESPONSE_PEERS: usize = 5;
const MAX_SCRAPE_TORRENTS: usize = 3;
const PEER_LIFETIME_SECONDS: u16 = 300;
const CONNECTION_LIFETIME_SECONDS: u32 = 120;
const MAX_SECONDS_IN_FUTURE: u32 = 60;
const ANNOUNCE_INTERVAL_SECONDS: u32 = 900;

/// The maximum number of peers per torrent, if there is one.
const MAX_PEERS_PER_TORRENT: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// Length of an error; the longest text has 47 bytes.
const MAX_ERROR_BYTES: usize = 64;

const PROTOCOL_ID: [u8; 8] = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80];
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const COMPLETED: u32 = 1;
const STOPPED: u32 = 3;

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let mut input = Input(bytes);
    let has_cap = input.byte().is_some_and(|byte| byte % 2 == 1);
    let mut run = Run::new(has_cap);
    for _ in 0..MAX_EVENTS {
        let Some(event) = input.byte() else { break };
        match event % 16 {
            0..=12 => run.batch(&mut input),
            13 => run.wait(match input.byte().unwrap_or(0) {
                short @ 0..200 => u32::from(short / 16),
                long => u32::from(long),
            }),
            14 => run.sweep(),
            _ => run.reload(input.byte().unwrap_or(0) & input.byte().unwrap_or(0)),
        }
    }
    run.sweep();
    run.compare_totals();
}

/// The rest of the input.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A number below `bound`, 0 at the end of the input.
    fn below(&mut self, bound: u8) -> u8 {
        self.byte().unwrap_or(0) % bound
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Two trackers and the model.
struct Run {
    /// The tracker that gets batches.
    batched: Tracked,
    /// The tracker that gets single datagrams.
    single: Tracked,
    model: Model,
    now: Now,
    transaction: u32,
}

/// A tracker whose access list can be replaced.
struct Tracked {
    state: Arc<State>,
    tracker: Tracker,
    config: Config,
}

/// The model.
struct Model {
    /// The swarms of IPv4 and IPv6.
    torrents: [BTreeMap<u8, Torrent>; 2],
    /// Connection ids, their addresses, and when they were given.
    issued: Vec<([u8; 8], IpAddr, u32)>,
    forbidden: BTreeSet<u8>,
    has_cap: bool,
}

#[derive(Default)]
struct Torrent {
    peers: BTreeMap<SocketAddr, Peer>,
    completed: u32,
}

#[derive(Clone, Copy)]
struct Peer {
    is_seeder: bool,
    has_seeded: bool,
    until: u32,
}

/// A datagram, and what the model needs to know about it.
struct Sent {
    source: SocketAddr,
    bytes: Vec<u8>,
    asks: Asks,
}

enum Asks {
    Connect,
    Announce(Announce),
    Scrape(Vec<u8>),
    /// Too short, or of an unknown kind.
    Nonsense,
}

struct Announce {
    torrent: u8,
    port: u16,
    is_seeder: bool,
    event: u32,
    wanted: i32,
}

type Reply = (Outcome, Vec<u8>);

impl Run {
    fn new(has_cap: bool) -> Self {
        Self {
            batched: Tracked::new(has_cap),
            single: Tracked::new(has_cap),
            model: Model {
                torrents: Default::default(),
                issued: Vec::new(),
                forbidden: BTreeSet::new(),
                has_cap,
            },
            now: Now {
                monotonic_seconds: 5,
                // A time near zero.
                epoch_seconds: 30,
                milliseconds: 0,
            },
            transaction: 0,
        }
    }

    fn wait(&mut self, seconds: u32) {
        self.now.monotonic_seconds += seconds;
        self.now.epoch_seconds += seconds;
    }

    fn sweep(&mut self) {
        for tracked in [&self.batched, &self.single] {
            tracked.sweep(self.now.monotonic_seconds);
        }
        let forbidden = &self.model.forbidden;
        for torrents in &mut self.model.torrents {
            torrents.retain(|torrent, _| !forbidden.contains(torrent));
            for torrent in torrents.values_mut() {
                torrent
                    .peers
                    .retain(|_, peer| peer.until > self.now.monotonic_seconds);
            }
        }
    }

    /// Forbids the torrents whose bit is set.
    fn reload(&mut self, bits: u8) {
        let forbidden = (0..TORRENTS).filter(|torrent| bits & (1 << torrent) != 0);
        self.model.forbidden = forbidden.collect();
        let is_allow_list = bits & 0x80 != 0;
        for tracked in [&mut self.batched, &mut self.single] {
            tracked.reload(&self.model.forbidden, is_allow_list);
        }
    }

    fn compare_totals(&self) {
        for tracked in [&self.batched, &self.single] {
            let swarms = &tracked.state.swarms;
            let totals = [swarms.ipv4.totals(), swarms.ipv6.totals()];
            for (totals, torrents) in totals.iter().zip(&self.model.torrents) {
                let alive = torrents
                    .values()
                    .filter(|torrent| !torrent.peers.is_empty());
                assert_eq!(totals.torrents, alive.clone().count());
                let peers = alive.map(|torrent| torrent.peers.len());
                assert_eq!(totals.peers, peers.sum::<usize>());
            }
        }
    }

    /// Sends a batch to one tracker, and the same datagrams one by one to the other.
    fn batch(&mut self, input: &mut Input<'_>) {
        let count = 1 + input.below(MAX_DATAGRAMS as u8);
        let sent: Vec<Sent> = (0..count).map(|_| self.compose(input)).collect();
        let replies = self.batched.answer(self.now, &sent);

        // Announces of a batch are answered after its other requests, IPv4 first.
        let mut order: Vec<usize> = (0..sent.len()).collect();
        order.sort_by_key(|&index| sent[index].rank());
        for index in order {
            let (sent, reply) = (&sent[index], &replies[index]);
            let single = self.single.answer(self.now, std::slice::from_ref(sent));
            assert_alike(reply, &single[0]);
            self.model.expect(self.now, sent, reply);
            self.model.expect_peers(sent, reply);
            self.model.expect_peers(sent, &single[0]);
            self.model.note(self.now, sent, reply);
        }
    }

    fn compose(&mut self, input: &mut Input<'_>) -> Sent {
        self.transaction = self.transaction.wrapping_add(0x0101_0107);
        let source = source(input);
        let id = self.connection_id(input, source);
        let transaction = self.transaction.to_be_bytes();
        let head = |id: [u8; 8], action: u32| {
            let action = action.to_be_bytes();
            [&id[..], &action[..], &transaction[..]].concat()
        };
        let (bytes, asks) = match input.below(8) {
            0 => {
                let mut bytes = head(PROTOCOL_ID, CONNECT);
                bytes.extend_from_slice(input.take(usize::from(input.0.len() > 40)));
                (bytes, Asks::Connect)
            }
            1..=4 => {
                let announce = Announce::new(input);
                let mut bytes = head(id, ANNOUNCE);
                bytes.extend(announce.body());
                // BEP 41: the rest are options.
                let options = usize::from(input.below(4));
                bytes.extend_from_slice(input.take(options));
                (bytes, Asks::Announce(announce))
            }
            5 => {
                let count = 1 + input.below(MAX_SCRAPE_TORRENTS as u8 + 2);
                let torrents: Vec<u8> = (0..count).map(|_| input.below(TORRENTS)).collect();
                let mut bytes = head(id, SCRAPE);
                bytes.extend(torrents.iter().flat_map(|&torrent| info_hash(torrent).0));
                (bytes, Asks::Scrape(torrents))
            }
            6 => {
                // A truncated request of a known action, or an unknown action.
                let action = u32::from(input.below(6));
                let length = usize::from(input.below(82));
                let mut bytes = head(id, action);
                bytes.extend_from_slice(input.take(length));
                if action == SCRAPE && bytes.len() > 16 && (bytes.len() - 16).is_multiple_of(20) {
                    bytes.pop();
                }
                (bytes, Asks::Nonsense)
            }
            _ => {
                let length = usize::from(input.below(16));
                (input.take(length).to_vec(), Asks::Nonsense)
            }
        };
        Sent {
            source,
            bytes,
            asks,
        }
    }

    /// A connection id that was given to this client, to another, long ago, or never.
    fn connection_id(&self, input: &mut Input<'_>, source: SocketAddr) -> [u8; 8] {
        let issued = &self.model.issued;
        let own = || {
            let address = source.ip().to_canonical();
            issued.iter().rev().find(|(_, other, _)| *other == address)
        };
        let choice = input.byte().unwrap_or(0);
        let found = match choice {
            0..=199 => own(),
            200..=229 => issued.get(usize::from(choice) % issued.len().max(1)),
            _ => None,
        };
        let mut id = match found {
            Some((id, ..)) => *id,
            None => self
                .now
                .epoch_seconds
                .to_be_bytes()
                .repeat(2)
                .try_into()
                .expect("8 bytes"),
        };
        if choice >= 240 {
            id[usize::from(choice % 8)] ^= 1 << (choice % 7);
        }
        id
    }
}

impl Tracked {
    fn new(has_cap: bool) -> Self {
        let mut config = Config::default();
        config.protocol.max_response_peers = Number::of::<{ MAX_RESPONSE_PEERS as u64 }>();
        config.protocol.max_scrape_torrents = Number::of::<{ MAX_SCRAPE_TORRENTS as u64 }>();
        config.protocol.peer_announce_interval =
            Number::of::<{ ANNOUNCE_INTERVAL_SECONDS as u64 }>();
        config.cleaning.max_peer_age = Number::of::<{ PEER_LIFETIME_SECONDS as u64 }>();
        config.cleaning.max_connection_age = Number::of::<{ CONNECTION_LIFETIME_SECONDS as u64 }>();
        let limits = SwarmLimits {
            max_peers_per_torrent: has_cap.then_some(MAX_PEERS_PER_TORRENT),
            ..SwarmLimits::default()
        };
        let nobody = AccessList::Deny(InfoHashSet::default());
        let state = Arc::new(State {
            swarms: Families::new(HashKey::new([3; 16]), limits),
            lists: Lists::of_torrents(nobody),
        });
        Self {
            tracker: tracker(&state),
            config,
            state,
        }
    }

    fn answer(&mut self, now: Now, sent: &[Sent]) -> Vec<Reply> {
        let mut replies = [[0xaa; MAX_REPLY_LENGTH]; MAX_DATAGRAMS];
        let mut batch: Batch<'_> = sent
            .iter()
            .zip(&mut replies)
            .map(|(sent, reply)| Datagram {
                source: sent.source,
                local: None,
                bytes: &sent.bytes,
                reply,
            })
            .collect();
        let outcomes = self.tracker.handle_batch(now, &self.config, &mut batch);
        let replies = batch.iter().zip(outcomes).map(|(datagram, outcome)| {
            let outcome = outcome.expect("each has an outcome");
            let length = outcome.reply_length.map_or(0, |length| length.get());
            (outcome, datagram.reply[..length].to_vec())
        });
        replies.collect()
    }

    fn sweep(&self, seconds: u32) {
        let list = self.state.lists.access_list.current();
        let swarms = &self.state.swarms;
        let (mut ipv4, mut ipv6) = (Sweep::new(), Sweep::new());
        // A few torrents are distributed over many shards.
        while !ipv4.step(&swarms.ipv4, seconds, 64, |hash| list.allows(hash)) {}
        while !ipv6.step(&swarms.ipv6, seconds, 64, |hash| list.allows(hash)) {}
    }

    fn reload(&mut self, forbidden: &BTreeSet<u8>, is_allow_list: bool) {
        let is_listed = |torrent: &u8| forbidden.contains(torrent) != is_allow_list;
        let lines: String = (0..TORRENTS)
            .filter(is_listed)
            .map(|torrent| format!("{}\n", info_hash(torrent)))
            .collect();
        let list = InfoHashSet::parse(lines.as_bytes()).expect("a list");
        let list = if is_allow_list {
            AccessList::Allow(list)
        } else {
            AccessList::Deny(list)
        };
        // This is the only reference, so the handle can be replaced.
        let other = Arc::new(State {
            swarms: Families::new(HashKey::new([3; 16]), SwarmLimits::default()),
            lists: Lists::default(),
        });
        self.tracker = tracker(&other);
        let state = std::mem::replace(&mut self.state, other);
        let mut state = Arc::into_inner(state).expect("the tracker is another one");
        state.lists = Lists::of_torrents(list);
        self.state = Arc::new(state);
        self.tracker = tracker(&self.state);
    }
}

/// A tracker with a fixed seed.
fn tracker(state: &Arc<State>) -> Tracker {
    let key = ConnectionIdKey::from_bytes([4; 16]);
    let keys = Arc::new(ConnectionIdKeys::new(key));
    Tracker::new(
        Arc::clone(state),
        keys,
        fastrand::Rng::with_seed(5),
        Arc::default(),
    )
}

impl Sent {
    /// Its position in the order of replies.
    fn rank(&self) -> usize {
        match self.asks {
            Asks::Announce(_) => 1 + family(self.source),
            _ => 0,
        }
    }
}

impl Announce {
    fn new(input: &mut Input<'_>) -> Self {
        Self {
            torrent: input.below(TORRENTS),
            port: u16::from(input.below(PORTS)),
            is_seeder: input.below(2) == 0,
            event: u32::from(input.below(7)),
            wanted: [-1, 0, 1, 2, 4, 50, i32::MAX, i32::MIN][usize::from(input.below(8))],
        }
    }

    /// The rest after the header (BEP 15).
    fn body(&self) -> Vec<u8> {
        let mut body = info_hash(self.torrent).0.to_vec();
        body.extend([7; 20]);
        let left = u64::from(!self.is_seeder);
        for count in [1, left, 2] {
            body.extend(count.to_be_bytes());
        }
        body.extend(self.event.to_be_bytes());
        // An address in the request, which must be ignored.
        body.extend([192, 0, 2, 1, 0, 0, 0, 9]);
        body.extend(self.wanted.to_be_bytes());
        body.extend(self.port.to_be_bytes());
        body
    }

    /// The peer in the form in which it is sent to others.
    fn peer(&self, source: SocketAddr) -> SocketAddr {
        (source.ip().to_canonical(), self.port).into()
    }
}

/// Whether replies are equal except for the selection of peers.
fn assert_alike(left: &Reply, right: &Reply) {
    assert_eq!(left.0, right.0);
    let is_announce = left.0.kind == RequestKind::Announce && left.0.rejected.is_none();
    let compared = if is_announce { 20 } else { left.1.len() };
    assert_eq!(left.1[..compared], right.1[..compared]);
}

/// The source of a datagram: one of a few clients of each family. Some are IPv4-mapped, or
/// have port 0.
fn source(input: &mut Input<'_>) -> SocketAddr {
    let byte = input.byte().unwrap_or(0);
    let client = 1 + (byte >> 2) % CLIENTS;
    let ipv4 = Ipv4Addr::new(10, 0, 0, client);
    let address: IpAddr = match byte % 4 {
        0 | 1 => ipv4.into(),
        2 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, client.into()).into(),
        _ => ipv4.to_ipv6_mapped().into(),
    };
    let port = if byte >= 250 { 0 } else { 6_881 };
    (address, port).into()
}

fn family(source: SocketAddr) -> usize {
    usize::from(source.ip().to_canonical().is_ipv6())
}

fn info_hash(torrent: u8) -> InfoHash {
    InfoHash([0x11 * (torrent + 1); 20])
}
