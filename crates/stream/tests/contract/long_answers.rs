//! Answers that are written a part at a time.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::server::{KINDS, Kind, Server};

const SHORT: Duration = Duration::from_millis(500);

/// Reads a line of `length` times `x`.
#[track_caller]
fn expect_long(client: &mut Client, length: usize, kind: Kind) {
    let mut buffer = vec![0; 1 << 16];
    let mut left = length + 1;
    while left > 0 {
        let most = left.min(buffer.len());
        let count = client.read(&mut buffer[..most]).unwrap();
        assert!(count > 0, "{kind:?}: {left} bytes are missing");
        left -= count;
        let (end, xs) = match left {
            0 => (&buffer[count - 1..count], &buffer[..count - 1]),
            _ => (&b"\n"[..], &buffer[..count]),
        };
        assert_eq!(end, b"\n");
        assert!(xs.iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn all_of_it_arrives_and_then_what_was_asked_meanwhile() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        client.send("echo one\nlong 3000000\necho two\nlong 0\nlong 5\nbye\n");
        assert_eq!(client.line(), "one");
        expect_long(&mut client, 3_000_000, kind);
        assert_eq!(client.line(), "two");
        assert_eq!(client.rest(), "\nxxxxx\nbye\n", "{kind:?}");
    }
}

#[test]
fn the_last_answer_arrives_whole_although_more_was_asked() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        client.send("last 3000000\n");
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(20));
            client.send("echo too late\n");
        }
        expect_long(&mut client, 3_000_000, kind);
        assert_eq!(client.rest(), "", "{kind:?}");
    }
}

#[test]
fn others_are_served_in_between() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut reading = server.client();
        let mut other = server.client();
        assert_eq!(other.ask("echo in"), "in");
        reading.send("long 30000000\n");
        let reader = thread::spawn(move || {
            expect_long(&mut reading, 30_000_000, kind);
            assert_eq!(reading.ask("echo end"), "end");
        });
        let mut longest = Duration::ZERO;
        let mut asked = 0;
        while !reader.is_finished() {
            let start = Instant::now();
            assert_eq!(other.ask("echo in"), "in");
            longest = longest.max(start.elapsed());
            asked += 1;
        }
        reader.join().unwrap();
        assert!(asked > 10, "{kind:?}: {asked}");
        assert!(longest < Duration::from_secs(2), "{kind:?}: {longest:?}");
    }
}

#[test]
fn who_does_not_read_is_cut_off() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.write_timeout = SHORT;
        });
        let mut client = server.client();
        client.send("long 4000000000\n");
        server.await_metric("connections_cut_total", Some("slow_reader"), 1);
        server.await_metric("connections", None, 0);
        // No more was written than the kernel has taken.
        let sent = server.metric("sent_bytes_total", None);
        assert!(sent < 100_000_000, "{kind:?}: {sent}");
    }
}

#[test]
fn who_reads_slowly_is_neither_idle_nor_late() {
    for kind in KINDS {
        let server = Server::with(kind, |wishes| {
            wishes.settings.limits.idle_timeout = SHORT;
            wishes.settings.limits.message_timeout = SHORT;
        });
        let mut client = server.client();
        // The beginning of the next message is there already.
        client.send("long 20000000\nec");
        let start = Instant::now();
        let mut left = 20_000_001;
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            let count = client.read(&mut buffer).unwrap();
            assert!(count > 0, "{kind:?}: {left}");
            left -= count;
            if start.elapsed() < 3 * SHORT {
                thread::sleep(Duration::from_millis(50));
            }
        }
        client.send("ho one\n");
        assert_eq!(client.line(), "one", "{kind:?}");
    }
}

#[test]
fn who_leaves_within_it_is_forgotten() {
    for kind in KINDS {
        let server = Server::start(kind);
        let mut client = server.client();
        client.send("long 4000000000\n");
        let mut byte = [0];
        client.read(&mut byte).unwrap();
        drop(client);
        server.await_metric("connections", None, 0);
    }
}

#[test]
fn the_end_of_the_process_ends_it() {
    for kind in KINDS {
        let mut server = Server::start(kind);
        let mut client = server.client();
        client.send("long 4000000000\n");
        let mut byte = [0];
        client.read(&mut byte).unwrap();
        assert_eq!(server.stop(), Ok(()), "{kind:?}");
    }
}
