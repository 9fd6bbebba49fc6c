//! Messages and replies.

use std::time::Duration;

use crate::server::{KINDS, Server};
use crate::words::MAX_LINE_BYTES;

#[test]
fn messages_are_answered_one_after_the_other() {
    for kind in KINDS {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = Server::with(kind, |wishes| {
                wishes.address = address.parse().unwrap();
            });
            let mut client = server.client();
            assert_eq!(client.ask("echo one"), "one");
            assert_eq!(client.ask("echo two"), "two");
            let local = client.stream.local_addr().unwrap();
            assert_eq!(client.ask("who"), format!("{local} {}", kind.is_tls));
            client.send("bye\n");
            assert_eq!(client.rest(), "bye\n");
            server.await_metric("connections", None, 0);
            assert_eq!(server.metric("connections_accepted_total", None), 1);
        }
    }
}

#[test]
fn messages_may_come_in_any_pieces() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        let text = "echo one\necho two\necho three\n";
        for length in [1, 2, 3, 7, 12] {
            for piece in text.as_bytes().chunks(length) {
                client.send(std::str::from_utf8(piece).unwrap());
                std::thread::sleep(Duration::from_millis(1));
            }
            let lines: Vec<_> = (0..3).map(|_| client.line()).collect();
            assert_eq!(lines, ["one", "two", "three"], "{kind:?}");
        }
    }
}

#[test]
fn many_messages_may_come_at_once() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        // The answers are far larger than what can be written before the client reads.
        let count = 2_000;
        client.send(&"big 200\n".repeat(count));
        client.send("bye\n");
        let answer = client.rest();
        let expected = format!("{}\n", "x".repeat(200)).repeat(count) + "bye\n";
        assert!(answer == expected, "{kind:?}: {} bytes", answer.len());
    }
}

#[test]
fn a_reader_that_takes_its_time_gets_everything() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        let size = 8 << 20;
        client.send(&format!("big {size}\necho end\nbye\n"));
        // The system's buffers are full by now, and the server waits.
        std::thread::sleep(Duration::from_millis(200));
        let mut other = server.client();
        assert_eq!(other.ask("echo meanwhile"), "meanwhile");
        let answer = client.rest();
        assert_eq!(answer.len(), size + "\nend\nbye\n".len(), "{kind:?}");
        assert!(answer.ends_with("x\nend\nbye\n"));
    }
}

#[test]
fn who_stops_sending_is_answered() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        client.send("echo one\necho two\n");
        client.finish();
        assert_eq!(client.rest(), "one\ntwo\n", "{kind:?}");
        server.await_metric("connections", None, 0);
    }
}

#[test]
fn messages_that_are_too_long_end_the_connection() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        let _ = client.try_send(&"x".repeat(MAX_LINE_BYTES));
        server.await_metric("connections_cut_total", Some("long_message"), 1);
        server.await_metric("connections", None, 0);
        assert_eq!(server.client().ask("echo fine"), "fine");
    }
}

#[test]
fn the_last_answer_arrives_though_more_is_sent() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        // What follows the last message is never processed. If the connection were closed
        // while it is unread, the network would discard the answer.
        client.send(&format!("bye\n{}", "more\n".repeat(20_000)));
        assert_eq!(client.line(), "bye", "{kind:?}");
        drop(client);
        server.await_metric("connections", None, 0);
    }
}

#[test]
fn clients_that_vanish_are_forgotten() {
    for kind in KINDS {
        let server = Server::start(kind);
        for _ in 0..20 {
            let mut client = server.client();
            assert_eq!(client.ask("echo one"), "one");
            client.send("echo half");
        }
        server.await_metric("connections", None, 0);
        assert_eq!(server.metric("connections_accepted_total", None), 20);
    }
}
