//! Connections that write to each other.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chat::{Chat, House};
use crate::client::Client;
use crate::server::{KINDS, Kind, PATIENCE, Server, Wishes};

fn server(kind: Kind, change: impl FnOnce(&mut Wishes)) -> (Server, Arc<House>) {
    let house = Arc::new(House::default());
    let server = Server::speaking(kind, change, |number, wakers| {
        Chat::new(number, wakers, &house)
    });
    (server, house)
}

/// A client, once the server has opened its connection as the `index`-th.
fn client(server: &Server, house: &House, index: usize) -> Client {
    let client = server.client();
    let start = Instant::now();
    while house.worker_of(index).is_none() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    client
}

#[test]
fn connections_write_to_each_other() {
    for kind in KINDS {
        let (server, house) = server(kind, |_| ());
        let mut first = client(&server, &house, 0);
        let mut second = client(&server, &house, 1);
        assert_eq!(first.ask("tell 1 hello"), "ok");
        assert_eq!(second.line(), "hello");
        // Lines for itself and for the other connection, all at once.
        second.send("tell 1 me\ntell 0 you\ntell 1 again\n");
        let mut lines: Vec<String> = (0..5).map(|_| second.line()).collect();
        lines.sort();
        assert_eq!(lines, ["again", "me", "ok", "ok", "ok"], "{kind:?}");
        assert_eq!(first.line(), "you");

        assert_eq!(first.ask("end"), "bye");
        assert_eq!(first.rest(), "");
        server.await_metric("connections", None, 1);
        assert_eq!(second.ask("tell 0 lost"), "gone");
        // The connection that has the slot now does not get lines for the earlier one.
        let mut third = client(&server, &house, 2);
        assert_eq!(second.ask("tell 0 lost"), "gone");
        assert_eq!(second.ask("tell 2 found"), "ok");
        assert_eq!(third.line(), "found");
    }
}

#[test]
fn connections_of_other_workers_are_reached() {
    const CLIENTS: usize = 24;
    for kind in KINDS {
        let (server, house) = server(kind, |wishes| wishes.workers = 3);
        let mut clients: Vec<Client> = (0..CLIENTS)
            .map(|index| client(&server, &house, index))
            .collect();
        let worker = |index| house.worker_of(index);
        assert!((1..CLIENTS).any(|index| worker(index) != worker(0)));
        for round in 0..5 {
            for to in 0..CLIENTS {
                let from = (to + round * 7 + 1) % CLIENTS;
                clients[from].send(&format!("tell {to} {round}\n"));
            }
            for client in &mut clients {
                let mut lines = [client.line(), client.line()];
                lines.sort();
                assert_eq!(lines, [round.to_string(), "ok".to_owned()], "{kind:?}");
            }
        }
    }
}

#[test]
fn who_does_not_read_what_others_write_is_cut_off() {
    for kind in KINDS {
        for workers in [1, 2] {
            let (server, house) = server(kind, |wishes| {
                wishes.settings.limits.max_unsent_bytes = NonZeroUsize::new(50_000);
                wishes.workers = workers;
            });
            let deaf = client(&server, &house, 0);
            let mut others: Vec<Client> =
                (1..6).map(|index| client(&server, &house, index)).collect();
            let start = Instant::now();
            'flood: loop {
                for other in &mut others {
                    if other.ask("flood 0 20") == "gone" {
                        break 'flood;
                    }
                    let cut = server.metric("connections_cut_total", Some("full_output"));
                    if cut == 1 {
                        break 'flood;
                    }
                }
                assert!(start.elapsed() < PATIENCE, "{kind:?}");
            }
            server.await_metric("connections_cut_total", Some("full_output"), 1);
            server.await_metric("connections", None, 5);
            drop(deaf);
            assert_eq!(others[0].ask("tell 2 hello"), "ok");
            assert_eq!(others[1].line(), "hello");
        }
    }
}

#[test]
fn much_for_one_in_one_turn_is_bounded() {
    for kind in KINDS {
        let (server, house) = server(kind, |wishes| {
            wishes.settings.limits.max_unsent_bytes = NonZeroUsize::new(50_000);
        });
        let mut reading = client(&server, &house, 0);
        let mut other = client(&server, &house, 1);
        assert_eq!(other.ask("flood 0 5000"), "full");
        // A client that reads is not disconnected.
        assert_eq!(other.ask("tell 0 end"), "ok");
        let mut lines = 0;
        while reading.line() != "end" {
            lines += 1;
        }
        assert_eq!(lines, 50);
        assert_eq!(reading.ask("tell 1 hello"), "ok");
    }
}
