//! The HTTP tracker: connections that are kept, cut, stalled and silent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use aquatic_http::config::Config;
use aquatic_http::settings::Settings;
use aquatic_http::simulation::{self, Http};
use aquatic_http::tracker::State;
use aquatic_soak::calendar::{Calendar, DAY};
use aquatic_soak::life::{self, CLEANING_INTERVAL, Chores, Event, List};
use aquatic_soak::memory::{self, counted};
use aquatic_soak::model::Model;
use aquatic_soak::network::Network;
use aquatic_soak::plan::Plan;
use aquatic_soak::universe;
use aquatic_stream::simulation::Setup;
use aquatic_swarm::{HashKey, Limits};

/// Connections of clients that behave, at most.
const MOST_KEPT: usize = 50;

/// Seconds after which a connection on which nothing has come is closed at the
/// latest, and one with half a request, and one that was used and is kept.
const LONGEST_SILENCE: u64 = 13;
const LONGEST_KEPT: u64 = 400;

/// Bytes that an idle tracker may have allocated beyond what an unused one has.
const MOST_IDLE_BYTES: isize = 16 << 20;

/// A connection that is used again and again.
struct Kept {
    id: u64,
    source: SocketAddr,
    used_at: u64,
}

struct Run {
    _plan: Plan,
    calendar: Calendar,
    random: fastrand::Rng,
    settings: Settings,
    list: List,
    chores: Chores,
    state: Arc<State>,
    network: Network<Http>,
    model: Model<SocketAddr>,
    kept: Vec<Kept>,
    /// Connections that must be closed soon, and since when.
    doomed: Vec<(u64, u64)>,
    days: memory::Days,
    answered: u64,
}

#[test]
fn http() {
    let plan = Plan::new("http");
    let seconds = plan.seconds();
    let mut run = Run::new(plan);
    let unused = memory::bytes();
    while run.calendar.seconds() < seconds {
        run.second();
    }
    run.days.assert_steady();
    // Everybody leaves without a word.
    let lifetime = u64::from(run.state.rules.peer_lifetime_seconds);
    let end = run.calendar.seconds() + lifetime + 4 * CLEANING_INTERVAL;
    while run.calendar.seconds() < end {
        run.calendar.pass();
        run.clean();
    }
    run.look();
    assert!(run.network.is_empty());
    assert_eq!(run.state.swarms.usage.live(), 0);
    let idle = memory::bytes() - unused;
    assert!(idle <= MOST_IDLE_BYTES, "{idle} bytes are kept");
    println!(
        "{} requests were answered; memory {}",
        run.answered, run.days
    );
    assert!(run.answered > seconds / 16);
}

impl Run {
    fn new(plan: Plan) -> Self {
        let settings = Settings::new(&Config::default()).expect("the default");
        let calendar = Calendar::new();
        let list = List::new();
        let state = new_state(&settings, &list);
        let network = new_network(&settings, &state, &calendar, 1);
        Self {
            chores: Chores::new(&calendar),
            random: plan.random(0),
            _plan: plan,
            settings,
            list,
            state,
            network,
            calendar,
            model: Model::new(CLEANING_INTERVAL),
            kept: Vec::new(),
            doomed: Vec::new(),
            days: memory::Days::default(),
            answered: 0,
        }
    }

    fn second(&mut self) {
        self.calendar.pass();
        let event = life::event(self.calendar.seconds(), &mut self.random);
        if !matches!(event, Event::Nothing | Event::Look) {
            println!("at {} s: {event:?}", self.calendar.seconds());
        }
        match event {
            Event::Nothing => (),
            Event::Suspend(seconds) => self.calendar.leap(seconds),
            Event::Restart(seconds) => self.restart(seconds),
            Event::Reload => self.reload(),
            Event::Look => self.look(),
        }
        let is_crowded = universe::is_crowded(self.calendar.seconds());
        let requests = if is_crowded {
            10
        } else {
            usize::from(self.random.u8(0..4) == 0)
        };
        for _ in 0..requests {
            match self.random.u8(0..10) {
                0 => self.be_hostile(),
                _ => self.ask(is_crowded),
            }
        }
        self.clean();
    }

    fn clean(&mut self) {
        self.network.turn(self.calendar.instant());
        let Self {
            chores,
            calendar,
            state,
            list,
            ..
        } = self;
        counted(|| chores.run(calendar, &state.swarms, &list.handle));
        let (network, calendar) = (&self.network, &self.calendar);
        // Before it is closed, it may be told so, and have some time to read that.
        self.doomed.retain(|(id, since)| {
            let is_open = network.is_open(*id);
            let age = calendar.awake_since(*since);
            assert!(!is_open || age <= 2 * LONGEST_SILENCE, "open for {age} s");
            is_open
        });
        self.kept.retain(|kept| {
            let is_open = network.is_open(kept.id);
            let age = calendar.awake_since(kept.used_at);
            assert!(!is_open || age <= LONGEST_KEPT, "kept for {age} s");
            is_open
        });
    }

    fn source(&mut self) -> SocketAddr {
        let client = self.random.u32(1..60_000);
        let ip = Ipv4Addr::from_bits(0x0a00_0000 + client);
        SocketAddrV4::new(ip, 1_000 + (client % 7) as u16).into()
    }

    /// A client that does something else than it should.
    fn be_hostile(&mut self) {
        let source = self.source();
        let Some(id) = self.network.connect(source) else {
            return;
        };
        let request = announce(7, source, "");
        match self.random.u8(0..5) {
            0 => (),
            1 => {
                let length = self.random.usize(1..request.len());
                self.network.send(id, &request.as_bytes()[..length]);
            }
            2 => {
                let garbage: Vec<u8> = (0..self.random.usize(1..3_000))
                    .map(|_| self.random.u8(..))
                    .collect();
                self.network.send(id, &garbage);
            }
            3 => {
                let length = self.random.usize(1..request.len());
                self.network.send(id, &request.as_bytes()[..length]);
                self.network.end(id);
            }
            _ => {
                // Asks and asks, and reads nothing.
                self.network.stall(id);
                let page = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
                self.network.send(id, &page);
            }
        }
        self.doomed.push((id, self.calendar.seconds()));
    }

    /// A client that announces, over a connection of before or a new one.
    fn ask(&mut self, is_crowded: bool) {
        let number = self.random.usize(..MOST_KEPT);
        let now = self.calendar.seconds();
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
        let is_stop = self.random.u8(0..8) == 0;
        let torrent = if is_crowded {
            universe::rare_torrent(now, &mut self.random)
        } else {
            universe::torrent(now, &mut self.random)
        };
        let is_seeder = self.random.bool();
        let more = match (is_stop, is_seeder) {
            (true, _) => "&event=stopped&left=1",
            (false, true) => "&left=0",
            (false, false) => "&left=9",
        };
        let request = announce(torrent, source, more);
        let cut = self.random.usize(..request.len());
        self.network.send(id, &request.as_bytes()[..cut]);
        self.network.send(id, &request.as_bytes()[cut..]);
        let reply = self.network.take(id);
        self.network.take_touched();
        if self.random.u8(0..10) == 0 {
            self.network.end(id);
            assert!(!self.network.is_open(id));
            self.kept.swap_remove(number);
        }
        let reply = reply.expect("a kept connection is there");
        self.answered += 1;
        if self.list.forbids(torrent) {
            let text = String::from_utf8_lossy(&reply);
            assert!(text.contains("not allowed"), "{text}");
            return;
        }
        let reply = Reply::parse(&reply);
        let counts = self.model.counts(torrent, Some(&source), &self.calendar);
        let asked = (now, torrent, source);
        // An announce counts who makes it, or does not; a stop never does.
        counts.seeders.assert_about(reply.seeders, &asked);
        counts.leechers.assert_about(reply.leechers, &asked);
        for peer in &reply.peers {
            assert!(
                self.model.may_have(torrent, peer, &self.calendar),
                "{asked:?} {peer}"
            );
        }
        if is_stop {
            self.model.stop(torrent, source);
        } else {
            let lifetime = u64::from(self.state.rules.peer_lifetime_seconds);
            self.model
                .announce(torrent, source, is_seeder, now + lifetime);
        }
    }

    fn reload(&mut self) {
        self.list.reload(self.calendar.seconds());
        self.chores.hurry();
        let list = &self.list;
        self.model.remove(|torrent| list.forbids(torrent));
        for _ in 0..10 {
            self.calendar.pass();
            self.clean();
        }
    }

    fn look(&mut self) {
        self.model.tidy(&self.calendar);
        let totals = self.state.swarms.ipv4.totals();
        self.model
            .peers(&self.calendar)
            .assert(totals.peers, &totals);
        life::assert_small(&self.state.swarms.ipv4);
        assert_eq!(self.network.len(), self.kept.len() + self.doomed.len());
        self.days.note(self.calendar.seconds() / DAY);
    }

    /// The tracker ends in good order, and is there again after so many seconds.
    fn restart(&mut self, away: u64) {
        self.network.drain();
        for _ in 0..10 {
            self.calendar.pass();
            self.network.turn(self.calendar.instant());
        }
        assert!(self.network.is_drained());
        let now = self.calendar.now().monotonic_seconds;
        let saved = life::save(&self.state.swarms.ipv4, now);
        self.calendar.leap(away);

        let state = new_state(&self.settings, &self.list);
        let lifetime = state.rules.peer_lifetime_seconds;
        let with_peers = away <= u64::from(lifetime);
        let now = self.calendar.now().monotonic_seconds;
        counted(|| life::load(&state.swarms.ipv4, &saved, now, lifetime, with_peers));
        let seed = self.random.u64(..);
        let network = new_network(&self.settings, &state, &self.calendar, seed);
        counted(|| {
            self.network = network;
            self.state = state;
        });
        self.kept.clear();
        self.doomed.clear();
        self.chores = Chores::new(&self.calendar);
        let latest = self.calendar.seconds() + u64::from(lifetime);
        if with_peers {
            self.model.restore(away, latest);
        } else {
            self.model.clear();
        }
    }
}

fn new_state(settings: &Settings, list: &List) -> Arc<State> {
    let rules = simulation::state(settings, [0; 16]).rules;
    let key = HashKey::new([3; 16]);
    counted(|| {
        Arc::new(State::new(
            rules,
            Limits::default(),
            key,
            list.handle.clone(),
        ))
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
        renewal: None,
    };
    let protocol = simulation::worker(settings, state, calendar.clock(), seed);
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

/// The answer to an announce.
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

/// Where the bytes behind `what` begin.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let place = bytes.windows(what.len()).position(|it| it == what)?;
    Some(place + what.len())
}
