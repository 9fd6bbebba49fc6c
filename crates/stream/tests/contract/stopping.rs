//! A stop of the process: requests that have begun are answered.

use std::time::{Duration, Instant};

use crate::server::{KINDS, Server};

#[test]
fn idle_connections_are_closed_at_once() {
    for kind in KINDS {
        let mut server = Server::start(kind);
        let mut silent = server.client();
        let mut idle = server.client();
        assert_eq!(idle.ask("echo one"), "one");
        let start = Instant::now();
        server.stop().unwrap();
        assert!(start.elapsed() < Duration::from_secs(3), "{kind:?}");
        assert_eq!(idle.rest(), "stopping\n");
        assert_eq!(silent.rest(), "stopping\n");
    }
}

#[test]
fn what_has_arrived_is_answered() {
    for kind in KINDS {
        let mut server = Server::start(kind);
        let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
        for client in &mut clients {
            client.send("echo one\n");
        }
        server.stop().unwrap();
        for client in &mut clients {
            assert_eq!(client.rest(), "one\nstopping\n", "{kind:?}");
        }
    }
}

#[test]
fn a_first_message_that_is_on_its_way_is_awaited() {
    for kind in KINDS {
        // The machine may be too busy to send the message in time, but not always.
        let is_answered = (0..10).any(|_| {
            let mut server = Server::start(kind);
            let mut client = server.client();
            let stopping = std::thread::spawn(move || {
                let result = server.stop();
                (server, result)
            });
            std::thread::sleep(Duration::from_millis(5));
            let mut reply = [0; 4];
            let is_answered = client.try_send("echo one\n").is_ok()
                && client.read(&mut reply).is_ok()
                && reply == *b"one\n";
            let (_server, result) = stopping.join().unwrap();
            result.unwrap();
            is_answered
        });
        assert!(is_answered, "{kind:?}");
    }
}

#[test]
fn a_message_that_has_begun_may_be_completed() {
    for kind in KINDS {
        let mut server = Server::start(kind);
        let mut client = server.client();
        client.send("drain");
        let before = server.metric("received_bytes_total", None);
        assert!(before > 0 || !kind.is_tls);
        // The piece has arrived before the signal does.
        std::thread::sleep(Duration::from_millis(100));
        let stopping = std::thread::spawn(move || {
            let result = server.stop();
            (server, result)
        });
        // Longer than a worker takes to notice that it is to stop.
        std::thread::sleep(Duration::from_millis(700));
        client.send("ing\n");
        assert_eq!(client.rest(), "true\nstopping\n", "{kind:?}");
        let (_server, result) = stopping.join().unwrap();
        result.unwrap();
    }
}

#[test]
fn a_message_that_is_not_completed_does_not_hold_up_the_end() {
    for kind in KINDS.into_iter().filter(|kind| !kind.is_tls) {
        let mut server = Server::start(kind);
        let mut client = server.client();
        client.send("half");
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        server.stop().unwrap();
        let took = start.elapsed();
        assert!(took > Duration::from_secs(3), "{kind:?}: {took:?}");
        assert!(took < Duration::from_secs(8), "{kind:?}: {took:?}");
    }
}

#[test]
fn a_panic_ends_the_worker_with_its_reason() {
    for kind in KINDS {
        let mut server = Server::start(kind);
        let mut client = server.client();
        client.send("panic\n");
        assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
        let failures = server.stop().unwrap_err();
        assert_eq!(failures, ["words-0: panicked: as asked"], "{kind:?}");
    }
}
