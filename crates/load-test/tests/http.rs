//! Whole load tests against a minimal tracker.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod streams;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_load_test::http::{
    ClientStyle, Config, PopulationConfig, Report, Settings, TlsConfig, TransportConfig, run,
};
use aquatic_service::config::numbers::{Count, Milliseconds, Seconds, ZeroOr};
use aquatic_service::config::{Config as _, parse};
use rustls::ServerConfig;

use streams::{Listener, Stream, authority, over, tls_config};

/// What the tracker has seen.
#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    peers: HashSet<(IpAddr, String)>,
    info_hashes: HashSet<String>,
    user_agents: HashSet<String>,
}

/// How the tracker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Serve,
    /// Sends replies byte by byte.
    InPieces,
    /// Refuses announces.
    Refuse,
    /// Answers with an HTTP error status.
    Status,
    /// Answers with bytes that are not bencode.
    Garble,
    /// Closes after every third reply, although the client wants to go on.
    CloseOften,
    /// Never answers announces.
    Silent,
}

/// Serves each connection on a thread of its own, until the tracker is dropped.
struct Tracker {
    listener: Listener,
    seen: Arc<Mutex<Seen>>,
}

impl Tracker {
    fn start(address: &str, manner: Manner) -> Self {
        Self::start_with(address, manner, None)
    }

    fn start_tls(address: &str) -> Self {
        Self::start_with(address, Manner::Serve, Some(tls_config()))
    }

    fn start_with(address: &str, manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noting = Arc::clone(&seen);
        let listener = Listener::start(address, move |stream| {
            let source = stream.peer_addr().unwrap().ip();
            noting.lock().unwrap().connections += 1;
            serve(over(stream, tls.as_ref()), source, manner, &noting)
        });
        Self { listener, seen }
    }
}

fn serve(
    mut stream: Box<dyn Stream>,
    source: IpAddr,
    manner: Manner,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    let mut request = Vec::new();
    let mut served = 0;
    loop {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..length]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
        let mut reply = answer(&text, source, manner, seen);
        served += 1;
        let close = text.contains("Connection: close");
        if manner == Manner::CloseOften && served == 3 {
            reply = reply.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        }
        if manner == Manner::Silent && text.starts_with("GET /announce") {
            continue;
        }
        let pieces = if manner == Manner::InPieces { 1 } else { 1000 };
        for piece in reply.as_bytes().chunks(pieces) {
            stream.write_all(piece)?;
            stream.flush()?;
        }
        if close || reply.contains("Connection: close") {
            return Ok(());
        }
    }
}

fn answer(request: &str, source: IpAddr, manner: Manner, seen: &Mutex<Seen>) -> String {
    let line = request.lines().next().unwrap();
    assert!(line.ends_with(" HTTP/1.1"), "{line}");
    assert!(request.contains("\r\nHost: "), "{request}");
    let (path, query) = line
        .strip_prefix("GET ")
        .and_then(|line| line.split(' ').next()?.split_once('?'))
        .unwrap();
    let values = |name: &str| -> Vec<String> {
        (query.split('&').filter_map(|pair| pair.split_once('=')))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
            .collect()
    };
    let body = match path {
        "/announce" => {
            let mut seen = seen.lock().unwrap();
            seen.peers.insert((source, values("port")[0].clone()));
            let hash = values("info_hash")[0].to_ascii_lowercase();
            seen.info_hashes.insert(hash);
            let agent = request.lines().find(|line| line.starts_with("User-Agent"));
            seen.user_agents.insert(agent.unwrap().to_owned());
            match manner {
                Manner::Refuse => "d14:failure reason9:not todaye".to_owned(),
                Manner::Garble => "d8:intervali900e".to_owned(),
                _ => "d8:intervali900e5:peers12:aaaaaabbbbbbe".to_owned(),
            }
        }
        "/scrape" => {
            assert!((1..=5).contains(&values("info_hash").len()));
            "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei0eeee".to_owned()
        }
        path => panic!("{path}"),
    };
    let status = if manner == Manner::Status && path == "/announce" {
        "404 Not Found"
    } else {
        "200 OK"
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
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
            torrents: Count::of::<100>(),
            peers: Count::of::<400>(),
            ..PopulationConfig::default()
        },
        ..Config::default()
    }
}

fn test(config: &Config) -> anyhow::Result<Report> {
    run(&Settings::new(config).unwrap())
}

/// Asserts that all requests were served, with the expected number of peers.
fn assert_clean(report: &Report) {
    streams::assert_clean(report);
    assert_eq!(report.peers_per_announce, 2.0, "{report}");
}

#[test]
fn fills_and_measures_over_kept_connections() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let mut config = config(&tracker);
    config.workers = Count::of::<2>();
    config.fill = true;
    config.transport.idle_connections = Count::of::<5>();
    config.requests.scrape_weight = 100;
    let report = test(&config).unwrap();

    assert_clean(&report);
    assert!(report.scrape.replies > 20, "{report}");
    assert!(report.all.latency.p50_microseconds > 0.0);
    assert!(report.server.unwrap().cpu_microseconds_per_reply > 0.0);
    assert_eq!(report.fill.unwrap().peers, 400);
    assert_eq!(report.connections.unwrap().closed, 0);
    let seen = tracker.seen.lock().unwrap();
    assert_eq!(seen.peers.len(), 400);
    assert_eq!(seen.info_hashes.len(), 100);
    assert_eq!(seen.connections, 13);
}

#[test]
fn a_connection_a_request() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let mut config = config(&tracker);
    config.requests.keep_alive = false;
    let report = test(&config).unwrap();

    assert_clean(&report);
    // Connections that were opened before measuring are not counted.
    assert!(report.connect.sent + 8 >= report.all.sent, "{report}");
    assert!(report.connect.latency.p50_microseconds > 0.0);
    assert!(report.all.latency.p50_microseconds >= report.connect.latency.p50_microseconds);
}

#[test]
fn ipv6_and_every_style() {
    let tracker = Tracker::start("[::1]:0", Manner::InPieces);
    let mut config = config(&tracker);
    config.requests.client_style = ClientStyle::Mixed;
    // Each reply takes many packets.
    config.network.requests_per_second = ZeroOr::of::<500>();
    let report = test(&config).unwrap();
    let faults = report.lost + report.errors + report.unexpected;
    assert_eq!(faults, 0, "{report}");
    // The number of peers is not checked: two peers of 18 bytes would count as six of 6
    // bytes.
    assert!(report.announce.replies > 20, "{report}");
    let seen = tracker.seen.lock().unwrap();
    assert_eq!(seen.user_agents.len(), 5, "{:?}", seen.user_agents);
}

#[test]
fn full_and_resumed_handshakes() {
    let tracker = Tracker::start_tls("127.0.0.1:0");
    let file = authority();
    let mut config = config(&tracker);
    config.requests.keep_alive = false;
    config.transport.tls = TlsConfig {
        enable: true,
        server_name: "localhost".to_owned(),
        ca_certificate_path: file.path().to_str().unwrap().to_owned(),
        resumption: false,
    };
    let full = test(&config).unwrap();
    assert_clean(&full);
    let connections = full.connections.unwrap();
    assert!(connections.full_handshakes > 20);
    assert_eq!(connections.resumed_handshakes, 0);

    config.transport.tls.resumption = true;
    let resumed = test(&config).unwrap();
    assert_clean(&resumed);
    let connections = resumed.connections.unwrap();
    assert!(connections.resumed_handshakes > 20, "{connections}");
    assert_eq!(connections.full_handshakes, 0, "{connections}");
}

#[test]
fn a_certificate_of_another_name_is_refused() {
    let tracker = Tracker::start_tls("127.0.0.1:0");
    let file = authority();
    let mut config = config(&tracker);
    config.transport.tls.enable = true;
    config.transport.tls.server_name = "other.test".to_owned();
    // Without an authority, the certificate is not verified.
    assert_clean(&test(&config).unwrap());

    config.network.timeout_milliseconds = Milliseconds::of::<100>();
    config.transport.tls.ca_certificate_path = file.path().to_str().unwrap().to_owned();
    let error = test(&config).unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
}

#[test]
fn refusals_are_counted_apart() {
    for (manner, message) in [
        (Manner::Refuse, "not today"),
        (Manner::Status, "HTTP status 404"),
    ] {
        let tracker = Tracker::start("127.0.0.1:0", manner);
        let report = test(&config(&tracker)).unwrap();
        assert!(report.errors > 20, "{report}");
        assert_eq!(report.announce.replies, 0);
        assert_eq!(report.first_error.as_deref(), Some(message));
    }
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
    let report = test(&config(&tracker)).unwrap();
    assert_clean(&report);
    let connections = report.connections.unwrap();
    assert!(connections.closed > 10, "{connections}");
}

#[test]
fn what_is_never_answered_is_lost() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Silent);
    let mut config = config(&tracker);
    config.network.timeout_milliseconds = Milliseconds::of::<50>();
    let report = test(&config).unwrap();
    assert!(report.lost >= 8, "{report}");
    assert_eq!(report.announce.replies, 0);
}

#[test]
fn keeps_to_the_rate_that_was_asked_for() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let mut config = config(&tracker);
    config.workers = Count::of::<2>();
    config.network.requests_per_second = ZeroOr::of::<500>();
    let report = test(&config).unwrap();
    assert!((300..=550).contains(&report.all.replies), "{report}");
}

#[test]
fn a_closed_port_is_reported_at_once() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let mut config = config(&tracker);
    // The socket is bound but not listening, so that no other process listens there.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    config.server_address = address.to_string();
    let started = Instant::now();
    let error = format!("{:#}", test(&config).unwrap_err());
    let expected = format!("the tracker at {address} refuses connections; is it running?");
    assert_eq!(error, expected);
    // If nothing answered, the load test would wait for longer.
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[test]
fn the_default_file_is_the_default() {
    let loaded = parse::<Config>(Config::DEFAULT_TOML, "default".as_ref()).unwrap();
    assert_eq!(loaded.config, Config::default());
}

/// The trackers of these tests stop listening when they are dropped.
#[test]
fn no_thread_waits_for_ever() {
    let tracker = Tracker::start("127.0.0.1:0", Manner::Serve);
    let address = tracker.listener.address;
    drop(tracker);
    thread::sleep(Duration::from_millis(100));
    assert!(TcpStream::connect(address).is_err());
}
