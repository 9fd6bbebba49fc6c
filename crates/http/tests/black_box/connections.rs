//! Persistent and closed connections, and requests that are split or pipelined.

use std::thread;
use std::time::Duration;

use aquatic_test_harness::Signal;

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, Tracker};
use crate::wire::{Client, announce};

#[test]
fn a_connection_serves_many_requests() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        for port in 1..200 {
            let body = client.announce('a', port, "");
            assert!(body.starts_with("d8:completei0e"), "{body}");
        }
        assert_eq!(tracker.metric("connections_accepted_total", &[]), 1.0);
        tracker.await_metric("peers", &[], 199.0);
    }
}

#[test]
fn a_connection_is_closed_when_one_side_wants_it() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        for (request, says) in [
            ("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", "close"),
            ("GET /health HTTP/1.0\r\n\r\n", "close"),
            // Its body is not read.
            (
                "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
                "close",
            ),
        ] {
            let mut client = tracker.client();
            client.send(request);
            let reply = client.reply();
            assert_eq!(reply.header("Connection"), Some(says));
            client.expect_end();
        }
        let mut client = tracker.client();
        client.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.reply().header("Connection"), Some("keep-alive"));
        assert_eq!(client.get("/health").header("Connection"), None);
    }
    let tracker = Tracker::with(PLAIN, &[("network.keep_alive", "false")]);
    let mut client = tracker.client();
    assert_eq!(client.get("/health").header("Connection"), Some("close"));
    client.expect_end();
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        let requests: String = (1..=100)
            .map(|port| {
                format!(
                    "GET {} HTTP/1.1\r\nHost: x\r\n\r\n",
                    announce('a', port, "&numwant=1")
                )
            })
            .collect();
        client.send(requests);
        for others in 0..100 {
            let text = client.reply().text();
            assert!(text.contains(&format!("10:incompletei{others}e")), "{text}");
        }
    }
}

#[test]
fn a_request_may_arrive_in_pieces() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", announce('a', 1, ""));
        for (number, byte) in request.bytes().enumerate() {
            client.send([byte]);
            if number % 16 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(client.reply().text().starts_with("d8:complete"));
        // One request and the start of the next.
        client.send(format!("{request}{}", &request[..40]));
        assert_eq!(client.reply().status, 200);
        thread::sleep(Duration::from_millis(20));
        client.send(&request[40..]);
        assert_eq!(client.reply().status, 200);
    }
}

#[test]
fn slow_requests_get_an_error_and_others_are_served() {
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[("network.message_timeout", "1")]);
        let mut slow = tracker.client();
        slow.send("GET /announce?info_hash=");
        // A connection on which nothing is being sent is not slow.
        let mut idle = tracker.client();
        assert_eq!(idle.get("/health").status, 200);
        let reply = slow.reply();
        assert_eq!(reply.status, 408, "{kind:?}");
        slow.expect_end();
        assert_eq!(tracker.rejected("too_slow"), 1.0);
        assert_eq!(idle.get("/health").status, 200);
    }
}

#[test]
fn idle_connections_are_closed_in_the_end() {
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[("cleaning.max_connection_idle", "1")]);
        let mut client = tracker.client();
        assert_eq!(client.get("/health").status, 200);
        client.expect_end();
        tracker.await_metric("connections", &[], 0.0);
    }
}

#[test]
fn connections_are_bounded() {
    let settings = [("network.max_connections_per_ip", "2")];
    let tracker = Tracker::with(PLAIN, &settings);
    let mut kept: Vec<Client> = (0..2).map(|_| tracker.client()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/health").status, 200);
    }
    tracker.client().expect_end();
    let labels = [("reason", "max_connections_per_ip")];
    tracker.await_metric("connections_refused_total", &labels, 1.0);
    // Each address has its own limit, and closed connections no longer count.
    assert_eq!(tracker.client_ipv6().get("/health").status, 200);
    drop(kept);
    tracker.await_metric("connections", &[], 0.0);
    assert_eq!(tracker.client().get("/health").status, 200);
}

#[test]
fn a_tracker_that_ends_answers_what_it_has_read() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut clients: Vec<Client> = (0..20).map(|_| tracker.client()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/health").status, 200);
        }
        tracker.daemon.signal(Signal::SIGTERM);
        for client in &mut clients {
            client.expect_end();
        }
        let finished = tracker.daemon.wait(aquatic_test_harness::PATIENCE);
        assert!(finished.status.success(), "{kind:?}: {}", finished.stderr);
    }
}
