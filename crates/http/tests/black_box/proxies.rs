//! Behind reverse proxies.

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, Tracker};
use crate::wire::{Client, announce};

/// The address that the tracker sees, in the reply to an announce.
fn external_ip(body: &str) -> &str {
    let start = body.find("11:external ip").expect("an announce reply");
    let end = body.find("10:incomplete").unwrap();
    &body[start + "11:external ip".len()..end]
}

fn behind(header: &str) -> Tracker {
    Tracker::with(
        PLAIN,
        &[
            ("network.runs_behind_reverse_proxy", "true"),
            ("network.reverse_proxy_ip_header_name", header),
        ],
    )
}

#[test]
fn a_trusted_proxy_is_believed() {
    for (name, headers) in [
        (
            "\"X-Forwarded-For\"",
            "x-forwarded-for: 9.9.9.9, 192.0.2.1\r\n",
        ),
        ("\"x-real-ip\"", "X-Real-IP: 192.0.2.1\r\n"),
        (
            "\"Forwarded\"",
            "FORWARDED: for=9.9.9.9, for=\"192.0.2.1:80\";proto=https\r\n",
        ),
    ] {
        let tracker = behind(name);
        let reply = tracker.client().get_with(&announce('a', 1, ""), headers);
        assert_eq!(external_ip(&reply.text()), "4:\\xc0\\x00\\x02\\x01");
    }
    let tracker = behind("\"X-Forwarded-For\"");
    let headers = "X-Forwarded-For: 2001:db8::1\r\n";
    let reply = tracker.client().get_with(&announce('a', 1, ""), headers);
    assert!(external_ip(&reply.text()).starts_with("16: \\x01\\r\\xb8"));
    assert!(reply.text().ends_with("5:peers0:6:peers60:e"));
}

#[test]
fn a_missing_or_bad_header_is_an_error() {
    let tracker = behind("\"X-Forwarded-For\"");
    let mut client = tracker.client();
    for (headers, message) in [
        ("", "is missing"),
        ("X-Forwarded-For: unknown\r\n", "names no IP address"),
        ("X-Forwarded-For: \r\n", "names no IP address"),
    ] {
        for target in [announce('a', 1, ""), "/scrape?info_hash=a".to_owned()] {
            let reply = client.get_with(&target, headers);
            assert_eq!(reply.status, 200);
            let text = reply.text();
            assert!(text.starts_with("d14:failure reason"), "{text}");
            assert!(text.contains(message), "{text}");
        }
    }
    assert_eq!(tracker.rejected("proxy_header"), 6.0);
    // Pages do not depend on the address.
    assert_eq!(client.get("/health").status, 200);
    tracker
        .daemon
        .wait_for_log("check the configuration of the proxy");
}

#[test]
fn others_are_not_believed() {
    let tracker = Tracker::with(
        PLAIN,
        &[
            ("network.runs_behind_reverse_proxy", "true"),
            ("network.trusted_proxies", "[\"192.0.2.0/24\"]"),
        ],
    );
    let headers = "X-Forwarded-For: 192.0.2.1\r\n";
    let reply = tracker.client().get_with(&announce('a', 1, ""), headers);
    assert_eq!(external_ip(&reply.text()), "4:\\x7f\\x00\\x00\\x01");
    let line = tracker
        .daemon
        .wait_for_log("ignoring the client addresses sent by");
    assert!(line.contains("127.0.0.1"), "{line}");

    // A tracker that is not behind a proxy ignores the header of every client.
    let tracker = Tracker::start(PLAIN);
    let reply = tracker.client().get_with(&announce('a', 1, ""), headers);
    assert_eq!(external_ip(&reply.text()), "4:\\x7f\\x00\\x00\\x01");
}

#[test]
fn the_proxy_protocol_names_the_client() {
    for kind in KINDS.into_iter().filter(|kind| !kind.is_tls) {
        let tracker = Tracker::with(kind, &[("network.proxy_protocol", "true")]);
        let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", announce('a', 1, ""));
        let mut client = Client::connect(tracker.ipv4(), false);
        client.send("PROXY TCP4 192.0.2.1 192.0.2.9 4000 80\r\n");
        client.send(&request);
        assert_eq!(
            external_ip(&client.reply().text()),
            "4:\\xc0\\x00\\x02\\x01"
        );

        let mut client = Client::connect(tracker.ipv4(), false);
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend([192, 0, 2, 2, 192, 0, 2, 9, 1, 1, 0, 80]);
        header.extend(request.as_bytes());
        client.send(header);
        assert_eq!(
            external_ip(&client.reply().text()),
            "4:\\xc0\\x00\\x02\\x02"
        );

        // Without a header there is no reply, as the client's address is unknown.
        let mut client = Client::connect(tracker.ipv4(), false);
        client.send(&request);
        client.expect_end();
        let labels = [("reason", "proxy_header")];
        tracker.await_metric("connections_cut_total", &labels, 1.0);
    }
}
