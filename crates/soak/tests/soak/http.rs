//! The HTTP tracker: persistent, closed, stalled and idle connections.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use aquatic_http::config::Config;
use aquatic_http::settings::Settings;
use aquatic_http::simulation::{self, Http};
use aquatic_http::tracker::State;
use aquatic_soak::calendar::Calendar;
use aquatic_soak::life::{self, CLEANING_INTERVAL, List};
use aquatic_soak::memory::counted;
use aquatic_soak::model::Model;
use aquatic_soak::month::{self, Tracker, World};
use aquatic_soak::network::Network;
use aquatic_soak::plan::Plan;
use aquatic_soak::universe;
use aquatic_stream::simulation::Setup;
use aquatic_swarm::{Families, HashKey, SwarmLimits, Swarms};

/// Maximum number of connections of well-behaved clients.
const MAX_KEPT: usize = 50;

/// Seconds after which a connection must be closed: without any data, with an incomplete
/// request, and when idle after a request.
const MAX_SILENCE_SECONDS: u64 = 13;
const MAX_KEPT_SECONDS: u64 = 400;

/// A persistent connection.
struct Kept {
    id: u64,
    source: SocketAddr,
    used_at: u64,
}

struct Run {
    world: World,
    settings: Settings,
    state: Arc<State>,
    network: Network<Http>,
    model: Model<SocketAddr>,
    kept: Vec<Kept>,
    /// Connections that must be closed soon, and the time from which that counts.
    doomed: Vec<(u64, u64)>,
    answered: u64,
}

#[test]
fn http() {
    let plan = Plan::new("http");
    let mut run = Run::new(&plan);
    month::pass(&mut run, &plan);
    assert!(run.network.is_empty());
    println!("{} requests were answered", run.answered);
    assert!(run.answered > plan.seconds() / 16);
}

impl Run {
    fn new(plan: &Plan) -> Self {
        let settings = Settings::new(&Config::default()).expect("the default");
        let world = World::new(plan);
        let state = new_state(&world.list);
        let network = new_network(&settings, &state, &world.calendar, 1);
        Self {
            world,
            settings,
            state,
            network,
            model: Model::new(CLEANING_INTERVAL),
            kept: Vec::new(),
            doomed: Vec::new(),
            answered: 0,
        }
    }

    fn source(&mut self) -> SocketAddr {
        let client = self.world.random.u32(1..60_000);
        let ip = Ipv4Addr::from_bits(0x0a00_0000 + client);
        SocketAddrV4::new(ip, 1_000 + (client % 7) as u16).into()
    }

    /// A client that misbehaves.
    fn be_hostile(&mut self) {
        let source = self.source();
        let Some(id) = self.network.connect(source) else {
            return;
        };
        let request = announce(7, source, "");
        match self.world.random.u8(0..5) {
            0 => (),
            1 => {
                let length = self.world.random.usize(1..request.len());
                self.network.send(id, &request.as_bytes()[..length]);
            }
            2 => {
                let garbage: Vec<u8> = (0..self.world.random.usize(1..3_000))
                    .map(|_| self.world.random.u8(..))
                    .collect();
                self.network.send(id, &garbage);
            }
            3 => {
                let length = self.world.random.usize(1..request.len());
                self.network.send(id, &request.as_bytes()[..length]);
                self.network.end(id);
            }
            _ => {
                // Sends requests without reading replies.
                self.network.stall(id);
                let page = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
                self.network.send(id, &page);
            }
        }
        self.doomed.push((id, self.world.calendar.seconds()));
    }

    /// A client announces, over an existing or a new connection.
    fn ask(&mut self, is_crowded: bool) {
        let number = self.world.random.usize(..MAX_KEPT);
        let now = self.world.calendar.seconds();
        if number >= self.kept.len() {
            let source = self.source();
            let id = self.network.connect(source).expect("there is room");
            self.kept.push(Kept {
                id,
                source,
                used_at: now,
            });
        }
        let number = number.min(self.kept.len() - 1);
        let kept = &mut self.kept[number];
        kept.used_at = now;
        let (id, source) = (kept.id, kept.source);
        let is_stop = self.world.random.u8(0..8) == 0;
        let torrent = if is_crowded {
            universe::rare_torrent(now, &mut self.world.random)
        } else {
            universe::torrent(now, &mut self.world.random)
        };
        let is_seeder = self.world.random.bool();
        let more = match (is_stop, is_seeder) {
            (true, _) => "&event=stopped&left=1",
            (false, true) => "&left=0",
            (false, false) => "&left=9",
        };
        let request = announce(torrent, source, more);
        let cut = self.world.random.usize(..request.len());
        self.network.send(id, &request.as_bytes()[..cut]);
        self.network.send(id, &request.as_bytes()[cut..]);
        let reply = self.network.take(id);
        self.network.take_touched();
        if self.world.random.u8(0..10) == 0 {
            self.network.end(id);
            assert!(!self.network.is_open(id));
            self.kept.swap_remove(number);
        }
        let reply = reply.expect("a kept connection is there");
        self.answered += 1;
        if self.world.list.forbids(torrent) {
            let text = String::from_utf8_lossy(&reply);
            assert!(text.contains("not allowed"), "{text}");
            return;
        }
        let reply = Reply::parse(&reply);
        let counts = self
            .model
            .counts(torrent, Some(&source), &self.world.calendar);
        let asked = (now, torrent, source);
        // The counts in a reply may include the peer that announces, unless it stops.
        counts.seeders.assert_about(reply.seeders, &asked);
        counts.leechers.assert_about(reply.leechers, &asked);
        for peer in &reply.peers {
            assert!(
                self.model.may_have(torrent, peer, &self.world.calendar),
                "{asked:?} {peer}"
            );
        }
        if is_stop {
            self.model.stop(torrent, source);
        } else {
            let lifetime = u64::from(self.settings.config.cleaning.max_peer_age.as_u16());
            self.model
                .announce(torrent, source, is_seeder, now + lifetime);
        }
    }
}

impl Tracker for Run {
    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn swarms(&self) -> &impl Swarms {
        &self.state.swarms
    }

    fn serve(&mut self, is_crowded: bool) {
        let requests = if is_crowded {
            10
        } else {
            usize::from(self.world.random.u8(0..4) == 0)
        };
        for _ in 0..requests {
            match self.world.random.u8(0..10) {
                0 => self.be_hostile(),
                _ => self.ask(is_crowded),
            }
        }
    }

    fn work(&mut self) {
        self.network.turn(self.world.calendar.instant());
        self.world.keep_house(&self.state.swarms);
        let (network, calendar) = (&self.network, &self.world.calendar);
        // Before it is closed, an error may be sent, and there is some time to read it.
        self.doomed.retain(|(id, since)| {
            let is_open = network.is_open(*id);
            let age = calendar.awake_since(*since);
            assert!(
                !is_open || age <= 2 * MAX_SILENCE_SECONDS,
                "open for {age} s"
            );
            is_open
        });
        self.kept.retain(|kept| {
            let is_open = network.is_open(kept.id);
            let age = calendar.awake_since(kept.used_at);
            assert!(!is_open || age <= MAX_KEPT_SECONDS, "kept for {age} s");
            is_open
        });
    }

    fn forget_forbidden(&mut self) {
        let list = &self.world.list;
        self.model.remove(|torrent| list.forbids(torrent));
    }

    fn compare(&mut self) {
        let calendar = &self.world.calendar;
        self.model.tidy(calendar);
        let totals = self.state.swarms.ipv4.totals();
        self.model.peers(calendar).assert(totals.peers, &totals);
        life::assert_small(&self.state.swarms.ipv4);
        assert_eq!(self.network.len(), self.kept.len() + self.doomed.len());
    }

    /// Restarts with a snapshot.
    fn restart(&mut self, away: u64) {
        let calendar = &mut self.world.calendar;
        self.network.drain();
        for _ in 0..10 {
            calendar.pass();
            self.network.turn(calendar.instant());
        }
        assert!(self.network.is_drained());
        let now = calendar.now().monotonic_seconds;
        let saved = life::save(&self.state.swarms.ipv4, now);
        calendar.leap(away);

        let state = new_state(&self.world.list);
        let lifetime = self.settings.config.cleaning.max_peer_age.as_u16();
        let with_peers = away <= u64::from(lifetime);
        let now = calendar.now().monotonic_seconds;
        counted(|| life::load(&state.swarms.ipv4, &saved, now, lifetime, with_peers));
        let seed = self.world.random.u64(..);
        let network = new_network(&self.settings, &state, calendar, seed);
        let latest = calendar.seconds() + u64::from(lifetime);
        counted(|| {
            self.network = network;
            self.state = state;
        });
        self.kept.clear();
        self.doomed.clear();
        self.world.start_periodic_tasks();
        if with_peers {
            self.model.restore(away, latest);
        } else {
            self.model.clear();
        }
    }

    /// They do not send `stopped`, so the tracker keeps their peers.
    fn leave(&mut self) -> u64 {
        u64::from(self.settings.config.cleaning.max_peer_age.as_u16())
    }
}

fn new_state(list: &List) -> Arc<State> {
    let key = HashKey::new([3; 16]);
    counted(|| {
        Arc::new(State {
            swarms: Families::new(key, SwarmLimits::default()),
            lists: list.lists.clone(),
        })
    })
}

fn new_network(
    settings: &Settings,
    state: &Arc<State>,
    calendar: &Calendar,
    seed: u64,
) -> Network<Http> {
    let setup = Setup {
        settings: settings.connections.clone(),
        tls: None,
        rotation: None,
    };
    let protocol = simulation::worker(settings, state, &calendar.clock(), seed);
    Network::new(protocol, setup, calendar.instant())
}

fn announce(torrent: u64, source: SocketAddr, more: &str) -> String {
    let hash: String = universe::info_hash(torrent)
        .0
        .iter()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let port = source.port();
    format!(
        "GET /announce?info_hash={hash}&peer_id=-XX1234-abcdefghijkl&port={port}{more} HTTP/1.1\r\n\
         Host: tracker.test\r\n\r\n"
    )
}

/// The reply to an announce.
struct Reply {
    seeders: usize,
    leechers: usize,
    peers: Vec<SocketAddr>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let shown = || bytes.escape_ascii().to_string();
        let end = find(bytes, b"\r\n\r\n").unwrap_or_else(|| panic!("{}", shown()));
        let body = &bytes[end..];
        assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{}", shown());
        let number = |key: &[u8]| -> Option<usize> {
            let rest = &body[find(body, key)?..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
        };
        let length = number(b"5:peers").unwrap_or_else(|| panic!("{}", shown()));
        let start = find(body, format!("5:peers{length}:").as_bytes()).unwrap();
        let peers = body[start..start + length].chunks_exact(6).map(|peer| {
            let ip: [u8; 4] = peer[..4].try_into().unwrap();
            let port = u16::from_be_bytes([peer[4], peer[5]]);
            SocketAddr::new(IpAddr::from(ip), port)
        });
        Self {
            seeders: number(b"8:completei").unwrap(),
            leechers: number(b"10:incompletei").unwrap(),
            peers: peers.collect(),
        }
    }
}

/// The position after `what`.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let place = bytes.windows(what.len()).position(|it| it == what)?;
    Some(place + what.len())
}
