//! Linked daemons under load, and with hostile processes at their sockets.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::tracker::Tracker;
use aquatic_test_harness::{Signal, eventually};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::client::{Connection, Url, leecher, seeder};
use crate::pair::{Pair, Site, await_counts, await_linked};

/// How many announces are sent before their replies are awaited.
const WINDOW: usize = 64;

/// Announces one peer of each torrent, and counts those that were answered.
pub(crate) fn announce_torrents(
    tracker: SocketAddr,
    torrents: Range<u32>,
    is_over: &AtomicBool,
) -> u32 {
    let connection = Connection::new(tracker);
    let socket: &UdpSocket = &connection.socket;
    let patience = Some(Duration::from_secs(2));
    socket.set_read_timeout(patience).expect("a timeout");
    let mut answered = 0;
    let torrents: Vec<u32> = torrents.collect();
    for group in torrents.chunks(WINDOW) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        for torrent in group {
            // The tracker may be gone.
            let _ = socket.send(&announce(&connection, *torrent, 1001));
        }
        for _ in group {
            match socket.recv(&mut [0; 64]) {
                Ok(_) => answered += 1,
                Err(_) => break,
            }
        }
    }
    answered
}

/// The announce of a leecher for the torrent with this number.
pub(crate) fn announce(connection: &Connection, torrent: u32, port: u16) -> Vec<u8> {
    let mut request = connection.header(1);
    request.extend(torrent.to_be_bytes());
    request.extend([0; 16]);
    request.extend([b'p'; 20]);
    for count in [0, 1_000, 0_u64] {
        request.extend(count.to_be_bytes());
    }
    for word in [2, 0, 0, 0_u32] {
        request.extend(word.to_be_bytes());
    }
    request.extend(port.to_be_bytes());
    request
}

/// Announces again and again until `is_over`; returns the times, in ascending order.
pub(crate) fn round_trips(url: Url, is_over: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        url.announce(leecher('z', 1001));
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times
}

pub(crate) fn torrents(tracker: &Tracker) -> f64 {
    tracker.metric("torrents", &[])
}

#[test]
fn requests_are_answered_while_everything_is_transferred() {
    let count = 100_000;
    let site = Site::new();
    let mut udp = site.udp().start();
    let never = AtomicBool::new(false);
    announce_torrents(udp.ipv4(), 0..count, &never);
    announce_torrents(udp.ipv6(), 0..count / 10, &never);
    let held = torrents(&udp);
    let expected = f64::from(count + count / 10);
    assert!(held > expected * 0.9, "{held} of {expected} were stored");

    let is_over = Arc::new(AtomicBool::new(false));
    let http = site.http().start();
    let [udp_times, http_times] = [Url::Udp(udp.ipv4()), Url::Http(http.ipv4())].map(|url| {
        let is_over = is_over.clone();
        thread::spawn(move || round_trips(url, &is_over))
    });
    udp.daemon.reload(Signal::SIGHUP);
    await_linked(&http);
    thread::sleep(Duration::from_millis(100));
    is_over.store(true, Ordering::Relaxed);
    for (what, times) in [("UDP", udp_times), ("HTTP", http_times)] {
        let times = times.join().expect("all are answered");
        let longest = times.last().copied().unwrap_or_default();
        let middle = times[times.len() / 2];
        println!(
            "{what}: {} round trips, p50 {middle:?}, longest {longest:?}",
            times.len()
        );
        assert!(longest < Duration::from_secs(1), "{what}: {longest:?}");
    }
    eventually("all torrents are known", || {
        (torrents(&http) >= torrents(&udp)).then_some(())
    });
}

#[test]
fn one_that_stands_still_for_a_while_gets_all_after_it() {
    let pair = Pair::start();
    let [udp, http] = pair.ipv4();
    udp.announce(seeder('a', 1001));
    await_counts(http, 'a', [1, 0, 0]);
    pair.http.daemon.signal(Signal::SIGSTOP);
    // More data than is kept for a reader, however large the kernel's buffers are.
    let is_closed = Arc::new(AtomicBool::new(false));
    let load = {
        let (tracker, is_closed) = (pair.udp.ipv4(), is_closed.clone());
        thread::spawn(move || announce_torrents(tracker, 0..2_000_000, &is_closed))
    };
    pair.udp.await_metric("cluster_readers", &[], 0.0);
    is_closed.store(true, Ordering::Relaxed);
    let answered = load.join().expect("the load ends");
    println!("closed after {answered} changes");
    udp.announce(leecher('a', 1002));
    pair.http.daemon.signal(Signal::SIGCONT);
    pair.udp.await_metric("cluster_readers", &[], 1.0);
    await_counts(http, 'a', [1, 1, 0]);
    eventually("all torrents are known", || {
        (torrents(&pair.http) >= torrents(&pair.udp)).then_some(())
    });
    pair.http.await_metric("cluster_reconnects_total", &[], 1.0);
}

#[test]
fn both_end_at_once_under_load() {
    let pair = Pair::start();
    let is_over = Arc::new(AtomicBool::new(false));
    let tracker = pair.udp.ipv4();
    let load = {
        let is_over = is_over.clone();
        thread::spawn(move || announce_torrents(tracker, 0..1_000_000, &is_over))
    };
    thread::sleep(Duration::from_millis(500));
    for tracker in [pair.http, pair.udp] {
        let start = Instant::now();
        tracker.daemon.stop();
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    load.join().expect("the load ends");
    let left = fs::read_dir(pair.site.runtime().join("aquatic")).expect("the directory");
    assert_eq!(left.count(), 0);
}

fn connect(site: &Site, daemon: &str) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.connect(&SockAddr::unix(site.socket(daemon))?)?;
    Ok(socket)
}

#[test]
fn connections_of_others_cost_nothing() {
    let pair = Pair::start();
    let [udp, http] = pair.ipv4();
    let mut held = Vec::new();
    for number in 0..2_000 {
        let Ok(socket) = connect(&pair.site, "aquatic-udp") else {
            continue;
        };
        let _ = (&socket).write(b"GET / HTTP/1.1\r\n\r\n");
        // Some connections are kept, and none is read from.
        if number % 10 == 0 {
            held.push(socket);
        }
    }
    let other = UnixStream::connect(pair.site.socket("aquatic-udp"));
    assert!(other.is_err(), "sockets of another type");
    udp.announce(seeder('a', 1001));
    await_counts(http, 'a', [1, 0, 0]);
    let readers = pair.udp.metric("cluster_readers", &[]);
    assert!(readers <= 8.0, "{readers}");

    // A daemon that connects later is accepted when they are gone.
    let Pair {
        udp: udp_tracker,
        http: http_tracker,
        site,
    } = pair;
    let http_tracker = http_tracker.restart();
    udp.announce(leecher('b', 1002));
    drop(held);
    await_linked(&http_tracker);
    await_counts(http, 'b', [0, 1, 0]);
    drop((udp_tracker, site));
}

#[test]
fn nothing_that_another_process_sends_ends_a_daemon() {
    let site = Site::new();
    fs::create_dir(site.runtime().join("aquatic")).expect("a directory");
    let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).expect("a socket");
    let address = SockAddr::unix(site.socket("aquatic-udp")).expect("a short path");
    listener.bind(&address).expect("bound");
    listener.listen(8).expect("listens");
    let http = site.http().start();

    let hello = [b"aquatic\0\x01", &b"nodename"[..], &[0, 60], b"aquatic-udp"].concat();
    let mut torrent = b"S\x04".to_vec();
    torrent.extend([b'x'; 20]);
    let counts = |counts: [u32; 3]| {
        let counts = counts.map(u32::to_le_bytes);
        [&torrent[..], counts.as_flattened()].concat()
    };
    let packets: [Vec<Vec<u8>>; 8] = [
        vec![b"nonsense".to_vec()],
        vec![b"aquatic\0\x02".to_vec()],
        vec![hello.clone(), b"X".to_vec()],
        vec![hello.clone(), b"S\x05".to_vec()],
        vec![hello.clone(), counts([0, u32::MAX, u32::MAX])],
        vec![hello.clone(), counts([u32::MAX, 0, 1])],
        vec![hello.clone(), b"E".to_vec(), b"E".to_vec()],
        vec![hello.clone(), [&b"B"[..], &[0xff; 90]].concat()],
    ];
    for packets in &packets {
        let (socket, _) = listener.accept().expect("it comes again");
        for packet in packets {
            // The daemon may have closed the connection already.
            let _ = (&socket).write(packet);
        }
        // The daemon closes the connection.
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        let _ = std::io::Read::read(&mut (&socket), &mut [0; 8]);
    }
    http.await_metric("cluster_rejected_total", &[], packets.len() as f64);
    let url = Url::Http(http.ipv4());
    url.announce(seeder('a', 1001));
    await_counts(url, 'a', [1, 0, 0]);
    let log = http.daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    http.daemon.stop();
}
