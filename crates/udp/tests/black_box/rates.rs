//! How many requests a source may make.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::tracker::{Tracker, UdpTracker as _};

/// Sends so many connect requests from 127.0.0.`host`, and returns the number of replies.
fn replies(tracker: SocketAddr, host: u8, requests: u32) -> usize {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
    for number in 0..requests {
        let mut request = 0x417_2710_1980_u64.to_be_bytes().to_vec();
        request.extend([0; 4]);
        request.extend(number.to_be_bytes());
        socket.send_to(&request, tracker).unwrap();
    }
    let patience = Duration::from_millis(500);
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut buffer = [0; 100];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count()
}

#[test]
fn a_source_that_asks_too_much_takes_nothing_from_others() {
    let limit = [
        ("rates.requests_per_second", "10"),
        ("rates.burst_seconds", "2"),
        ("rates.exempt", "[\"127.0.0.9\"]"),
    ];
    let mut tracker = Tracker::with(&limit);
    let address = tracker.ipv4();
    let served = replies(address, 2, 60);
    // The burst, and what is due while they arrive.
    assert!((20..30).contains(&served), "{served}");
    assert_eq!(tracker.rejected("rate_limit"), (60 - served) as f64);
    assert_eq!(replies(address, 3, 15), 15);
    assert_eq!(replies(address, 9, 60), 60);

    tracker.reload_with(&[("rates.requests_per_second", "0")]);
    assert_eq!(replies(address, 2, 60), 60);
}

#[test]
fn a_rate_out_of_range_is_an_error() {
    let mut tracker = Tracker::start();
    tracker.reload_with(&[("rates.requests_per_second", "10001")]);
    let logged = tracker.daemon.wait_for_log("rates.requests_per_second: ");
    assert!(logged.contains("from 1 to 10000"), "{logged}");
    assert_eq!(replies(tracker.ipv4(), 2, 60), 60);
}
