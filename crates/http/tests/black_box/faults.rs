//! Malformed requests, and other protocols.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, TLS, Tracker};
use crate::wire::Client;

#[test]
fn other_protocols_than_http_get_an_error() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        for (bytes, status, reason) in [
            (b"\x13BitTorrent protocol".to_vec(), 400, "not_http"),
            (b"hello\r\n\r\n".to_vec(), 400, "not_http"),
            (b"GET /\r\n".to_vec(), 400, "not_http"),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                400,
                "not_http",
            ),
            (
                b"GET / HTTP/1.1\r\nno header\r\n\r\n".to_vec(),
                400,
                "not_http",
            ),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400, "not_http"),
            (
                b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".to_vec(),
                400,
                "not_http",
            ),
            (
                b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n12345".to_vec(),
                400,
                "not_http",
            ),
            (
                b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
                    .to_vec(),
                400,
                "not_http",
            ),
            (
                format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65)).into_bytes(),
                431,
                "too_long",
            ),
            (
                format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(16 * 1024)).into_bytes(),
                431,
                "too_long",
            ),
        ] {
            let before = tracker.rejected(reason);
            let mut client = tracker.client();
            client.send(&bytes);
            let reply = client.reply();
            assert_eq!(reply.status, status, "{}", bytes.escape_ascii());
            assert_eq!(reply.header("Connection"), Some("close"));
            client.expect_end();
            assert_eq!(tracker.rejected(reason), before + 1.0);
        }
        // A request within the limits is served.
        let mut client = tracker.client();
        let headers = "a: b\r\n".repeat(63);
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
        assert_eq!(client.reply().status, 200);
    }
}

#[test]
fn a_client_that_is_still_sending_gets_an_error() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let start = "GET / HTTP/1.1\r\nHost: x\r\n";
        let endless = format!("{start}a: {}", "b".repeat(4 << 20));
        let mut client = tracker.client();
        client.send(&endless);
        assert_eq!(client.reply().status, 431, "{kind:?}");
        client.expect_end();

        // The body arrives after the reply was written.
        let mut client = tracker.client();
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4194304\r\n\r\n");
        assert_eq!(client.reply().status, 405, "{kind:?}");
        client.send(&endless);
        client.expect_end();
    }
}

#[test]
fn tls_where_none_is_spoken() {
    let tracker = Tracker::start(PLAIN);
    let mut client = Client::connect(tracker.ipv4(), false);
    // The start of a ClientHello.
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let reply = client.reply();
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("http:// instead of https://"));
    assert_eq!(tracker.rejected("tls"), 1.0);
}

#[test]
fn http_where_tls_is_spoken() {
    for kind in KINDS.into_iter().filter(|kind| kind.is_tls) {
        let tracker = Tracker::start(kind);
        let mut client = Client::connect(tracker.ipv4(), false);
        client.send("GET /announce HTTP/1.1\r\nHost: x\r\n\r\n");
        let reply = client.reply();
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("use https://"), "{}", reply.text());
        client.expect_end();
        let labels = [("reason", "not_tls")];
        tracker.await_metric("connections_cut_total", &labels, 1.0);
        // Clients that use TLS are served.
        assert_eq!(tracker.client().get("/health").status, 200);
    }
}

#[test]
fn half_a_handshake_is_not_waited_for() {
    let tracker = Tracker::with(TLS, &[("network.handshake_timeout", "1")]);
    let mut client = Client::connect(tracker.ipv4(), false);
    client.send(b"\x16\x03\x01\x02\x00\x01\x00");
    let mut silent = Client::connect(tracker.ipv4(), false);
    client.expect_end();
    silent.expect_end();
    let labels = [("reason", "slow_handshake")];
    tracker.await_metric("connections_cut_total", &labels, 2.0);
}

#[test]
fn a_client_that_only_reads_is_answered() {
    for kind in KINDS.into_iter().filter(|kind| !kind.is_tls) {
        let tracker = Tracker::start(kind);
        // The client has sent everything, shuts down its side, and waits.
        let mut stream = TcpStream::connect(tracker.ipv4()).unwrap();
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.ends_with("ok\n"), "{kind:?}: {answer}");
    }
}

#[test]
fn clients_that_disconnect_do_not_affect_others() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        for bytes in [&b""[..], b"GET", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"] {
            for _ in 0..20 {
                let mut stream = TcpStream::connect(tracker.ipv4()).unwrap();
                stream.write_all(bytes).unwrap();
            }
        }
        assert_eq!(tracker.client().get("/health").status, 200);
        tracker.await_metric("connections", &[], 0.0);
    }
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    for kind in KINDS.into_iter().filter(|kind| !kind.is_tls) {
        let tracker = Tracker::with(kind, &[("network.write_timeout", "1")]);
        let mut stream = TcpStream::connect(tracker.ipv4()).unwrap();
        stream.set_nonblocking(true).unwrap();
        // More requests than there is buffer space for their replies.
        let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
        let deadline = Instant::now() + aquatic_test_harness::PATIENCE;
        loop {
            match stream.write(requests.as_bytes()) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(_) => break,
            }
            assert!(Instant::now() < deadline, "{kind:?}");
        }
        let labels = [("reason", "slow_reader")];
        tracker.await_metric("connections_cut_total", &labels, 1.0);
        assert_eq!(tracker.client().get("/health").status, 200);
    }
}

#[test]
fn a_request_that_is_cut_short_gets_its_answer() {
    for kind in KINDS.into_iter().filter(|kind| !kind.is_tls) {
        let tracker = Tracker::start(kind);
        for text in ["GET /announce?info_hash=a", "GET / HTTP/1.1\r\nHost: t\r\n"] {
            let mut stream = TcpStream::connect(tracker.ipv4()).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with("HTTP/1.1 400 "), "{kind:?}: {reply}");
            assert!(reply.ends_with("the request is not complete\n"), "{reply}");
        }
        assert_eq!(tracker.rejected("not_http"), 2.0);
        // An empty line after a request is not another request.
        let mut stream = TcpStream::connect(tracker.ipv4()).unwrap();
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n\r\n")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{reply}");
    }
}

#[test]
fn a_client_without_a_request_is_disconnected() {
    for kind in KINDS {
        let settings = [
            ("network.message_timeout", "1"),
            // With TLS, these clients never begin a handshake.
            ("network.handshake_timeout", "1"),
        ];
        let tracker = Tracker::with(kind, &settings);
        let mut other = tracker.client();
        assert_eq!(other.get("/health").status, 200);
        let start = Instant::now();
        let mut silent: Vec<Client> = (0..50).map(|_| tracker.client()).collect();
        for client in &mut silent {
            client.expect_end();
        }
        assert!(start.elapsed() < Duration::from_secs(60));
        // A client that has sent a request may be silent for longer.
        assert_eq!(other.get("/health").status, 200);
    }
}
