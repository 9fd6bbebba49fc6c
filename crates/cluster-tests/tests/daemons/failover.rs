//! Nodes that are killed, and nodes that join, while clients announce.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::{Signal, eventually};

use crate::client::{Connection, Url};
use crate::engine::{Engine, node, shared_connection};
use crate::load::{announce, announce_torrents, round_trips, torrents};
use crate::pair::Site;

const REQUESTS_PER_SECOND: u32 = 10_000;

/// How many announces are sent at once before their replies are awaited.
const GROUP: u32 = 50;

/// The number of torrents. Each of them has two clients.
const TORRENTS: u32 = 2_500;

/// How long it may take until all clients are served by another node.
const SOON: Duration = Duration::from_secs(1);

/// Announces, and awaits the replies; returns the clients whose replies had no peer. Each
/// torrent has two clients; the number of the first is twice that of the torrent.
fn announce_all(connection: &Connection, clients: &[u32]) -> Vec<u32> {
    for client in clients {
        let port = 1001 + (client % 2) as u16;
        let mut request = announce(connection, client / 2, port);
        // The transaction id.
        request[12..16].copy_from_slice(&client.to_be_bytes());
        connection.socket.send(&request).expect("sent");
    }
    let mut alone = Vec::new();
    for _ in clients {
        let mut reply = [0; 2_048];
        let length = connection.socket.recv(&mut reply).expect("a reply");
        assert_eq!(reply[..4], [0, 0, 0, 1], "a reply to an announce");
        if length <= 20 {
            alone.push(u32::from_be_bytes(
                reply[4..8].try_into().expect("four bytes"),
            ));
        }
    }
    alone
}

#[test]
fn when_a_node_is_killed_another_serves_its_torrents_at_once() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let one = node(site.udp(), &engine.url(), "one").start();
    let other = node(site.udp(), &engine.url(), "other").start();
    let clients_of_other = shared_connection(&one, &other);
    let clients_of_one = clients_of_other.at(one.ipv4());

    let all: Vec<u32> = (0..TORRENTS * 2).collect();
    let started = Instant::now();
    for (index, group) in (0..).zip(all.chunks(GROUP as usize)) {
        let due = f64::from(index * GROUP) / f64::from(REQUESTS_PER_SECOND);
        let early = Duration::from_secs_f64(due).saturating_sub(started.elapsed());
        thread::sleep(early);
        announce_all(&clients_of_one, group);
    }
    // Changes that the node has not sent yet are lost.
    let killed = Instant::now();
    one.daemon.signal(Signal::SIGKILL);

    let mut waiting: VecDeque<u32> = all.into();
    let mut again = 0;
    while !waiting.is_empty() {
        let group: Vec<u32> = waiting.drain(..waiting.len().min(GROUP as usize)).collect();
        let alone = announce_all(&clients_of_other, &group);
        again += alone.len();
        waiting.extend(alone);
        assert!(killed.elapsed() < SOON, "{} are not served", waiting.len());
    }
    println!("all after {:?}, {again} asked once more", killed.elapsed());
    // The killed node had published nearly everything.
    assert!(
        again < TORRENTS as usize,
        "{again} of {TORRENTS} were not known"
    );
}

#[test]
fn a_node_that_joins_under_load_gets_everything_and_answers_meanwhile() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let one = node(site.udp(), &engine.url(), "one").start();
    let is_over = Arc::new(AtomicBool::new(false));
    announce_torrents(one.ipv4(), 0..50_000, &is_over);
    let load = {
        let (tracker, is_over) = (one.ipv4(), is_over.clone());
        thread::spawn(move || announce_torrents(tracker, 50_000..5_000_000, &is_over))
    };
    eventually("the load", || (torrents(&one) > 51_000.0).then_some(()));
    let late = node(site.udp(), &engine.url(), "late").start();
    let times = {
        let (url, is_over) = (Url::Udp(late.ipv4()), is_over.clone());
        thread::spawn(move || round_trips(url, &is_over))
    };
    eventually("what was there before", || {
        (torrents(&late) >= 50_000.0).then_some(())
    });
    is_over.store(true, Ordering::Relaxed);
    let more = load.join().expect("the load ends");
    let times = times.join().expect("all are answered");
    let longest = times.last().copied().unwrap_or_default();
    println!(
        "{more} announces meanwhile; of {} to the late one, the longest took {longest:?}",
        times.len()
    );
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    // The first node also has to get the torrent that was announced to the late one.
    eventually("all that came meanwhile", || {
        let [one, late] = [&one, &late].map(torrents);
        (one == late && one > 50_000.0).then_some(())
    });
}
