//! Replies over HTTP, and upgrades to WebSocket.

use std::time::Duration;

use aquatic_test_harness::Signal;
use serde_json::json;

use crate::tracker::{KINDS, Kind, PLAIN, Tracker, WsTracker as _};
use crate::wire::Client;

fn get(client: &mut Client, target: &str) -> String {
    client.send(format!(
        "GET {target} HTTP/1.1\r\nHost: tracker.test\r\n\r\n"
    ));
    client.rest()
}

#[test]
fn pages_are_served() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        for (target, status, text) in [
            ("/", "200", "WebTorrent tracker"),
            ("/health", "200", "ok\n"),
            ("/announce?info_hash=a", "426", "ws://"),
            ("/nowhere", "404", "nothing here"),
        ] {
            let answer = get(&mut tracker.raw(), target);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
            assert!(answer.contains(text), "{answer}");
        }
        let mut client = tracker.raw();
        client.send("HEAD /health HTTP/1.1\r\nHost: tracker.test\r\n\r\n");
        let answer = client.rest();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        let mut client = tracker.raw();
        client.send("POST / HTTP/1.1\r\nHost: tracker.test\r\nContent-Length: 0\r\n\r\n");
        assert!(client.rest().starts_with("HTTP/1.1 405 "));
        assert_eq!(tracker.metric("requests_total", &[("kind", "page")]), 3.0);
    }
}

#[test]
fn the_page_for_people_has_the_url_to_copy() {
    for kind in KINDS {
        let settings = [
            ("page.name", "\"<script>\""),
            ("page.contact", "\"https://tracker.test/about\""),
            ("page.totals", "true"),
        ];
        let tracker = Tracker::with(kind, &settings);
        let page = get(&mut tracker.raw(), "/").replace("&#x2f;", "/");
        let scheme = if kind.is_tls { "wss" } else { "ws" };
        for part in [
            "\r\nContent-Type: text/html; charset=utf-8\r\n",
            "\r\nContent-Security-Policy: default-src 'none';",
            &format!(">{scheme}://tracker.test<"),
            "<h1>&lt;script&gt;</h1>",
            "href=\"https://tracker.test/about\"",
            "Torrents: 0, peers: 0",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("<script"), "{page}");
    }
}

#[test]
fn malformed_requests_get_an_error() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        for (bytes, status) in [
            ("\x01\x02\x03\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nno header\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
                "405",
            ),
            (long.as_str(), "431"),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                "426",
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
                "400",
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Content-Length: 4\r\n\r\nbody",
                "400",
            ),
        ] {
            let mut client = tracker.raw();
            client.send(bytes);
            let answer = client.rest();
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{kind:?} {status}: {answer}");
        }
        tracker.await_metric("connections", &[], 0.0);
    }
}

#[test]
fn clients_without_tls_get_an_error() {
    for event_loop in ["mio", "glommio"] {
        let tracker = Tracker::start(Kind::new(event_loop, true));
        let mut client = Client::connect(tracker.ipv4(), false);
        let answer = get(&mut client, "/");
        assert!(answer.contains("use wss://"), "{answer}");
    }
}

#[test]
fn only_allowed_origins_are_served() {
    let origins = "[\"https://example.org\"]";
    let tracker = Tracker::with(PLAIN, &[("network.allowed_origins", origins)]);
    let status = |headers: &str| {
        let head = tracker.raw().ask_to_upgrade(headers);
        head[9..12].to_owned()
    };
    assert_eq!(status("Origin: https://example.org\r\n"), "101");
    assert_eq!(status("Origin: HTTPS://EXAMPLE.ORG\r\n"), "101");
    assert_eq!(status(""), "101");
    for other in [
        "https://example.com",
        "http://example.org",
        "https://example.org:8443",
        "null",
    ] {
        assert_eq!(status(&format!("Origin: {other}\r\n")), "403", "{other}");
    }
    assert_eq!(tracker.rejected("origin"), 4.0);
}

#[test]
fn handshakes_that_never_finish_are_cut_off() {
    for kind in KINDS {
        let settings = [
            ("network.handshake_timeout", "1"),
            ("network.message_timeout", "1"),
        ];
        let tracker = Tracker::with(kind, &settings);
        let mut half = tracker.raw();
        half.send("GET / HTTP/1.1\r\nHost:");
        assert!(half.rest().starts_with("HTTP/1.1 408 "), "{kind:?}");
        let mut silent = Client::connect(tracker.ipv4(), false);
        silent.expect_end();
        let mut mute = tracker.raw();
        assert_eq!(mute.rest(), "", "{kind:?}");
        let cut = [("reason", "slow_handshake")];
        tracker.await_metric("connections_cut_total", &cut, 2.0);
        tracker.await_metric("connections", &[], 0.0);
        if !kind.is_tls {
            assert_eq!(tracker.rejected("too_slow"), 1.0);
        }
    }
}

#[test]
fn connections_get_a_close_frame_when_the_tracker_stops() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        client.announce('a', 'p', json!({}));
        let mut silent = tracker.client();
        let stopping = std::thread::spawn(move || tracker.daemon.stop());
        client.expect_close(1001);
        silent.expect_close(1001);
        stopping.join().unwrap();
    }
}

#[test]
fn idle_connections_are_pinged_and_closed() {
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[("cleaning.max_connection_idle", "4")]);
        let mut dead = tracker.client();
        let mut alive = tracker.client();
        for _ in 0..2 {
            let ping = alive.frame();
            assert_eq!(ping.opcode, crate::wire::PING, "{kind:?}");
            alive.send(crate::wire::frame(crate::wire::PONG, &ping.payload));
        }
        assert_eq!(dead.frame().opcode, crate::wire::PING);
        dead.expect_close(1008);
        alive.announce('a', 'p', json!({}));
        assert_eq!(tracker.metric("connections", &[]), 1.0);
    }
}

#[test]
fn old_connections_are_closed_when_the_certificate_was_renewed() {
    use aquatic_test_harness::certificates::{RSA_CERTIFICATE, RSA_KEY_PKCS8};
    for event_loop in ["mio", "glommio"] {
        let settings = [
            ("cleaning.close_after_tls_update_grace_period", "2"),
            ("cleaning.max_connection_idle", "8"),
        ];
        let mut tracker = Tracker::with(Kind::new(event_loop, true), &settings);
        let mut old = tracker.client();
        old.announce('a', 'p', json!({}));
        tracker.place.setup.write("cert.pem", RSA_CERTIFICATE);
        // Without its key, the new certificate is not used.
        tracker.daemon.reload(Signal::SIGHUP);
        let label = [("what", "tls_certificate")];
        assert_eq!(tracker.metric("reload_failures_total", &label), 1.0);
        tracker.place.setup.write("key.pem", RSA_KEY_PKCS8);
        tracker.daemon.reload(Signal::SIGHUP);
        // The old connection is still served for a while.
        old.announce('a', 'p', json!({}));
        std::thread::sleep(Duration::from_secs(1));
        let mut new = tracker.client();
        new.announce('a', 'q', json!({}));
        loop {
            let frame = old.frame();
            if frame.opcode == crate::wire::CLOSE {
                assert_eq!(frame.payload[..2], 1012_u16.to_be_bytes());
                break;
            }
            assert_eq!(frame.opcode, crate::wire::PING);
            old.send(crate::wire::frame(crate::wire::PONG, b""));
        }
        assert_eq!(
            new.ask(&crate::wire::announce('a', 'q', json!({})))["action"],
            "announce"
        );
    }
}
