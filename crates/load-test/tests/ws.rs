//! Whole load tests against a minimal tracker.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod streams;

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_load_test::ws::{
    Config, Popularity, PopulationConfig, Report, RequestsConfig, Settings, TransportConfig, run,
};
use aquatic_service::config::numbers::{Bytes, Count, Milliseconds, Seconds, ZeroOr};
use aquatic_service::config::{Config as _, parse};
use aquatic_ws_protocol::{
    Action, AnnounceReply, CloseCode, Event, Failure, Framing, HeaderBuffer, MaxItems,
    MessageReader, Reading, Received, Rejected, RelayedAnswer, RelayedOffer, Request, Resource,
    ScrapeReply, Sender as Side, SizeLimits, Status, write_close, write_page, write_ping,
    write_text, write_upgrade,
};
use rustls::ServerConfig;

use streams::{Listener, Stream, assert_clean, authority, over, tls_config};

/// What the tracker has seen.
#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    pongs: usize,
    /// Peers of announces without offers.
    peers: HashSet<(PeerId, InfoHash)>,
    announces: usize,
    answers: usize,
}

#[derive(Default)]
struct Swarm {
    seen: Seen,
    /// For each torrent, its peers and their connections.
    peers: HashMap<InfoHash, HashMap<PeerId, Sender<Vec<u8>>>>,
}

/// How the tracker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Serve,
    /// Sends frames byte by byte, with pings in between.
    InPieces,
    /// Refuses announces.
    Refuse,
    /// Answers the handshake with a page.
    Page,
    /// Answers announces with a text that is not a message.
    Garble,
    /// Closes after every third reply.
    CloseOften,
    /// Never answers announces.
    Silent,
    /// Replies to answers as to announces, ignores a peer that another connection has
    /// announced, and notices late that a connection has ended.
    Other,
}

/// Serves each connection on a thread of its own, until the tracker is dropped.
struct Tracker {
    listener: Listener,
    swarm: Arc<Mutex<Swarm>>,
}

impl Tracker {
    fn start(address: &str, manner: Manner) -> Self {
        Self::start_with(address, manner, None)
    }

    fn start_tls(address: &str) -> Self {
        Self::start_with(address, Manner::Serve, Some(tls_config()))
    }

    fn start_with(address: &str, manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        let swarm = Arc::new(Mutex::new(Swarm::default()));
        let shared = Arc::clone(&swarm);
        let listener = Listener::start(address, move |stream| {
            stream.set_nodelay(true).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_millis(1)))
                .unwrap();
            shared.lock().unwrap().seen.connections += 1;
            let stream = over(stream, tls.as_ref());
            Connection::new(stream, manner, Arc::clone(&shared)).serve()
        });
        Self { listener, swarm }
    }
}

struct Connection {
    stream: Box<dyn Stream>,
    manner: Manner,
    swarm: Arc<Mutex<Swarm>>,
    inbox: Receiver<Vec<u8>>,
    sender: Sender<Vec<u8>>,
    received: Vec<u8>,
    reader: MessageReader,
    replies: usize,
    announced: HashSet<(PeerId, InfoHash)>,
}

impl Connection {
    fn new(stream: Box<dyn Stream>, manner: Manner, swarm: Arc<Mutex<Swarm>>) -> Self {
        let (sender, inbox) = channel();
        Self {
            stream,
            manner,
            swarm,
            inbox,
            sender,
            received: Vec::new(),
            reader: MessageReader::new(),
            replies: 0,
            announced: HashSet::new(),
        }
    }

    fn serve(mut self) -> io::Result<()> {
        let result = self.converse();
        if self.manner == Manner::Other {
            std::thread::sleep(Duration::from_millis(300));
        }
        let mut swarm = self.swarm.lock().unwrap();
        for (peer, torrent) in &self.announced {
            swarm.peers.get_mut(torrent).unwrap().remove(peer);
        }
        result
    }

    fn converse(&mut self) -> io::Result<()> {
        let length = loop {
            self.read()?;
            let mut headers = HeaderBuffer::new();
            match Reading::of(&self.received, &mut headers) {
                Reading::Incomplete => {}
                Reading::Complete { head, length } => {
                    let Resource::Upgrade(upgrade) = Resource::of(&head) else {
                        panic!("{head:?}");
                    };
                    let mut out = Vec::new();
                    if self.manner == Manner::Page {
                        write_page(&mut out, Framing::CLOSING, Status::NotFound, "no");
                    } else {
                        write_upgrade(&mut out, upgrade.accept);
                    }
                    self.stream.write_all(&out)?;
                    self.stream.flush()?;
                    break length;
                }
                Reading::Fault(fault) => panic!("{fault}"),
            }
        };
        self.received.drain(..length);
        loop {
            self.read()?;
            while let Some(text) = self.message()? {
                self.take(&text)?;
            }
            while let Ok(frame) = self.inbox.try_recv() {
                self.send(&frame)?;
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn message(&mut self) -> io::Result<Option<String>> {
        loop {
            let received = self
                .reader
                .read(
                    &mut self.received,
                    Side::Client,
                    SizeLimits::of_message(1 << 20),
                )
                .unwrap();
            let Received::Frame { event, length } = received else {
                return Ok(None);
            };
            let text = match event {
                Event::Text(text) => Some(text.into_owned()),
                Event::Pong(payload) => {
                    assert_eq!(payload, b"there?");
                    self.swarm.lock().unwrap().seen.pongs += 1;
                    None
                }
                Event::Close(_) => return Err(ErrorKind::UnexpectedEof.into()),
                other => panic!("{other:?}"),
            };
            self.received.drain(..length);
            if text.is_some() {
                return Ok(text);
            }
        }
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.manner == Manner::InPieces {
            let mut ping = Vec::new();
            write_ping(&mut ping, b"there?");
            self.stream.write_all(&ping)?;
            for byte in frame {
                self.stream.write_all(&[*byte])?;
                self.stream.flush()?;
            }
        } else {
            self.stream.write_all(frame)?;
        }
        self.stream.flush()
    }

    fn take(&mut self, text: &str) -> io::Result<()> {
        let limits = MaxItems {
            offers: 100,
            scrape_torrents: 100,
        };
        let request = Request::parse(text, limits).unwrap();
        let mut frame = Vec::new();
        match (&request, self.manner) {
            (Request::Announce(_), Manner::Silent) => return Ok(()),
            (Request::Announce(announce), Manner::Refuse) => {
                let failure = Failure {
                    rejected: Rejected::Torrent(Action::Announce, announce.info_hash),
                    reason: "not today",
                };
                write_text(&mut frame, |out| failure.write(out));
            }
            (Request::Announce(_), Manner::Garble) => {
                write_text(&mut frame, |out| out.extend_from_slice(b"{\"interval\":1}"));
            }
            (Request::Announce(announce), manner) => {
                if manner == Manner::Other && self.is_of_another(announce) {
                    return Ok(());
                }
                write_text(&mut frame, |out| reply(announce.info_hash).write(out));
                self.relay_offers(announce);
            }
            (Request::Answer(answer), _) => {
                let mut swarm = self.swarm.lock().unwrap();
                swarm.seen.answers += 1;
                let relayed = RelayedAnswer {
                    info_hash: answer.info_hash,
                    from_peer_id: answer.peer_id,
                    offer_id: answer.offer_id,
                    description: answer.description,
                };
                write_text(&mut frame, |out| relayed.write(out));
                if let Some(peer) = swarm.peers[&answer.info_hash].get(&answer.to_peer_id) {
                    peer.send(frame).ok();
                }
                drop(swarm);
                if self.manner != Manner::Other {
                    return Ok(());
                }
                frame = Vec::new();
                write_text(&mut frame, |out| reply(answer.info_hash).write(out));
            }
            (Request::Scrape(scrape), _) => write_text(&mut frame, |out| {
                let mut reply = ScrapeReply::begin(out);
                let unique: HashSet<_> = scrape.info_hashes.iter().collect();
                for info_hash in unique {
                    reply.append(info_hash, 0, 0, 0);
                }
                reply.finish();
            }),
        }
        self.send(&frame)?;
        self.replies += 1;
        if self.manner == Manner::CloseOften && self.replies == 3 {
            let mut frame = Vec::new();
            write_close(&mut frame, CloseCode::GOING_AWAY, "");
            self.stream.write_all(&frame)?;
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Whether another connection has announced the peer.
    fn is_of_another(&self, announce: &aquatic_ws_protocol::Announce<'_>) -> bool {
        let swarm = self.swarm.lock().unwrap();
        let peers = swarm.peers.get(&announce.info_hash);
        let is_there = peers.is_some_and(|peers| peers.contains_key(&announce.peer_id));
        let key = (announce.peer_id, announce.info_hash);
        is_there && !self.announced.contains(&key)
    }

    fn relay_offers(&mut self, announce: &aquatic_ws_protocol::Announce<'_>) {
        let mut swarm = self.swarm.lock().unwrap();
        swarm.seen.announces += 1;
        let key = (announce.peer_id, announce.info_hash);
        if announce.offers.is_empty() {
            swarm.seen.peers.insert(key);
        }
        let peers = swarm.peers.entry(announce.info_hash).or_default();
        if announce.event == AnnounceEvent::Stopped {
            peers.remove(&announce.peer_id);
            return;
        }
        peers.insert(announce.peer_id, self.sender.clone());
        self.announced.insert(key);
        let others = peers.iter().filter(|(id, _)| **id != announce.peer_id);
        for (offer, (_, peer)) in announce.offers.iter().zip(others) {
            let relayed = RelayedOffer {
                info_hash: announce.info_hash,
                from_peer_id: announce.peer_id,
                offer_id: offer.id,
                description: offer.description,
            };
            let mut frame = Vec::new();
            write_text(&mut frame, |out| relayed.write(out));
            peer.send(frame).ok();
        }
    }
}

fn reply(info_hash: InfoHash) -> AnnounceReply {
    AnnounceReply {
        info_hash,
        seeders: 1,
        leechers: 1,
        interval_seconds: 120,
    }
}

fn config(tracker: &Tracker) -> Config {
    Config {
        server_address: tracker.listener.address.to_string(),
        server_pid: Count::nearest(std::process::id()).into(),
        duration_seconds: Seconds::of::<1>(),
        warm_up_seconds: Seconds::of::<0>(),
        progress: false,
        network: tracker.listener.network(),
        transport: TransportConfig {
            connections: Count::of::<8>(),
            ..TransportConfig::default()
        },
        population: PopulationConfig {
            torrents: Count::of::<20>(),
            peers: Count::of::<80>(),
            ..PopulationConfig::default()
        },
        requests: RequestsConfig {
            offers: Count::of::<2>(),
            ..RequestsConfig::default()
        },
        ..Config::default()
    }
}

fn test(config: &Config) -> anyhow::Result<Report> {
    run(&Settings::new(config).unwrap())
}

#[test]
fn fills_announces_offers_and_answers() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let mut config = config(&tracker);
    config.workers = Count::of::<2>();
    config.fill = true;
    config.requests.scrape_weight = 20;
    // Slow enough for a busy machine: few messages are still in flight when measuring
    // ends.
    config.network.requests_per_second = ZeroOr::of::<200>();
    config.duration_seconds = Seconds::of::<2>();
    let report = test(&config).unwrap();

    assert_clean(&report);
    assert!(report.scrape.replies > 0, "{report}");
    assert!(report.server.unwrap().cpu_microseconds_per_reply > 0.0);
    assert_eq!(report.fill.unwrap().peers, 80);
    assert_eq!(report.connections.as_ref().unwrap().closed, 0);

    // Every torrent has four peers, so both offers find one.
    let (offer, answer) = (report.offer.unwrap(), report.answer.unwrap());
    assert_eq!(offer.sent, 2 * report.announce.sent);
    // Some messages may still be in flight when measuring ends.
    let nearly_all = |part, whole| assert!(part * 10 >= whole * 8, "{report}");
    nearly_all(offer.replies, offer.sent);
    nearly_all(answer.sent, offer.replies);
    nearly_all(answer.replies, answer.sent);
    assert!(answer.latency.p50_microseconds >= offer.latency.p50_microseconds);
    assert!(offer.latency.p50_microseconds > 1.0, "{report}");
    // Latency is measured from the sending of the offer, not from another time.
    assert!(answer.latency.max_microseconds < 10e6, "{report}");
    let sum = report.announce.replies + report.scrape.replies + offer.replies + answer.replies;
    assert_eq!(report.all.replies, sum);

    let swarm = tracker.swarm.lock().unwrap();
    assert_eq!(swarm.seen.peers.len(), 80);
    assert_eq!(swarm.seen.connections, 8);
}

#[test]
fn idle_connections_announce_all_of_theirs_and_are_silent() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let mut config = config(&tracker);
    config.transport.idle_connections = Count::of::<32>();
    config.population.peers = Count::of::<400>();
    config.population.torrents = Count::of::<100>();
    config.requests.offers = Count::of::<0>();
    let report = test(&config).unwrap();
    assert_clean(&report);
    assert_eq!(report.offer.unwrap().replies, 0);
    let swarm = tracker.swarm.lock().unwrap();
    assert_eq!(swarm.seen.connections, 40);
    let mut torrents = HashMap::<_, usize>::new();
    for (peer, _) in &swarm.seen.peers {
        *torrents.entry(peer).or_default() += 1;
    }
    // Idle connections announce ten torrents each; the others choose theirs at random.
    let full = torrents.values().filter(|&&count| count == 10).count();
    assert!(full >= 32, "{full}");
}

#[test]
fn over_tls() {
    let tracker = Tracker::start_tls("127.0.0.1:0");
    let mut config = config(&tracker);
    let file = authority();
    config.transport.tls.enable = true;
    config.transport.tls.ca_certificate_path = file.path().to_str().unwrap().to_owned();
    let report = test(&config).unwrap();
    assert_clean(&report);
    assert!(report.answer.unwrap().replies > 20, "{report}");
    let swarm = tracker.swarm.lock().unwrap();
    assert_eq!(swarm.seen.connections, 8);
}

#[test]
fn ipv6_in_pieces_and_pinged() {
    let tracker = Tracker::start("[::1]:0", Manner::InPieces);
    let mut config = config(&tracker);
    // Each message takes many packets.
    config.network.requests_per_second = ZeroOr::of::<50>();
    config.requests.description_bytes = Bytes::of::<64>();
    let report = test(&config).unwrap();
    assert_clean(&report);
    assert!(tracker.swarm.lock().unwrap().seen.pongs > 20);
}

#[test]
fn few_torrents_have_most_peers() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let mut config = config(&tracker);
    config.fill = true;
    config.population.popularity = Popularity::Zipf;
    config.population.zipf_exponent = 2.0;
    config.requests.answers = false;
    let report = test(&config).unwrap();
    assert_clean(&report);
    assert_eq!(report.answer.unwrap().sent, 0);
    let swarm = tracker.swarm.lock().unwrap();
    let mut sizes = HashMap::<_, usize>::new();
    for (_, torrent) in &swarm.seen.peers {
        *sizes.entry(torrent).or_default() += 1;
    }
    // All peers of a connection on the same torrent count as one.
    assert_eq!(sizes.values().max(), Some(&8));
}

#[test]
fn connections_are_opened_and_closed() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let mut config = config(&tracker);
    config.requests.announces_per_connection = ZeroOr::of::<2>();
    config.requests.offers = Count::of::<0>();
    config.requests.scrape_weight = 0;
    let report = test(&config).unwrap();
    assert_clean(&report);
    assert!(report.connect.replies > 20, "{report}");
    let per_connection = report.announce.replies as f64 / report.connect.replies as f64;
    assert!((1.5..2.5).contains(&per_connection), "{report}");
    assert_eq!(report.connections.unwrap().closed, 0);
}

#[test]
fn replies_to_answers_are_no_faults() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Other);
    let mut config = config(&tracker);
    config.fill = true;
    config.requests.scrape_weight = 50;
    let report = test(&config).unwrap();
    assert_clean(&report);
    assert!(report.answer.unwrap().replies > 20, "{report}");
    assert!(report.scrape.replies > 20, "{report}");
}

#[test]
fn peers_that_announce_again_are_not_waited_for() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Other);
    let mut config = config(&tracker);
    config.fill = true;
    config.requests.announces_per_connection = ZeroOr::of::<2>();
    let started = std::time::Instant::now();
    let report = test(&config).unwrap();
    assert_clean(&report);
    assert_eq!(report.fill.unwrap().lost, 0);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn refusals_are_counted_apart() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Refuse);
    let report = test(&config(&tracker)).unwrap();
    assert!(report.errors > 20, "{report}");
    assert_eq!(report.announce.replies, 0);
    assert_eq!(report.first_error.as_deref(), Some("not today"));
}

#[test]
fn what_is_no_reply_is_counted() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Garble);
    let report = test(&config(&tracker)).unwrap();
    assert!(report.unexpected > 20, "{report}");
    assert_eq!(report.announce.replies, 0);
}

#[test]
fn connections_that_the_server_closes_are_opened_again() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::CloseOften);
    let mut config = config(&tracker);
    config.requests.offers = Count::of::<0>();
    let report = test(&config).unwrap();
    assert_eq!(report.errors + report.unexpected, 0, "{report}");
    assert!(report.announce.replies > 20, "{report}");
    assert!(report.connections.unwrap().closed > 10);
}

#[test]
fn what_is_never_answered_is_lost() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Silent);
    let mut config = config(&tracker);
    config.network.timeout_milliseconds = Milliseconds::of::<50>();
    config.requests.scrape_weight = 0;
    let report = test(&config).unwrap();
    assert!(report.lost >= 8, "{report}");
    assert_eq!(report.announce.replies, 0);
}

#[test]
fn a_server_without_websocket_is_reported() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Page);
    let mut config = config(&tracker);
    config.network.timeout_milliseconds = Milliseconds::of::<50>();
    let error = test(&config).unwrap_err().to_string();
    assert!(error.contains("HTTP status 404"), "{error}");
}

#[test]
fn the_default_file_is_the_default() {
    let loaded = parse::<Config>(Config::DEFAULT_TOML, "default".as_ref()).unwrap();
    assert_eq!(loaded.config, Config::default());
}
