//! How many requests a source may make.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::tracker::{Tracker, UdpTracker as _};

const MAGIC: u64 = 0x417_2710_1980;
const CONNECT: u32 = 0;
const SCRAPE: u32 = 2;

/// A client at 127.0.0.`host`.
struct Source {
    socket: UdpSocket,
    tracker: SocketAddr,
}

impl Source {
    fn new(tracker: SocketAddr, host: u8) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
        let patience = Duration::from_millis(500);
        socket.set_read_timeout(Some(patience)).unwrap();
        Self { socket, tracker }
    }

    /// Sends so many requests, and returns the number of replies, and the last of them.
    fn ask(&self, id: u64, action: u32, requests: u32) -> (usize, Vec<u8>) {
        for number in 0..requests {
            let mut request = id.to_be_bytes().to_vec();
            request.extend(action.to_be_bytes());
            request.extend(number.to_be_bytes());
            request.extend([7; 20]);
            self.socket.send_to(&request, self.tracker).unwrap();
        }
        let mut buffer = [0; 100];
        let mut last = Vec::new();
        let mut count = 0;
        while let Ok(length) = self.socket.recv(&mut buffer) {
            last = buffer[..length].to_vec();
            count += 1;
        }
        (count, last)
    }

    fn connect(&self) -> u64 {
        let (count, reply) = self.ask(MAGIC, CONNECT, 1);
        assert_eq!(count, 1);
        u64::from_be_bytes(reply[8..16].try_into().unwrap())
    }

    fn scrape(&self, id: u64, requests: u32) -> usize {
        self.ask(id, SCRAPE, requests).0
    }
}

#[test]
fn a_source_that_asks_too_much_takes_nothing_from_others() {
    let limit = [
        ("rates.requests_per_second", "10"),
        ("rates.burst_seconds", "2"),
        ("rates.exempt", "[\"127.0.0.9\"]"),
    ];
    let mut tracker = Tracker::with(&limit);
    let sources = [2, 3, 9].map(|host| Source::new(tracker.ipv4(), host));
    let ids = sources.each_ref().map(Source::connect);
    let [source, other, exempt] = &sources;
    let served = source.scrape(ids[0], 60);
    // The burst, and what is due while they arrive.
    assert!((20..30).contains(&served), "{served}");
    assert_eq!(tracker.rejected("rate_limit"), (60 - served) as f64);
    assert_eq!(other.scrape(ids[1], 15), 15);
    assert_eq!(exempt.scrape(ids[2], 60), 60);

    tracker.reload_with(&[("rates.requests_per_second", "0")]);
    assert_eq!(source.scrape(ids[0], 60), 60);
}

/// Anybody can send datagrams with any source address, but not with a valid connection id.
#[test]
fn forged_requests_of_a_source_take_nothing_from_it() {
    let limit = [
        ("rates.requests_per_second", "10"),
        ("rates.burst_seconds", "2"),
    ];
    let tracker = Tracker::with(&limit);
    let source = Source::new(tracker.ipv4(), 2);
    let id = source.connect();
    for _ in 0..5 {
        assert_eq!(source.scrape(id ^ 1, 60), 0);
        assert_eq!(source.ask(MAGIC, CONNECT, 40).0, 40);
    }
    assert_eq!(source.scrape(id, 20), 20);
}

#[test]
fn a_rate_out_of_range_is_an_error() {
    let mut tracker = Tracker::start();
    tracker.reload_with(&[("rates.requests_per_second", "10001")]);
    let logged = tracker.daemon.wait_for_log("rates.requests_per_second: ");
    assert!(logged.contains("from 1 to 10000"), "{logged}");
    let source = Source::new(tracker.ipv4(), 2);
    assert_eq!(source.scrape(source.connect(), 60), 60);
}
