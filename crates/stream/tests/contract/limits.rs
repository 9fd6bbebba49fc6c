//! Deadlines and caps.

use std::io::Read;
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use aquatic_policy::AddressRange;
use aquatic_stream::{AddressHeader, ReverseProxy};

use crate::client::Client;
use crate::server::{KINDS, Kind, Server};

const SHORT: Duration = Duration::from_millis(500);

fn at_least_short(start: Instant, kind: Kind) {
    assert!(start.elapsed() >= SHORT, "{kind:?}: {:?}", start.elapsed());
}

#[test]
fn idle_connections_are_closed() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.idle_timeout = SHORT;
        });
        let mut client = server.client();
        assert_eq!(client.ask("echo one"), "one");
        let start = Instant::now();
        assert_eq!(client.rest(), "idle\n");
        at_least_short(start, kind);
        assert_eq!(server.metric("connections_cut_total", Some("idle")), 1);

        let mut silent = server.client();
        assert_eq!(silent.rest(), "idle\n");
    }
}

#[test]
fn the_protocol_may_keep_an_idle_connection() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.idle_timeout = SHORT;
        });
        let mut client = server.client();
        assert_eq!(client.ask("patience"), "ok");
        assert_eq!(client.line(), "still there?");
        assert_eq!(client.line(), "still there?");
        assert_eq!(client.ask("echo yes"), "yes");
    }
}

#[test]
fn messages_that_trickle_are_cut_off() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.message_timeout = SHORT;
        });
        let mut client = server.client();
        assert_eq!(client.ask("echo one"), "one");
        let start = Instant::now();
        // Each byte arrives well within the time limit of the whole message.
        while client.try_send("x").is_ok() {
            thread::sleep(Duration::from_millis(50));
            if server.metric("connections_cut_total", Some("slow_message")) == 1 {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{kind:?}");
        }
        at_least_short(start, kind);
        assert_eq!(client.line(), "slow");
    }
}

#[test]
fn who_says_nothing_from_the_start_has_the_time_of_a_message() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.message_timeout = SHORT;
        });
        let mut other = server.client();
        assert_eq!(other.ask("echo one"), "one");
        let start = Instant::now();
        let mut silent = server.client();
        assert_eq!(silent.rest(), "idle\n");
        at_least_short(start, kind);
        // A connection that has sent a message has more time.
        assert_eq!(other.ask("echo two"), "two");
    }
}

#[test]
fn a_message_in_pieces_has_its_time_whatever_comes_between() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.message_timeout = SHORT;
            wishes.settings.limits.idle_timeout = Duration::from_secs(60);
        });
        let mut client = server.client();
        client.send("(\n)\n(\n");
        let start = Instant::now();
        // Each of these lines is complete and answered.
        while client.try_send("echo one\n").is_ok() {
            thread::sleep(Duration::from_millis(50));
            if server.metric("connections_cut_total", Some("slow_message")) == 1 {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{kind:?}");
        }
        at_least_short(start, kind);
        let rest = client.rest();
        assert!(
            rest.starts_with("one\n") && rest.ends_with("slow\n"),
            "{rest}"
        );
    }
}

#[test]
fn who_ends_within_a_message_is_told() {
    for kind in KINDS {
        let server = Server::start(kind);
        for text in ["echo one\nech", "echo one\n(\n"] {
            let mut client = server.client();
            client.send(text);
            client.finish();
            assert_eq!(client.rest(), "one\nwhat else?\n", "{kind:?}");
        }
        server.await_metric("connections_cut_total", Some("cut_short"), 2);
        let mut client = server.client();
        client.send("echo one\n");
        client.finish();
        assert_eq!(client.rest(), "one\n", "{kind:?}");
    }
}

#[test]
fn handshakes_that_do_not_end_are_cut_off() {
    for kind in KINDS.into_iter().filter(|kind| kind.is_tls) {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.handshake_timeout = SHORT;
        });
        for bytes in [&b""[..], &b"\x16\x03\x01"[..]] {
            let mut client = Client::plain(server.address);
            std::io::Write::write_all(&mut client.stream, bytes).unwrap();
            let start = Instant::now();
            assert_eq!(client.stream.read(&mut [0; 8]).unwrap_or(0), 0);
            at_least_short(start, kind);
        }
        let cut = server.metric("connections_cut_total", Some("slow_handshake"));
        assert_eq!(cut, 2);
    }
}

#[test]
fn who_does_not_read_is_cut_off() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.write_timeout = SHORT;
        });
        let mut client = server.client();
        client.send("big 20000000\n");
        server.await_metric("connections_cut_total", Some("slow_reader"), 1);
        server.await_metric("connections", None, 0);
    }
}

#[test]
fn connections_are_capped() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.max_connections = NonZeroUsize::new(2).unwrap();
        });
        let mut first = server.client();
        let mut second = server.client();
        assert_eq!(second.ask("echo in"), "in");
        let mut third = Client::plain(server.address);
        assert_eq!(third.stream.read(&mut [0; 8]).unwrap_or(0), 0);
        let refused = server.metric("connections_refused_total", Some("max_connections"));
        assert_eq!(refused, 1);
        assert_eq!(first.ask("bye"), "bye");
        server.await_metric("connections", None, 1);
        assert_eq!(server.client().ask("echo in"), "in");
    }
}

#[test]
fn connections_of_an_address_are_capped() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.max_connections_per_ip = NonZeroUsize::new(1);
        });
        let first = server.client();
        let mut second = Client::plain(server.address);
        assert_eq!(second.stream.read(&mut [0; 8]).unwrap_or(0), 0);
        let reason = Some("max_connections_per_ip");
        assert_eq!(server.metric("connections_refused_total", reason), 1);
        drop(first);
        server.await_metric("connections", None, 0);
        assert_eq!(server.client().ask("echo in"), "in");
    }
}

#[test]
fn connections_that_have_ended_do_not_count() {
    const CLIENTS: u64 = 20;
    for kind in KINDS.into_iter().filter(|kind| !kind.is_tls) {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.max_connections_per_ip = NonZeroUsize::new(2);
        });
        let mut first = server.client();
        first.send("sleep 1000\n");
        thread::sleep(Duration::from_millis(300));
        // Clients connect and close one at a time, while the worker accepts none.
        for _ in 0..CLIENTS {
            drop(server.client());
        }
        assert_eq!(first.line(), "ok");
        server.await_metric("connections_accepted_total", None, 1 + CLIENTS);
        let reason = Some("max_connections_per_ip");
        assert_eq!(server.metric("connections_refused_total", reason), 0);
        server.await_metric("connections", None, 1);
    }
}

#[test]
fn connections_of_a_reverse_proxy_are_not_capped() {
    for kind in KINDS {
        let proxy: AddressRange = "127.0.0.1".parse().unwrap();
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.max_connections_per_ip = NonZeroUsize::new(1);
            wishes.settings.reverse_proxy = Some(ReverseProxy {
                header: AddressHeader::new("X-Forwarded-For"),
                trusted: [proxy].into_iter().collect(),
            });
        });
        let mut first = server.client();
        let mut second = server.client();
        assert_eq!(first.ask("echo in"), "in");
        assert_eq!(second.ask("echo in"), "in");
    }
}
