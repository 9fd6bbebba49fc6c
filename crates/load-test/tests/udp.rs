//! Whole load tests against a minimal tracker.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aquatic_load_test::udp::{
    Config, NetworkConfig, PopulationConfig, Report, Settings, TransportConfig, run,
};
use aquatic_service::config::numbers::{Count, Milliseconds, Seconds, ZeroOr};
use aquatic_service::config::{Config as _, parse};
use aquatic_test_harness::terminal::Terminal;
use aquatic_test_harness::{Port, Process, eventually};
use aquatic_udp_protocol::{
    AnnounceWriter, ConnectionId, MIN_ANNOUNCE_LENGTH, Request, ScrapeWriter, TorrentStatistics,
    write_connect, write_error,
};

/// Peers and torrents as the tracker has seen them.
#[derive(Debug, Default)]
struct Seen {
    peers: HashSet<(SocketAddr, u16)>,
    torrents: HashSet<[u8; 20]>,
    first_announces: usize,
}

/// Answers on a socket of its own, until it is dropped.
struct Tracker {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

impl Tracker {
    /// If `drop_every` is set, one in that many announces gets no reply. With `refuse`,
    /// every announce gets an error.
    fn start(address: &str, drop_every: Option<usize>, refuse: bool) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut announces = 0;
            let mut datagram = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, source)) = socket.recv_from(&mut datagram) else {
                    continue;
                };
                let request = Request::parse(&datagram[..length]).unwrap();
                if let Request::Announce(_) = request {
                    announces += 1;
                    if drop_every.is_some_and(|every| announces % every == 0) {
                        continue;
                    }
                }
                let mut reply = [0; 2048];
                let length = answer(&request, source, refuse, &mut seen, &mut reply);
                socket.send_to(&reply[..length], source).unwrap();
            }
            seen
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Each source address has a connection id of its own.
fn connection_id(source: SocketAddr) -> ConnectionId {
    let number = u64::from(source.port()) << 32 | 0xabcd;
    ConnectionId(number.to_be_bytes())
}

fn answer(
    request: &Request<'_>,
    source: SocketAddr,
    refuse: bool,
    seen: &mut Seen,
    reply: &mut [u8],
) -> usize {
    match request {
        Request::Connect(connect) => {
            write_connect(reply, connect.transaction_id, connection_id(source)).unwrap()
        }
        Request::Announce(announce) => {
            assert_eq!(announce.connection_id, connection_id(source));
            if refuse {
                return write_error(reply, announce.transaction_id, "not today").unwrap();
            }
            seen.peers.insert((source, announce.port));
            seen.torrents.insert(announce.info_hash.0);
            if announce.event == aquatic_bittorrent::AnnounceEvent::Started {
                seen.first_announces += 1;
            }
            let mut writer = AnnounceWriter::new(reply).unwrap();
            let peer_length = if source.is_ipv4() { 6 } else { 18 };
            writer.append_peers(&vec![1; 2 * peer_length]).unwrap();
            writer.finish(announce.transaction_id, 900, 1, 1)
        }
        Request::Scrape(scrape) => {
            assert_eq!(scrape.connection_id, connection_id(source));
            let mut writer = ScrapeWriter::new(reply, scrape.transaction_id).unwrap();
            for _ in scrape.info_hashes() {
                writer.append(TorrentStatistics::default()).unwrap();
            }
            writer.finish()
        }
    }
}

fn config(tracker: &Tracker, sources: &str) -> Config {
    Config {
        server_address: tracker.address.to_string(),
        server_pid: Count::nearest(std::process::id()).into(),
        duration_seconds: Seconds::of::<1>(),
        warm_up_seconds: Seconds::of::<0>(),
        progress: false,
        network: NetworkConfig {
            source_addresses: vec![sources.to_owned()],
            // A busy machine may let a thread wait for long.
            timeout_milliseconds: Milliseconds::of::<1500>(),
            ..NetworkConfig::default()
        },
        transport: TransportConfig {
            outstanding_requests: Count::of::<32>(),
            ..TransportConfig::default()
        },
        population: PopulationConfig {
            torrents: Count::of::<100>(),
            peers: Count::of::<1000>(),
            ..PopulationConfig::default()
        },
        ..Config::default()
    }
}

fn test(config: &Config) -> anyhow::Result<Report> {
    run(&Settings::new(config).unwrap())
}

#[test]
fn fills_and_measures_every_kind_of_request() {
    let tracker = Tracker::start("127.0.0.1:0", None, false);
    let mut config = config(&tracker, "127.0.0.1-127.0.0.5");
    config.workers = Count::of::<2>();
    config.fill = true;
    config.requests.scrape_weight = 100;
    let report = test(&config).unwrap();
    let seen = tracker.stop();

    assert_eq!(seen.peers.len(), 1000);
    assert_eq!(seen.torrents.len(), 100);
    assert_eq!(seen.first_announces, 1000);
    assert_eq!(report.fill.unwrap().peers, 1000);

    for requests in [&report.connect, &report.announce, &report.scrape] {
        assert!(requests.replies > 100, "{report}");
        assert!(requests.latency.p50_microseconds > 0.0, "{report}");
    }
    assert_eq!(
        report.lost + report.errors + report.unexpected,
        0,
        "{report}"
    );
    assert_eq!(report.peers_per_announce, 2.0);
    assert!(report.server.unwrap().cpu_microseconds_per_reply > 0.0);
    // Scrapes have the same weight as connects and announces together.
    let share = report.scrape.replies as f64 / report.all.replies as f64;
    assert!((0.45..0.55).contains(&share), "{report}");
}

#[test]
fn ipv6() {
    let tracker = Tracker::start("[::1]:0", None, false);
    let report = test(&config(&tracker, "::1")).unwrap();
    assert!(report.announce.replies > 100, "{report}");
    assert_eq!(report.peers_per_announce, 2.0);
}

#[test]
fn what_is_lost_is_counted_and_filled_again() {
    let tracker = Tracker::start("127.0.0.1:0", Some(100), false);
    let mut config = config(&tracker, "127.0.0.1-127.0.0.2");
    config.fill = true;
    config.network.timeout_milliseconds = Milliseconds::of::<50>();
    let report = test(&config).unwrap();
    let seen = tracker.stop();

    assert_eq!(seen.peers.len(), 1000);
    assert!(report.fill.unwrap().lost > 0, "{report}");
    assert!(report.lost > 0, "{report}");
}

#[test]
fn error_replies_are_counted_apart() {
    let tracker = Tracker::start("127.0.0.1:0", None, true);
    let report = test(&config(&tracker, "127.0.0.1")).unwrap();
    assert!(report.errors > 100, "{report}");
    assert_eq!(report.announce.replies, 0);
    assert_eq!(report.first_error.as_deref(), Some("not today"));
}

#[test]
fn keeps_to_the_rate_that_was_asked_for() {
    let tracker = Tracker::start("127.0.0.1:0", None, false);
    let mut config = config(&tracker, "127.0.0.1-127.0.0.2");
    config.workers = Count::of::<2>();
    config.network.requests_per_second = ZeroOr::of::<500>();
    let report = test(&config).unwrap();
    assert!((300..=550).contains(&report.all.replies), "{report}");
}

#[test]
fn a_tracker_without_replies_is_reported() {
    // The socket is bound, so that no other process answers, and never read.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tracker = Tracker::start("127.0.0.1:0", None, false);
    let mut config = config(&tracker, "127.0.0.1");
    config.server_address = silent.local_addr().unwrap().to_string();
    let error = test(&config).unwrap_err().to_string();
    assert!(error.contains("0 of 1 source addresses"), "{error}");
}

/// Tests the minimal server with which trackers are compared.
#[test]
fn the_echo_answers_with_the_configured_number_of_bytes() {
    const ANNOUNCES: usize = 300;
    for (told, expected) in [(Some("47"), 47), (Some("20"), 20), (None, 200)] {
        let port = Port::reserve();
        let mut echo = Command::new(env!("CARGO_BIN_EXE_aquatic-udp-echo"));
        echo.arg(port.ipv4().to_string()).args(told);
        let _echo = Process::start("the echo", &mut echo);
        let ask = |client: &UdpSocket, length: usize| {
            client.send(&[0; MIN_ANNOUNCE_LENGTH][..length]).ok()?;
            client.recv(&mut [0; 2_048]).ok()
        };
        eventually("an answer to a connect request", || {
            let client = client(port.ipv4(), Duration::from_millis(100));
            ask(&client, 16).filter(|length| *length == 16)
        });
        let client = client(port.ipv4(), Duration::from_secs(20));
        let lengths = (0..ANNOUNCES).map(|_| ask(&client, MIN_ANNOUNCE_LENGTH).unwrap());
        let lengths: Vec<usize> = lengths.collect();
        // A reply is a header of 20 bytes, and peers of 6 bytes each.
        assert!(lengths.iter().all(|length| (length - 20) % 6 == 0));
        let missing = expected * ANNOUNCES - lengths.iter().sum::<usize>();
        assert!(missing < 6, "{missing} bytes less than {expected} each");
    }
}

#[test]
fn progress_is_a_bar_on_a_terminal_and_lines_elsewhere() {
    let tracker = Tracker::start("127.0.0.1:0", None, false);
    let command = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aquatic-udp-load-test"));
        command.args(["--server", &tracker.address.to_string(), "--duration", "2"]);
        command.args(more);
        command
    };
    let mut terminal = Terminal::start(&mut command(&[]));
    let shown = terminal.wait_for("1 of 2 s █");
    assert!(!shown.contains('\n'), "{shown:?}");
    let shown = terminal.wait_for(" replies/s  lost 0  errors 0");
    // Each update overwrites the line.
    assert!(shown.contains("\r"), "{shown:?}");
    drop(terminal);

    let shown = |more: &[&str]| {
        let output = command(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let lines = shown(&[]);
    assert!(lines.contains("measuring  "), "{lines:?}");
    let are_lines = |line: &str| line.contains(" replies/s  lost 0  error replies 0");
    assert!(lines.lines().all(are_lines), "{lines:?}");
    assert_eq!(shown(&["--quiet"]), "");
}

fn client(server: SocketAddr, patience: Duration) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(patience)).unwrap();
    client
}

#[test]
fn the_default_file_is_the_default() {
    let loaded = parse::<Config>(Config::DEFAULT_TOML, "default".as_ref()).unwrap();
    assert_eq!(loaded.config, Config::default());
}
