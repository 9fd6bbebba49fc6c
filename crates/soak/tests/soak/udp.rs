//! The UDP tracker: batches of datagrams in, batches of replies out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::sync::Arc;

use aquatic_bittorrent::{AnnounceEvent, PeerId};
use aquatic_service::config::PeerAge;
use aquatic_service::config::numbers::{Number, Seconds};
use aquatic_soak::life::{self, CLEANING_INTERVAL, List};
use aquatic_soak::memory::counted;
use aquatic_soak::model::Model;
use aquatic_soak::month::{self, World};
use aquatic_soak::plan::Plan;
use aquatic_soak::universe;
use aquatic_swarm::{Families, HashKey, Swarm, SwarmLimits, Swarms, TorrentWalk};
use aquatic_udp::MAX_REPLY_LENGTH;
use aquatic_udp::config::Config;
use aquatic_udp::tracker::{
    Batch, ConnectionIdKeys, Datagram, GROUP, Outcome, RejectReason, State, Tracker,
};
use aquatic_udp_protocol::{
    AddressFamily, AnnounceRequest, ConnectRequest, ConnectionId, ConnectionIdKey, Peers, Response,
    ScrapeRequest, TransactionId, UrlData,
};

/// Number of clients per address family.
const CLIENTS: u32 = 60_000;

/// Maximum number of peers in a reply.
const MAX_PEERS: usize = 30;

/// Maximum number of torrents while there is a limit: fewer than are requested in a load
/// peak.
const MAX_TORRENTS: usize = 12_000;

/// Possible lifetimes of peers in seconds; a restart may choose another one.
const LIFETIMES: [PeerAge; 4] = [
    Seconds::of::<1_200>(),
    Seconds::of::<1_800>(),
    Seconds::of::<7_200>(),
    Seconds::of::<28_800>(),
];

/// The position of the event in an announce (BEP 15).
const EVENT: Range<usize> = 80..84;

struct Run {
    world: World,
    state: Arc<State>,
    config: Config,
    tracker: Tracker,
    /// IPv4 peers, and IPv6 peers.
    models: [Model<SocketAddr>; 2],
    replies: Vec<[u8; MAX_REPLY_LENGTH]>,
    answered: u64,
}

/// A request of a client.
struct Wish {
    source: SocketAddr,
    torrent: u64,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Announce {
        is_seeder: bool,
        is_done: bool,
    },
    Stop,
    Scrape,
    /// An announce with some bits changed.
    Damaged,
}

#[test]
fn udp() {
    let plan = Plan::new("udp");
    let mut run = Run::new(&plan);
    month::pass(&mut run, &plan);
    println!("{} datagrams were answered", run.answered);
    // The machine is suspended at times.
    assert!(run.answered > plan.seconds() / 4);
}

fn config(lifetime: PeerAge) -> Config {
    let mut config = Config::default();
    config.protocol.max_response_peers = Number::of::<{ MAX_PEERS as u64 }>();
    config.cleaning.max_peer_age = lifetime;
    config
}

fn new_state(limit: Option<usize>, list: &List) -> Arc<State> {
    let limits = SwarmLimits {
        max_torrents: limit.and_then(NonZeroUsize::new),
        max_peers_per_torrent: NonZeroU32::new(1_000_000),
        max_peers_per_ip: None,
        ..SwarmLimits::default()
    };
    let hash_key = HashKey::new([3; 16]);
    Arc::new(State {
        swarms: Families::new(hash_key, limits),
        lists: list.lists.clone(),
    })
}

fn new_tracker(state: &Arc<State>, random: fastrand::Rng) -> Tracker {
    let key = ConnectionIdKey::from_bytes([7; 16]);
    let keys = Arc::new(ConnectionIdKeys::new(key));
    Tracker::new(state.clone(), keys, random, Arc::default())
}

impl Run {
    fn new(plan: &Plan) -> Self {
        let world = World::new(plan);
        let state = counted(|| new_state(None, &world.list));
        Self {
            world,
            config: config(LIFETIMES[1]),
            tracker: new_tracker(&state, plan.random(1)),
            state,
            models: [Model::new(CLEANING_INTERVAL), Model::new(CLEANING_INTERVAL)],
            replies: vec![[0; MAX_REPLY_LENGTH]; GROUP],
            answered: 0,
        }
    }

    fn wish(&mut self, is_crowded: bool) -> Wish {
        let random = &mut self.world.random;
        let client = random.u32(1..CLIENTS);
        let ip: IpAddr = if random.u8(0..4) > 0 {
            Ipv4Addr::from_bits(0x0a00_0000 + client).into()
        } else {
            Ipv6Addr::from_bits((0xfd00 << 112) + u128::from(client)).into()
        };
        let source = SocketAddr::new(ip, 1_000 + (client % 7) as u16);
        let seconds = self.world.calendar.seconds();
        let torrent = if is_crowded {
            universe::rare_torrent(seconds, random)
        } else {
            universe::torrent(seconds, random)
        };
        let wish = |torrent, source, what| Wish {
            source,
            torrent,
            what,
        };
        match random.u8(0..20) {
            0 => wish(torrent, source, What::Scrape),
            1 => wish(torrent, source, What::Damaged),
            // By a known peer.
            2 | 3 => match self.models[family(source)].any(torrent) {
                Some((torrent, source)) => wish(torrent, source, What::Stop),
                None => wish(torrent, source, What::Scrape),
            },
            number => {
                let is_seeder = number % 2 == 0;
                let is_done = number == 4;
                wish(torrent, source, What::Announce { is_seeder, is_done })
            }
        }
    }

    /// Answers a batch of datagrams.
    fn send(&mut self, datagrams: &[(SocketAddr, Vec<u8>)]) -> Vec<Outcome> {
        let now = self.world.calendar.now();
        let mut batch: Batch<'_> = datagrams
            .iter()
            .zip(&mut self.replies)
            .map(|((source, bytes), reply)| Datagram {
                source: *source,
                local: None,
                bytes,
                reply,
            })
            .collect();
        let outcomes = counted(|| self.tracker.handle_batch(now, &self.config, &mut batch));
        let outcomes = outcomes.into_iter().take(batch.len());
        outcomes.map(|it| it.expect("every datagram")).collect()
    }

    /// Lets up to a group of clients connect and send their requests.
    fn grant(&mut self, wishes: &[Wish]) {
        let connect = ConnectRequest {
            transaction_id: TransactionId([1; 4]),
        };
        let datagrams: Vec<_> = wishes
            .iter()
            .map(|wish| (wish.source, connect.to_bytes().to_vec()))
            .collect();
        let outcomes = self.send(&datagrams);
        let ids: Vec<ConnectionId> = outcomes
            .iter()
            .zip(&self.replies)
            .map(
                |(outcome, reply)| match parse(outcome, reply, datagrams[0].0) {
                    Some(Response::Connect(response)) => response.connection_id,
                    other => panic!("{other:?}"),
                },
            )
            .collect();

        let datagrams: Vec<_> = wishes
            .iter()
            .zip(ids)
            .map(|(wish, id)| (wish.source, self.request(wish, id)))
            .collect();
        let outcomes = self.send(&datagrams);
        for (number, (wish, outcome)) in wishes.iter().zip(outcomes).enumerate() {
            self.check(wish, &outcome, number);
        }
    }

    fn request(&mut self, wish: &Wish, id: ConnectionId) -> Vec<u8> {
        let mut bytes = vec![0; 200];
        let info_hash = universe::info_hash(wish.torrent);
        let length = match wish.what {
            What::Scrape => {
                let request = ScrapeRequest {
                    connection_id: id,
                    transaction_id: TransactionId([2; 4]),
                    info_hashes: &[info_hash.0],
                };
                request.write(&mut bytes)
            }
            what => {
                let (is_seeder, event) = match what {
                    What::Announce {
                        is_seeder: true,
                        is_done: true,
                    } => (true, AnnounceEvent::Completed),
                    What::Announce { is_seeder, .. } => (is_seeder, AnnounceEvent::Started),
                    _ => (false, AnnounceEvent::Stopped),
                };
                let request = AnnounceRequest {
                    connection_id: id,
                    transaction_id: TransactionId([2; 4]),
                    info_hash,
                    peer_id: PeerId([5; 20]),
                    downloaded: 0,
                    left: i64::from(!is_seeder),
                    uploaded: 0,
                    event,
                    claimed_address: None,
                    key: 0,
                    peers_wanted: None,
                    port: wish.source.port(),
                    url_data: UrlData::from_options(b""),
                };
                request.write(&mut bytes)
            }
        };
        bytes.truncate(length.unwrap());
        if wish.what == What::Damaged {
            // Its event is `stopped`, so it adds no peer.
            for _ in 0..self.world.random.usize(1..4) {
                let place = self.world.random.usize(..96);
                if !EVENT.contains(&place) {
                    bytes[place] ^= 1 << self.world.random.u8(..8);
                }
            }
            let length = self.world.random.usize(..=bytes.len());
            if self.world.random.bool() {
                bytes.truncate(length);
            }
        }
        bytes
    }

    /// Compares a reply with the model, and updates the model.
    fn check(&mut self, wish: &Wish, outcome: &Outcome, number: usize) {
        let Wish {
            source,
            torrent,
            what,
        } = *wish;
        let reply = self.replies[number];
        let response = if what == What::Damaged {
            None
        } else {
            parse(outcome, &reply, source)
        };
        self.answered += u64::from(outcome.reply_length.is_some());
        match (what, response) {
            (What::Damaged, _) => (),
            (_, Some(Response::Error(_))) => match outcome.rejected {
                Some(RejectReason::Forbidden) => assert!(self.world.list.forbids(torrent)),
                Some(RejectReason::MaxTorrents) => {
                    // Other requests of the group may have removed torrents since.
                    let live = self.state.swarms.usage.live();
                    assert!(live + GROUP >= MAX_TORRENTS, "{live}");
                }
                other => panic!("{other:?}"),
            },
            (What::Scrape, Some(Response::Scrape(response))) => {
                let counts =
                    self.models[family(source)].counts(torrent, None, &self.world.calendar);
                let scraped = response.torrents().next().unwrap();
                counts.seeders.assert(scraped.seeders as usize, &torrent);
                counts.leechers.assert(scraped.leechers as usize, &torrent);
            }
            (_, Some(Response::Announce(response))) => {
                assert!(!self.world.list.forbids(torrent));
                let (seeders, leechers) = (response.seeders, response.leechers);
                let peers: Vec<SocketAddr> = Peers::addresses(&response.peers).collect();
                self.announced(wish, seeders as usize, leechers as usize, &peers);
            }
            (_, other) => panic!("{other:?}"),
        }
    }

    fn announced(&mut self, wish: &Wish, seeders: usize, leechers: usize, peers: &[SocketAddr]) {
        let Wish {
            source,
            torrent,
            what,
        } = *wish;
        let model = &mut self.models[family(source)];
        let calendar = &self.world.calendar;
        let counts = model.counts(torrent, Some(&source), calendar);
        let what_was_asked = (calendar.seconds(), torrent, source);
        counts.seeders.assert(seeders, &what_was_asked);
        counts.leechers.assert(leechers, &what_was_asked);
        for peer in peers {
            assert!(model.may_have(torrent, peer, calendar), "{torrent} {peer}");
            assert_ne!(*peer, source);
        }
        match what {
            What::Announce { is_seeder, .. } => {
                let others = leechers + if is_seeder { 0 } else { seeders };
                assert_eq!(peers.len(), others.min(MAX_PEERS), "{torrent}");
                let lifetime = self.config.cleaning.max_peer_age;
                let deadline = calendar.seconds() + lifetime.as_u64();
                model.announce(torrent, source, is_seeder, deadline);
            }
            _ => model.stop(torrent, source),
        }
    }
}

impl month::Tracker for Run {
    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn swarms(&self) -> &impl Swarms {
        &self.state.swarms
    }

    fn serve(&mut self, is_crowded: bool) {
        let wishes = if is_crowded {
            32
        } else {
            self.world.random.usize(0..2)
        };
        let mut wishes: Vec<Wish> = (0..wishes).map(|_| self.wish(is_crowded)).collect();
        while !wishes.is_empty() {
            let rest = wishes.split_off(wishes.len().min(GROUP));
            self.grant(&wishes);
            wishes = rest;
        }
    }

    fn work(&mut self) {
        self.world.keep_house(&self.state.swarms);
    }

    fn forget_forbidden(&mut self) {
        let list = &self.world.list;
        for model in &mut self.models {
            model.remove(|torrent| list.forbids(torrent));
        }
    }

    fn compare(&mut self) {
        let calendar = &self.world.calendar;
        let now = calendar.now().monotonic_seconds;
        let swarms = &self.state.swarms;
        let totals = [swarms.ipv4.totals(), swarms.ipv6.totals()];
        for (model, totals) in self.models.iter_mut().zip(totals) {
            model.tidy(calendar);
            model.peers(calendar).assert(totals.peers, &totals);
        }
        life::assert_small(&swarms.ipv4);
        life::assert_small(&swarms.ipv6);
        assert_same_when_restored(&swarms.ipv4, now);
        assert_same_when_restored(&swarms.ipv6, now);
    }

    /// Restarts with another configuration.
    fn restart(&mut self, away: u64) {
        let World {
            calendar,
            random,
            list,
            ..
        } = &mut self.world;
        let now = calendar.now().monotonic_seconds;
        let swarms = &self.state.swarms;
        let saved = (life::save(&swarms.ipv4, now), life::save(&swarms.ipv6, now));
        calendar.leap(away);

        let lifetime = random.choice(LIFETIMES).unwrap();
        let limit = random.bool().then_some(MAX_TORRENTS);
        let with_peers = away <= lifetime.as_u64();
        let now = calendar.now().monotonic_seconds;
        let random = random.fork();
        counted(|| {
            self.config = config(lifetime);
            self.state = new_state(limit, list);
            self.tracker = new_tracker(&self.state, random);
            let swarms = &self.state.swarms;
            life::load(&swarms.ipv4, &saved.0, now, lifetime.as_u16(), with_peers);
            life::load(&swarms.ipv6, &saved.1, now, lifetime.as_u16(), with_peers);
        });
        let latest = calendar.seconds() + lifetime.as_u64();
        self.world.start_periodic_tasks();
        for model in &mut self.models {
            if with_peers {
                model.restore(away, latest);
            } else {
                model.clear();
            }
            if limit.is_some() {
                model.doubt();
            }
        }
    }

    /// They do not send `stopped`, so the tracker keeps their peers.
    fn leave(&mut self) -> u64 {
        LIFETIMES[3].as_u64()
    }
}

/// The address family of a model.
fn family(address: SocketAddr) -> usize {
    usize::from(address.is_ipv6())
}

fn parse<'a>(outcome: &Outcome, reply: &'a [u8], source: SocketAddr) -> Option<Response<'a>> {
    let family = match source {
        SocketAddr::V4(_) => AddressFamily::Ipv4,
        SocketAddr::V6(_) => AddressFamily::Ipv6,
    };
    let length = outcome.reply_length?.get();
    Some(Response::parse(&reply[..length], family).expect("a reply"))
}

/// Asserts that a snapshot contains all peers, including those that have expired and were
/// not removed yet.
fn assert_same_when_restored<const S: usize, const K: usize, const N: usize>(
    swarm: &Swarm<S, K, N>,
    now: u32,
) {
    let copy = Swarm::<S, K, N>::new(
        HashKey::new([9; 16]),
        SwarmLimits::default(),
        Arc::default(),
    );
    let restored = life::load(&copy, &life::save(swarm, now), now, u16::MAX, true);
    assert_eq!(restored.dropped, 0);
    let (totals, restored) = (swarm.totals(), copy.totals());
    assert_eq!(restored.torrents, totals.torrents);
    assert_eq!(restored.peers, totals.peers);
    assert_eq!(restored.seeders, totals.seeders);
    let mut walk = TorrentWalk::new();
    while walk.step(swarm, |info_hash, scraped| {
        assert_eq!(copy.lock(info_hash).scrape(), scraped, "{info_hash}");
    }) {}
}
