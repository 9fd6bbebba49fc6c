//! Invariants for any behaviour of several clients of the WebTorrent tracker over time:
//! each message gets one reply, each offer is relayed to one other peer and answered once
//! and in time, no offer is sent on behalf of closed connections, peers that do not announce
//! again expire, and counts are those of a simple model.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_bittorrent::AnnounceEvent;
use aquatic_service::clock::Clock;
use aquatic_service::config::numbers::{Bytes, Count, ZeroOr};
use aquatic_stream::ConnectionId;
use aquatic_stream::simulation::{LoopAction, Setup, Simulation, Transport, noop_waker};
use aquatic_swarm::{Swarms as _, Sweep};
use aquatic_ws::config::Config;
use aquatic_ws::settings::Settings;
use aquatic_ws::simulation;
use aquatic_ws::tracker::State;
use aquatic_ws_protocol::client::{self, Reply, UpgradeReading};
use aquatic_ws_protocol::{
    Announce, Answer, Event, MessageReader, Offer, OfferId, Received, Request, Scrape, Sender,
    SessionDescription, SizeLimits,
};

#[path = "ws_dialogue_model.rs"]
mod model;

use model::{Expected, Model};

/// Maximum number of connections of one input, including closed ones: more would show
/// nothing new.
const MAX_CONNECTIONS: usize = 24;

/// Maximum number of offers of one input: fewer than a receiver remembers.
const MAX_OFFERS: usize = 200;

/// Maximum number of steps of one input.
const MAX_STEPS: usize = 300;

/// How often a connection may be driven in a row: far more than necessary.
const MAX_DRIVES: usize = 10_000;

/// Torrents and empty shards of a sweep: more than exist.
const WHOLE_SWEEP: usize = 1 << 20;

/// Number of workers, on one thread.
const WORKERS: usize = 2;

/// Maximum memory of a worker: output that clients do not read, incomplete messages, and
/// shared buffers.
const MAX_KEPT: usize = MAX_CONNECTIONS * (MAX_UNSENT + (96 << 10)) + (4 << 20);
const MAX_UNSENT: usize = 16 << 10;

const NONCE: [u8; 16] = *b"the sample nonce";
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// Panics if an invariant does not hold. Each three bytes are a step:
/// what happens, to which client, and how.
pub(crate) fn check(input: &[u8]) {
    let mut world = World::new();
    for step in input.chunks_exact(3).take(MAX_STEPS) {
        world.step(step[0], usize::from(step[1]), step[2]);
        world.settle();
        world.check_counts();
    }
    world.end();
}

struct World {
    now: Instant,
    start: Instant,
    clock: Clock,
    workers: Vec<Simulation<simulation::Ws>>,
    state: Arc<State>,
    clients: Vec<Client>,
    model: Model,
}

/// A client. Its number is its position among all clients, including disconnected ones.
struct Client {
    worker: usize,
    id: ConnectionId,
    wire: Wire,
    reader: MessageReader,
    is_upgraded: bool,
    is_closed: bool,
    /// It has sent invalid data, so any reply is right, except that it is served.
    is_odd: bool,
    /// Expected replies, in order.
    expected: VecDeque<Expected>,
}

impl World {
    fn new() -> Self {
        let mut config = Config::default();
        config.network.own.max_unsent_bytes = Bytes::of::<{ MAX_UNSENT as u64 }>();
        config.network.max_connections_per_ip = ZeroOr::ZERO;
        config.limits.max_torrents_per_connection = Count::of::<{ model::MAX_TORRENTS as u64 }>();
        config.protocol.max_offers = Count::of::<3>();
        let settings = Settings::new(&config).expect("settings");
        let state = simulation::state(&settings, [7; 16]);
        // Seconds of both clocks begin at the same time.
        let clock = Clock::start();
        let now = Instant::now();
        let wakers: Vec<_> = (0..WORKERS).map(|_| noop_waker()).collect();
        let workers = simulation::workers(&settings, &state, &clock, &wakers, 1)
            .into_iter()
            .map(|protocol| {
                let setup = Setup {
                    settings: settings.connections.clone(),
                    tls: None,
                    rotation: None,
                };
                Simulation::new(protocol, setup, now)
            })
            .collect();
        Self {
            now,
            start: now,
            clock,
            workers,
            state,
            clients: Vec::new(),
            model: Model::default(),
        }
    }

    fn seconds(&self) -> u64 {
        (self.now - self.start).as_secs()
    }

    fn step(&mut self, what: u8, whom: usize, how: u8) {
        if what.is_multiple_of(16) {
            return self.connect(whom % WORKERS, how);
        }
        if what % 16 == 1 {
            return self.advance(u64::from(how));
        }
        let Some(number) = whom.checked_rem(self.clients.len()) else {
            return;
        };
        let client = &self.clients[number];
        if client.is_closed || !client.is_upgraded {
            return;
        }
        let is_usable = !client.wire.is_blocked && !client.is_odd;
        match what % 16 {
            2 => self.leave(number, how),
            3 => self.block(number),
            4 => self.say_odd(number, how),
            5 if is_usable => self.ping(number, how),
            6 if is_usable => self.babble(number, how),
            7 if is_usable => self.scrape(number),
            10 if is_usable && how >= 192 => self.answer_in_time(number, how),
            8..=10 if is_usable => self.answer(number, how),
            11.. if is_usable => self.announce(number, how),
            _ => {}
        }
    }

    /// A client connects; half of them send their request byte by byte.
    fn connect(&mut self, worker: usize, how: u8) {
        if self.clients.len() == MAX_CONNECTIONS {
            return;
        }
        let source = format!("127.0.0.1:{}", 1_000 + self.clients.len());
        let source = source.parse().expect("an address");
        let id = self.workers[worker].open(source).expect("a connection");
        self.clients.push(Client {
            worker,
            id,
            wire: Wire::default(),
            reader: MessageReader::new(),
            is_upgraded: false,
            is_closed: false,
            is_odd: false,
            expected: VecDeque::new(),
        });
        let number = self.clients.len() - 1;
        let mut request = Vec::new();
        client::write_upgrade_request(&mut request, "tracker.test", "/", NONCE);
        if how == 255 {
            // It never sends anything.
            self.drive(number);
        } else if how.is_multiple_of(2) {
            self.send(number, &request);
        } else {
            for byte in request {
                self.send(number, &[byte]);
            }
        }
    }

    fn announce(&mut self, number: usize, how: u8) {
        let (torrent, peer) = (how % 4, how / 4 % 4);
        let event = match how / 16 % 8 {
            0 => AnnounceEvent::Stopped,
            1 => AnnounceEvent::Completed,
            2 => AnnounceEvent::Started,
            _ => AnnounceEvent::None,
        };
        let is_seeder = how >= 128;
        let left = if is_seeder { 0 } else { 1 };
        let count = usize::from(how / 16 % 4).min(MAX_OFFERS - self.model.offers.len());
        let at = self.seconds();
        let expected = self
            .model
            .announce(number, (torrent, peer), event, is_seeder, at);
        let is_served = matches!(expected, Expected::Announce { .. });
        let offers = (0..count)
            .map(|_| Offer {
                id: self.model.new_offer(number, (torrent, peer), is_served, at),
                description: SessionDescription::new("{}").expect("an object"),
            })
            .collect();
        let request = Request::Announce(Announce {
            info_hash: model::info_hash(torrent),
            peer_id: model::peer_id(peer),
            event,
            left: Some(left),
            uploaded: None,
            downloaded: None,
            wanted: None,
            offers,
        });
        self.ask(number, &request, Some(expected));
    }

    /// Answers an offer that was received, or one that does not exist.
    fn answer(&mut self, number: usize, how: u8) {
        let received = &self.model.received[&number];
        let place = usize::from(how / 2).checked_rem(received.len());
        let place = place.filter(|_| how % 8 != 7);
        let offer = match place {
            Some(place) => received[place],
            None => self.model.unknown_offer(),
        };
        self.answer_offer(number, offer, how);
    }

    /// Answers an offer in the last second in which this is possible, or in the first one in
    /// which it is too late.
    fn answer_in_time(&mut self, number: usize, how: u8) {
        let received = &self.model.received[&number];
        let Some(place) = usize::from(how / 2).checked_rem(received.len()) else {
            return;
        };
        let offer = received[place];
        let end = self.model.offers[&offer].end();
        let then = end - u64::from(how % 2);
        let Some(seconds) = then.checked_sub(self.seconds()) else {
            return;
        };
        self.advance(seconds);
        let client = &self.clients[number];
        if !client.is_closed && !client.is_odd {
            self.answer_offer(number, offer, how);
        }
    }

    fn answer_offer(&mut self, number: usize, offer: OfferId, how: u8) {
        let (torrent, from) = self.model.offers.get(&offer).map_or((0, 0), |it| it.peer);
        let known = self.model.announced.get(&(number, torrent)).copied();
        let peer = known.unwrap_or(how % 4);
        let at = self.seconds();
        let expected = self.model.answer(number, (torrent, peer), offer, at);
        let request = Request::Answer(Answer {
            info_hash: model::info_hash(torrent),
            peer_id: model::peer_id(peer),
            to_peer_id: model::peer_id(from),
            offer_id: offer,
            description: SessionDescription::new("{}").expect("an object"),
        });
        self.ask(number, &request, expected);
    }

    fn scrape(&mut self, number: usize) {
        let info_hashes = (0..4).map(model::info_hash).collect();
        let expected = Expected::Scrape(self.model.counts());
        self.ask(
            number,
            &Request::Scrape(Scrape { info_hashes }),
            Some(expected),
        );
    }

    fn ask(&mut self, number: usize, request: &Request<'_>, expected: Option<Expected>) {
        let mut frame = Vec::new();
        client::write_text(&mut frame, MASK, |out| client::write_request(out, request));
        self.clients[number].expected.extend(expected);
        self.send(number, &frame);
    }

    /// An invalid message gets an error.
    fn babble(&mut self, number: usize, how: u8) {
        let mut frame = Vec::new();
        let text = "x".repeat(usize::from(how) * 16);
        client::write_text(&mut frame, MASK, |out| out.extend(text.as_bytes()));
        self.clients[number].expected.push_back(Expected::Failure);
        self.send(number, &frame);
    }

    fn ping(&mut self, number: usize, how: u8) {
        let mut frame = Vec::new();
        client::write_ping(&mut frame, MASK, &[how]);
        self.clients[number].expected.push_back(Expected::Pong(how));
        self.send(number, &frame);
    }

    /// A frame, or a part of one, with any header and an invalid payload.
    fn say_odd(&mut self, number: usize, how: u8) {
        if self.clients[number].wire.is_blocked {
            return;
        }
        self.clients[number].is_odd = true;
        let mut frame = Vec::new();
        client::write_text(&mut frame, MASK, |out| out.extend(b"xyz"));
        frame[0] = how;
        frame[1] ^= how / 64;
        frame.truncate(frame.len() - usize::from(how % 3));
        self.send(number, &frame);
    }

    /// A client disconnects, with or without a close frame.
    fn leave(&mut self, number: usize, how: u8) {
        if how.is_multiple_of(2) && !self.clients[number].wire.is_blocked {
            let mut frame = Vec::new();
            let code = aquatic_ws_protocol::CloseCode::NORMAL;
            client::write_close(&mut frame, MASK, code, "bye");
            self.clients[number].is_odd = true;
            self.send(number, &frame);
        } else {
            self.clients[number].wire.has_ended = true;
            self.clients[number].wire.is_blocked = false;
            self.clients[number].is_odd = true;
            self.drive(number);
        }
    }

    /// A client stops reading, or continues.
    fn block(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.wire.is_blocked = !client.wire.is_blocked && !client.is_odd;
        self.drive(number);
    }

    fn advance(&mut self, seconds: u64) {
        // The tracker's clock advances as in an event loop, by a second at a time.
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            for worker in 0..WORKERS {
                self.workers[worker].advance(self.now);
                while let Some(id) = self.workers[worker].next_late() {
                    let number = self.number(worker, id);
                    self.drive(number);
                }
            }
            self.settle();
            self.sweep();
        }
    }

    /// Removes all peers that have not announced again.
    fn sweep(&mut self) {
        let now = self.clock.at(self.now).monotonic_seconds;
        let mut sweep = Sweep::default();
        let is_done = self
            .state
            .shared
            .swarms
            .sweep(0, &mut sweep, now, WHOLE_SWEEP, |_| true);
        assert!(is_done);
        self.model.sweep(self.seconds());
    }

    fn number(&self, worker: usize, id: ConnectionId) -> usize {
        let is_it = |client: &Client| (client.worker, client.id) == (worker, id);
        let number = self.clients.iter().position(is_it);
        let number = number.expect("a connection of a client");
        assert!(!self.clients[number].is_closed, "it has ended");
        number
    }

    fn send(&mut self, number: usize, bytes: &[u8]) {
        self.clients[number].wire.arriving.extend(bytes);
        self.drive(number);
    }

    fn drive(&mut self, number: usize) {
        let mut drives = 0;
        while !self.clients[number].is_closed {
            drives += 1;
            assert!(drives < MAX_DRIVES, "it never ends");
            let client = &mut self.clients[number];
            match self.workers[client.worker].drive(client.id, &mut client.wire) {
                LoopAction::Again => continue,
                LoopAction::Wait | LoopAction::WaitToWrite => break,
                LoopAction::Close => return self.closed(number),
            }
        }
        self.read(number);
    }

    /// Delivers messages between connections.
    fn settle(&mut self) {
        for worker in 0..WORKERS {
            self.workers[worker].woken();
        }
        for worker in 0..WORKERS {
            while let Some(id) = self.workers[worker].next_collected() {
                let number = self.number(worker, id);
                let client = &mut self.clients[number];
                match self.workers[worker].send_collected(id, &mut client.wire) {
                    LoopAction::Close => self.closed(number),
                    _ => self.read(number),
                }
            }
            assert!(self.workers[worker].kept_bytes() <= MAX_KEPT);
        }
    }

    fn closed(&mut self, number: usize) {
        self.clients[number].is_closed = true;
        self.read(number);
        self.clients[number].expected.clear();
        self.model.closed(number);
    }

    /// Checks what a client has received.
    fn read(&mut self, number: usize) {
        let mut left = std::mem::take(&mut self.clients[number].wire.left);
        let mut rest = left.as_mut_slice();
        if !self.clients[number].is_upgraded && !rest.is_empty() {
            match UpgradeReading::of(rest, NONCE) {
                UpgradeReading::Upgraded { length } => {
                    self.clients[number].is_upgraded = true;
                    rest = &mut rest[length..];
                }
                UpgradeReading::Rejected(408) => return,
                other => panic!("{other:?}"),
            }
        }
        while !rest.is_empty() {
            let client = &mut self.clients[number];
            let Ok(Received::Frame { event, length }) =
                client
                    .reader
                    .read(rest, Sender::Server, SizeLimits::of_message(1 << 20))
            else {
                // A client that does not read is disconnected at any point.
                assert!(client.is_closed, "no whole frame");
                return;
            };
            match event {
                Event::Text(text) => {
                    let text = text.into_owned();
                    self.hear(number, &text);
                }
                Event::Ping(payload) => {
                    let mut frame = Vec::new();
                    client::write_pong(&mut frame, MASK, payload);
                    client.wire.arriving.extend(&frame);
                }
                Event::Pong(payload) if !client.is_odd => {
                    let expected = client.expected.pop_front();
                    assert_eq!(expected, Some(Expected::Pong(payload[0])));
                }
                Event::Pong(_) => {}
                Event::Close(_) => {
                    assert_eq!(length, rest.len(), "nothing comes behind it");
                    client.is_odd = true;
                    client.expected.clear();
                    self.model.closed(number);
                }
                other => panic!("{other:?}"),
            }
            rest = &mut rest[length..];
        }
        if !self.clients[number].is_closed && !self.clients[number].wire.arriving.is_empty() {
            self.drive(number);
        }
    }

    fn hear(&mut self, number: usize, text: &str) {
        let client = &mut self.clients[number];
        let is_blocked = client.wire.is_blocked;
        match Reply::parse(text).expect("a message") {
            Reply::Offer(offer) => {
                let from = (offer.info_hash, offer.from_peer_id);
                self.model.offered(number, offer.offer_id, from);
            }
            Reply::Answer(answer) => self.model.answered(number, answer.offer_id),
            _ if client.is_odd => assert!(text.contains("failure reason"), "{text}"),
            reply => {
                let expected = client.expected.pop_front().expect("a question");
                assert!(!is_blocked);
                expected.check(&reply);
            }
        }
    }

    fn check_counts(&self) {
        let mut peers = 0;
        let mut seeders = 0;
        for (_, totals) in self.state.shared.swarms.totals() {
            peers += totals.peers;
            seeders += totals.seeders;
        }
        let counts = self.model.counts();
        let sum = |of: &dyn Fn(&model::Counts) -> u32| counts.iter().map(of).sum::<u32>() as usize;
        assert_eq!(seeders, sum(&|it| it.seeders));
        assert_eq!(peers, sum(&|it| it.seeders + it.leechers));
    }

    /// All clients read their input, and close.
    fn end(&mut self) {
        for number in 0..self.clients.len() {
            self.clients[number].wire.is_blocked = false;
            self.drive(number);
        }
        self.settle();
        for client in &self.clients {
            assert!(client.is_odd || client.expected.is_empty());
        }
        self.model.check_answers();
        for number in 0..self.clients.len() {
            self.clients[number].is_odd = true;
            self.clients[number].wire.has_ended = true;
            self.drive(number);
        }
        self.settle();
        for number in 0..self.clients.len() {
            self.drive(number);
        }
        self.check_counts();
        assert!(self.workers.iter().all(|worker| worker.is_empty()));
    }
}

/// A network that delivers what was sent, and accepts everything or nothing.
#[derive(Default)]
struct Wire {
    arriving: VecDeque<u8>,
    has_ended: bool,
    left: Vec<u8>,
    is_blocked: bool,
}

impl Transport for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.arriving.is_empty() {
            return if self.has_ended {
                Ok(0)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
        }
        let length = into.len().min(self.arriving.len());
        for (byte, to) in self.arriving.drain(..length).zip(into) {
            *to = byte;
        }
        Ok(length)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if self.is_blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.left.extend_from_slice(from);
        Ok(from.len())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
