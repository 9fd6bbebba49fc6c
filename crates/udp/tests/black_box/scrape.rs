//! Scrapes.

use crate::tracker::{Tracker, UdpTracker as _};
use crate::wire::{self, Announce, COMPLETED, Counts, Hash, SCRAPE, hash};

#[test]
fn a_scrape_counts_every_peer() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    client.announce(&Announce::leecher(hash(1), 1002));
    client.announce(&Announce::leecher(hash(1), 1003));
    client.announce(&Announce::leecher(hash(3), 1002));
    let expected = [(1, 2), (0, 0), (0, 1)].map(|(seeders, leechers)| Counts {
        seeders,
        leechers,
        completed: 0,
    });
    // The second torrent is unknown: its counts are zero, and it is not created.
    assert_eq!(client.scrape(&[hash(1), hash(2), hash(3)]), expected);
    assert_eq!(tracker.metric("torrents", &[]), 2.0);
}

#[test]
fn the_same_torrent_can_be_asked_for_twice() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    let counts = client.scrape(&[hash(1), hash(1)]);
    assert_eq!((counts[0].seeders, counts[1].seeders), (1, 1));
}

#[test]
fn a_download_is_counted_once() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let mut completed = Announce::seeder(hash(1), 1001);
    completed.event = COMPLETED;
    client.announce(&Announce::leecher(hash(1), 1001));
    client.announce(&completed);
    // A client repeats the announce if the reply was lost.
    client.announce(&completed);
    assert_eq!(client.scrape(&[hash(1)])[0].completed, 1);
    let mut another = completed;
    another.port = 1002;
    client.announce(&Announce::leecher(hash(1), 1002));
    client.announce(&another);
    assert_eq!(client.scrape(&[hash(1)])[0].completed, 2);
}

#[test]
fn a_scrape_of_too_many_is_answered_for_the_first_of_them() {
    let tracker = Tracker::with(&[("protocol.max_scrape_torrents", "3")]);
    let mut client = tracker.client();
    for byte in 1..=5 {
        client.announce(&Announce::seeder(hash(byte), 1001));
    }
    let hashes: Vec<Hash> = (1..=5).map(hash).collect();
    let counts = client.scrape(&hashes);
    assert_eq!(counts.len(), 3);
    assert!(counts.iter().all(|counts| counts.seeders == 1));
    // Also if the request does not fit into one packet of the network.
    let hashes: Vec<Hash> = (1..=110).map(hash).collect();
    assert_eq!(client.scrape(&hashes).len(), 3);
}

#[test]
fn the_largest_scrape_is_answered_completely() {
    let tracker = Tracker::with(&[("protocol.max_scrape_torrents", "120")]);
    for mut client in [tracker.client(), tracker.client_ipv6()] {
        // Longer than an Ethernet frame, so that the kernel reassembles it from
        // fragments.
        let hashes: Vec<Hash> = (1..=120).map(hash).collect();
        client.announce(&Announce::seeder(hash(120), 1001));
        let counts = client.scrape(&hashes);
        assert_eq!(counts.len(), 120);
        assert_eq!(counts[119].seeders, 1);
    }
}

#[test]
fn a_scrape_of_everything_is_refused() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    assert!(client.try_scrape(&[]).is_err());
}

#[test]
fn half_an_info_hash_is_an_error() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let transaction = client.next_transaction();
    let mut request = wire::header(client.connection_id, SCRAPE, transaction);
    request.extend([1; 30]);
    let reply = client.ask(&request);
    assert!(wire::checked(&reply, SCRAPE, transaction).is_err());
}

#[test]
fn all_torrents_are_exported() {
    let text = crate::tracker::new_place().export(|tracker| {
        tracker.client().announce(&Announce::seeder(hash(0x61), 1));
        tracker
            .client_ipv6()
            .announce(&Announce::leecher(hash(0x61), 1));
    });
    let hash = "61".repeat(20);
    let expected = format!(
        "info_hash\tfamily\tseeders\tleechers\tcompleted\n{hash}\tipv4\t1\t0\t0\n\
         {hash}\tipv6\t0\t1\t0\n"
    );
    assert_eq!(text, expected);
}
