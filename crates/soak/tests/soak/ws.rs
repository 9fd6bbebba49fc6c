//! The WebTorrent tracker: two workers, whose connections send each other offers and
//! answers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aquatic_soak::calendar::Calendar;
use aquatic_soak::life::{self, CLEANING_INTERVAL, List};
use aquatic_soak::memory::counted;
use aquatic_soak::model::Model;
use aquatic_soak::month::{self, Tracker, World};
use aquatic_soak::network::Network;
use aquatic_soak::plan::Plan;
use aquatic_soak::universe;
use aquatic_stream::simulation::{self, Setup};
use aquatic_swarm::{HashKey, SwarmLimits, Swarms, WebSwarms};
use aquatic_ws::config::Config;
use aquatic_ws::settings::Settings;
use aquatic_ws::simulation::Ws;
use aquatic_ws::tracker::State;
use serde_json::{Value, json};

/// Number of workers.
const WORKERS: usize = 2;

/// Maximum number of connections of well-behaved clients.
const MAX_CLIENTS: usize = 80;

/// Number of torrents that most clients use, so that they get offers of each other.
const POPULAR: u64 = 40;

/// Seconds after which a connection with an incomplete message must be closed.
const MAX_SILENCE_SECONDS: u64 = 26;

/// RFC 6455, 5.2.
const TEXT: u8 = 1;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A client and its connection.
struct Client {
    worker: usize,
    id: u64,
    /// Its peer id.
    number: u64,
    torrents: Vec<u64>,
    received: Vec<u8>,
}

/// An offer that was sent.
#[derive(Clone, Copy)]
struct Offer {
    sender: u64,
    torrent: u64,
    /// The client that has answered.
    answered_by: Option<u64>,
}

struct Run {
    world: World,
    settings: Settings,
    state: Arc<State>,
    networks: Vec<Network<Ws>>,
    model: Model<u64>,
    clients: Vec<Client>,
    offers: BTreeMap<u64, Offer>,
    /// Connections that must be closed soon, and the time from which that counts.
    doomed: Vec<(usize, u64, u64)>,
    next_number: u64,
    counts: Counts,
}

/// Counts of events, to check that they occur.
#[derive(Debug, Default)]
struct Counts {
    announced: u64,
    offered: u64,
    answered: u64,
    answers_received: u64,
}

#[test]
fn ws() {
    let plan = Plan::new("ws");
    let mut run = Run::new(&plan);
    month::pass(&mut run, &plan);
    assert!(run.networks.iter().all(Network::is_empty));
    let counts = &run.counts;
    println!("{counts:?}");
    assert!(counts.announced > plan.seconds() / 40, "{counts:?}");
    assert!(counts.offered > counts.announced / 20, "{counts:?}");
    assert!(counts.answers_received > counts.answered / 2, "{counts:?}");
}

impl Run {
    fn new(plan: &Plan) -> Self {
        let settings = Settings::new(&Config::default()).expect("the default");
        let world = World::new(plan);
        let state = new_state(&settings, &world.list);
        let networks = new_networks(&settings, &state, &world.calendar, 1);
        Self {
            world,
            settings,
            state,
            networks,
            model: Model::new(CLEANING_INTERVAL),
            clients: Vec::new(),
            offers: BTreeMap::new(),
            doomed: Vec::new(),
            next_number: 1,
            counts: Counts::default(),
        }
    }

    /// Drives all workers.
    fn turn(&mut self) {
        for network in &mut self.networks {
            network.turn(self.world.calendar.instant());
        }
    }

    fn connect(&mut self) -> Option<(usize, u64)> {
        let worker = self.world.random.usize(..WORKERS);
        let ip = Ipv4Addr::from_bits(0x0a00_0000 + self.world.random.u32(1..60_000));
        let id = self.networks[worker].connect(SocketAddr::new(ip.into(), 1_000))?;
        Some((worker, id))
    }

    /// A client that misbehaves.
    fn be_hostile(&mut self) {
        let Some((worker, id)) = self.connect() else {
            return;
        };
        let random = &mut self.world.random;
        let network = &mut self.networks[worker];
        let kind = random.u8(0..4);
        if kind > 0 {
            network.send(id, UPGRADE);
        }
        match kind {
            0 => network.send(id, &UPGRADE[..random.usize(..UPGRADE.len())]),
            1 => {
                let garbage: Vec<u8> = (0..random.usize(1..500)).map(|_| random.u8(..)).collect();
                network.send(id, &garbage);
                network.end(id);
            }
            2 => {
                let frame = frame(TEXT, br#"{"action":"announce","info_hash":"x"}"#);
                network.send(id, &frame[..random.usize(1..frame.len())]);
            }
            _ => {
                // The first fragment of a message, without the others.
                let mut frame = frame(TEXT, b"{\"action\":");
                frame[0] &= 0x7f;
                network.send(id, &frame);
            }
        }
        self.doomed
            .push((worker, id, self.world.calendar.seconds()));
    }

    /// The client closes its connection without a close frame.
    fn disconnect(&mut self, client: &Client) {
        let network = &mut self.networks[client.worker];
        network.end(client.id);
        assert!(!network.is_open(client.id));
        for torrent in &client.torrents {
            self.model.stop(*torrent, client.number);
        }
    }

    /// An existing or a new client announces or stops.
    fn announce(&mut self, is_crowded: bool) {
        let place = self
            .world
            .random
            .usize(..MAX_CLIENTS)
            .min(self.clients.len());
        if place == self.clients.len() {
            let (worker, id) = self.connect().expect("there is room");
            self.networks[worker].send(id, UPGRADE);
            let head = self.networks[worker].take(id).expect("it is open");
            assert!(
                head.starts_with(b"HTTP/1.1 101 "),
                "{}",
                head.escape_ascii()
            );
            self.next_number += 1;
            self.clients.push(Client {
                worker,
                id,
                number: self.next_number,
                torrents: Vec::new(),
                received: Vec::new(),
            });
        }
        let now = self.world.calendar.seconds();
        let client = &mut self.clients[place];
        let torrent = if is_crowded {
            universe::rare_torrent(now, &mut self.world.random)
        } else {
            self.world.random.u64(..POPULAR)
        };
        let is_stop = self.world.random.u8(0..8) == 0;
        let is_seeder = self.world.random.bool();
        let number = client.number;
        let mut message = json!({
            "action": "announce",
            "info_hash": hash(torrent),
            "peer_id": peer_id(number),
            "left": i32::from(!is_seeder),
            "numwant": 3,
        });
        if is_stop {
            message["event"] = json!("stopped");
            client.torrents.retain(|it| *it != torrent);
        } else {
            let offers = (0..3).map(|_| {
                self.next_number += 1;
                let sent = Offer {
                    sender: number,
                    torrent,
                    answered_by: None,
                };
                self.offers.insert(self.next_number, sent);
                let sdp = "v=0".repeat(self.world.random.usize(1..40));
                json!({
                    "offer_id": peer_id(self.next_number),
                    "offer": {"type": "offer", "sdp": sdp},
                })
            });
            message["offers"] = offers.collect();
            if !self.world.list.forbids(torrent) && !client.torrents.contains(&torrent) {
                client.torrents.push(torrent);
            }
        }
        let before = self
            .model
            .counts(torrent, Some(&number), &self.world.calendar);
        if is_stop {
            self.model.stop(torrent, number);
        } else if !self.world.list.forbids(torrent) {
            let lifetime = u64::from(self.settings.config.cleaning.max_peer_age.as_u16());
            self.model
                .announce(torrent, number, is_seeder, now + lifetime);
        }
        let (worker, id) = (client.worker, client.id);
        let bytes = frame(TEXT, message.to_string().as_bytes());
        self.networks[worker].send(id, &bytes);
        self.turn();
        let reply = self.read_for(number).expect("an announce is answered");
        if self.world.list.forbids(torrent) {
            assert!(reply.get("failure reason").is_some(), "{reply}");
            return;
        }
        self.counts.announced += 1;
        let count = |key: &str| reply[key].as_u64().map(|count| count as usize);
        let asked = (now, torrent, number);
        let seeders = count("complete").unwrap_or_else(|| panic!("{reply}"));
        let leechers = count("incomplete").unwrap_or_else(|| panic!("{reply}"));
        before.seeders.assert_about(seeders, &asked);
        before.leechers.assert_about(leechers, &asked);
    }

    /// Reads what has arrived, and returns the reply to a client's request.
    fn read_for(&mut self, number: u64) -> Option<Value> {
        let mut replies = self.read();
        let place = replies.iter().position(|(client, _)| *client == number)?;
        Some(replies.swap_remove(place).1)
    }

    /// Reads what has arrived for clients, which answer offers and pings, until nothing more
    /// arrives. Returns the replies to their requests.
    fn read(&mut self) -> Vec<(u64, Value)> {
        let mut replies = Vec::new();
        loop {
            let mut touched: Vec<(usize, u64)> = Vec::new();
            for (worker, network) in self.networks.iter_mut().enumerate() {
                touched.extend(network.take_touched().into_iter().map(|id| (worker, id)));
            }
            if touched.is_empty() {
                return replies;
            }
            for (worker, id) in touched {
                let is_it = |it: &Client| it.worker == worker && it.id == id;
                let Some(place) = self.clients.iter().position(is_it) else {
                    continue;
                };
                let bytes = self.networks[worker].take(id).unwrap_or_default();
                self.clients[place].received.extend_from_slice(&bytes);
                while let Some((opcode, payload)) = take_frame(&mut self.clients[place].received) {
                    self.got(place, opcode, &payload, &mut replies);
                }
            }
        }
    }

    fn got(&mut self, place: usize, opcode: u8, payload: &[u8], replies: &mut Vec<(u64, Value)>) {
        let client = &self.clients[place];
        let (worker, id, number) = (client.worker, client.id, client.number);
        if opcode == PING {
            return self.networks[worker].send(id, &frame(PONG, payload));
        }
        if opcode != TEXT {
            return;
        }
        let message: Value = serde_json::from_slice(payload).expect("JSON");
        let offer_id = message["offer_id"].as_str().map(|id| id.parse::<u64>());
        let Some(Ok(offer_id)) = offer_id else {
            replies.push((number, message));
            return;
        };
        let Some(offer) = self.offers.get_mut(&offer_id) else {
            panic!("an offer that nobody made: {message}");
        };
        if message.get("answer").is_some() {
            assert_eq!(offer.sender, number, "{message}");
            assert_eq!(message["peer_id"], peer_id(offer.answered_by.unwrap_or(0)));
            self.counts.answers_received += 1;
            return;
        }
        assert_eq!(message["peer_id"], peer_id(offer.sender), "{message}");
        assert_eq!(message["info_hash"], hash(offer.torrent), "{message}");
        assert_ne!(offer.sender, number, "{message}");
        assert!(
            self.model
                .may_have(offer.torrent, &number, &self.world.calendar),
            "{number} is no peer: {message}"
        );
        self.counts.offered += 1;
        if self.world.random.bool() {
            self.counts.answered += 1;
            offer.answered_by = Some(number);
            let answer = json!({
                "action": "announce",
                "info_hash": hash(offer.torrent),
                "peer_id": peer_id(number),
                "to_peer_id": peer_id(offer.sender),
                "offer_id": peer_id(offer_id),
                "answer": {"type": "answer", "sdp": "v=0"},
            });
            let bytes = frame(TEXT, answer.to_string().as_bytes());
            self.networks[worker].send(id, &bytes);
            self.turn();
        }
    }
}

impl Tracker for Run {
    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn swarms(&self) -> &impl Swarms {
        &self.state.shared.swarms
    }

    fn serve(&mut self, is_crowded: bool) {
        let random = &mut self.world.random;
        let chance = if is_crowded { 1 } else { 8 };
        if random.u8(0..chance) > 0 {
            return;
        }
        match random.u8(0..20) {
            0 => self.be_hostile(),
            1 if !self.clients.is_empty() => {
                let number = random.usize(..self.clients.len());
                let client = self.clients.swap_remove(number);
                self.disconnect(&client);
            }
            _ => self.announce(is_crowded),
        }
    }

    fn work(&mut self) {
        self.turn();
        self.read();
        self.world.keep_house(&self.state.shared.swarms);
        let (networks, calendar) = (&self.networks, &self.world.calendar);
        self.doomed.retain(|(worker, id, since)| {
            let is_open = networks[*worker].is_open(*id);
            let age = calendar.awake_since(*since);
            assert!(!is_open || age <= MAX_SILENCE_SECONDS, "open for {age} s");
            is_open
        });
        let is_gone = |it: &Client| !networks[it.worker].is_open(it.id);
        while let Some(number) = self.clients.iter().position(is_gone) {
            let client = self.clients.swap_remove(number);
            for torrent in client.torrents {
                self.model.stop(torrent, client.number);
            }
        }
    }

    fn forget_forbidden(&mut self) {
        let list = &self.world.list;
        self.model.remove(|torrent| list.forbids(torrent));
    }

    fn compare(&mut self) {
        let calendar = &self.world.calendar;
        self.model.tidy(calendar);
        for (swarm, (_, totals)) in self
            .state
            .shared
            .swarms
            .all()
            .zip(self.state.shared.swarms.totals())
        {
            life::assert_small(swarm);
            let mut bounds = self.model.peers(calendar);
            if self.state.shared.swarms.all().count() > 1 {
                bounds.least = 0;
            }
            bounds.assert(totals.peers, &totals);
        }
        let open: usize = self.networks.iter().map(Network::len).sum();
        assert_eq!(open, self.clients.len() + self.doomed.len());
        // Offers of that age are not answered.
        let oldest = self.next_number.saturating_sub(5_000);
        self.offers = self.offers.split_off(&oldest);
    }

    /// Restarts without peers.
    fn restart(&mut self, away: u64) {
        for network in &mut self.networks {
            network.drain();
        }
        for _ in 0..10 {
            self.world.calendar.pass();
            self.turn();
        }
        assert!(self.networks.iter().all(Network::is_drained));
        let calendar = &mut self.world.calendar;
        let now = calendar.now().monotonic_seconds;
        let saved: Vec<_> = self
            .state
            .shared
            .swarms
            .all()
            .map(|it| life::save(it, now))
            .collect();
        calendar.leap(away);

        let state = new_state(&self.settings, &self.world.list);
        let now = calendar.now().monotonic_seconds;
        for (swarm, blocks) in state.shared.swarms.all().zip(&saved) {
            counted(|| life::load(swarm, blocks, now, 0, false));
        }
        let seed = self.world.random.u64(..);
        let networks = new_networks(&self.settings, &state, calendar, seed);
        counted(|| {
            self.networks = networks;
            self.state = state;
        });
        self.clients.clear();
        self.doomed.clear();
        self.world.start_periodic_tasks();
        self.model.clear();
    }

    /// Connections end, also because clients do not answer a ping.
    fn leave(&mut self) -> u64 {
        for client in std::mem::take(&mut self.clients) {
            self.disconnect(&client);
        }
        0
    }
}

fn new_state(settings: &Settings, list: &List) -> Arc<State> {
    let key = HashKey::new([3; 16]);
    let (limits, apart) = (
        SwarmLimits::default(),
        settings.config.protocol.separate_families,
    );
    let list = list.lists.clone();
    counted(|| {
        let swarms = WebSwarms::new(key, limits, apart);
        Arc::new(State::new(swarms, list))
    })
}

fn new_networks(
    settings: &Settings,
    state: &Arc<State>,
    calendar: &Calendar,
    seed: u64,
) -> Vec<Network<Ws>> {
    let wakers: Vec<_> = (0..WORKERS).map(|_| simulation::noop_waker()).collect();
    let clock = calendar.clock();
    let workers =
        counted(|| aquatic_ws::simulation::workers(settings, state, &clock, &wakers, seed));
    let workers = workers.into_iter().map(|worker| {
        let setup = Setup {
            settings: settings.connections.clone(),
            tls: None,
            rotation: None,
        };
        Network::new(worker, setup, calendar.instant())
    });
    workers.collect()
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\n\
    Host: tracker.test\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn peer_id(number: u64) -> String {
    format!("{number:020}")
}

/// An info hash in JSON, with one character per byte.
fn hash(torrent: u64) -> String {
    universe::info_hash(torrent)
        .0
        .iter()
        .copied()
        .map(char::from)
        .collect()
}

/// A client's frame with a payload of up to 65,535 bytes.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    // A mask of zeros changes nothing.
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes a frame from what has arrived from the tracker: opcode and payload.
fn take_frame(received: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (start, length) = match *received.as_slice() {
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
        [_, length @ 0..126, ..] => (2, usize::from(length)),
        _ => return None,
    };
    let payload = received.get(start..start + length)?.to_vec();
    let opcode = received[0] & 0xf;
    received.drain(..start + length);
    Some((opcode, payload))
}
