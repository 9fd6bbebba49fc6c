//! Behind reverse proxies.

use serde_json::json;

use crate::tracker::{KINDS, PLAIN, Tracker, WsTracker as _};
use crate::wire::Client;

fn behind(header: &str, more: &[(&str, &str)]) -> Tracker {
    let mut settings = vec![
        ("network.runs_behind_reverse_proxy", "true"),
        ("network.reverse_proxy_ip_header_name", header),
        // Shows which family the client's address has for the tracker.
        ("protocol.separate_families", "true"),
    ];
    settings.extend_from_slice(more);
    Tracker::with(PLAIN, &settings)
}

/// A connection that a proxy passes on.
#[track_caller]
fn passed_on(tracker: &Tracker, headers: &str) -> Client {
    let mut client = tracker.raw();
    let head = client.ask_to_upgrade(headers);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

#[test]
fn a_trusted_proxy_is_believed() {
    for (name, headers) in [
        (
            "\"X-Forwarded-For\"",
            "x-forwarded-for: 9.9.9.9, 2001:db8::1\r\n",
        ),
        ("\"x-real-ip\"", "X-Real-IP: 2001:db8::1\r\n"),
        (
            "\"Forwarded\"",
            "FORWARDED: for=9.9.9.9, for=\"[2001:db8::1]:_http\";proto=https\r\n",
        ),
    ] {
        let tracker = behind(name, &[]);
        let mut client = passed_on(&tracker, headers);
        client.announce('a', 'p', json!({}));
        // Other connections of the proxy: one with the same client address, and one with
        // an IPv4 address.
        let mut other = passed_on(&tracker, headers);
        assert_eq!(other.announce('a', 'q', json!({}))["incomplete"], 1);
        let ipv4 = headers.replace("[2001:db8::1]", "192.0.2.1");
        let ipv4 = ipv4.replace("2001:db8::1", "192.0.2.1");
        let mut other = passed_on(&tracker, &ipv4);
        assert_eq!(other.announce('a', 'r', json!({}))["incomplete"], 0);
    }
}

#[test]
fn a_missing_or_bad_header_is_an_error() {
    let tracker = behind("\"X-Forwarded-For\"", &[]);
    for (headers, message) in [
        ("", "is missing"),
        ("X-Forwarded-For: unknown\r\n", "names no IP address"),
    ] {
        let mut client = tracker.raw();
        let head = client.ask_to_upgrade(headers);
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        let body = client.rest();
        assert!(body.contains(message), "{body}");
    }
    assert_eq!(tracker.rejected("proxy_header"), 2.0);
    tracker
        .daemon
        .wait_for_log("check the configuration of the proxy");
    // Pages do not depend on the address.
    let mut client = tracker.raw();
    client.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
}

#[test]
fn others_are_not_believed() {
    let trusted = ("network.trusted_proxies", "[\"192.0.2.0/24\"]");
    let tracker = behind("\"X-Forwarded-For\"", &[trusted]);
    let mut client = passed_on(&tracker, "X-Forwarded-For: 2001:db8::1\r\n");
    client.announce('a', 'p', json!({}));
    let mut other = tracker.client();
    let reply = other.announce('a', 'q', json!({}));
    assert_eq!(reply["incomplete"], 1, "both are of IPv4");
    let line = tracker
        .daemon
        .wait_for_log("ignoring the client addresses sent by");
    assert!(line.contains("127.0.0.1"), "{line}");
}

#[test]
fn limits_count_clients_and_not_their_proxy() {
    for kind in KINDS {
        let settings = [
            ("network.runs_behind_reverse_proxy", "true"),
            ("network.max_connections_per_ip", "1"),
            ("limits.max_peers_per_ip", "1"),
        ];
        let tracker = Tracker::with(kind, &settings);
        let of = |client: u8| format!("X-Forwarded-For: 192.0.2.{client}\r\n");
        let mut first = passed_on(&tracker, &of(1));
        let mut second = passed_on(&tracker, &of(2));
        first.announce('a', 'p', json!({}));
        second.announce('a', 'q', json!({}));
        let mut third = tracker.raw();
        let head = third.ask_to_upgrade(&of(1));
        assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
        assert!(third.rest().contains("its maximum of connections"));
        assert_eq!(tracker.rejected("max_connections_per_ip"), 1.0);
        drop(first);
        tracker.await_metric("peers", &[], 1.0);
        passed_on(&tracker, &of(1)).announce('a', 'p', json!({}));
    }
}
