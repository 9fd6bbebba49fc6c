//! Reloads of the configuration while clients are served.

use aquatic_test_harness::waiting::eventually;

use crate::tracker::{Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, hash};

/// Keys that need a restart, besides those that need one in all trackers.
const NEED_RESTART: &[&str] = &["network.socket_recv_buffer_size"];

#[test]
fn changed_keys_take_effect() {
    let mut tracker = Tracker::start();
    let mut client = tracker.client();
    for port in 1001..1005 {
        client.announce(&Announce::seeder(hash(1), port));
    }
    let announced = client.announce(&Announce::leecher(hash(1), 2001));
    assert_eq!((announced.interval, announced.peers.len()), (900, 4));

    tracker.reload_with(&[
        ("protocol.peer_announce_interval", "1000"),
        ("protocol.max_response_peers", "2"),
        ("protocol.max_scrape_torrents", "1"),
        ("limits.max_torrents", "1"),
        ("limits.max_peers_per_torrent", "5"),
    ]);
    let announced = client.announce(&Announce::leecher(hash(1), 2001));
    assert_eq!((announced.interval, announced.peers.len()), (1000, 2));
    assert_eq!(client.scrape(&[hash(1), hash(2)]).len(), 1);
    for (announce, reason) in [
        (Announce::leecher(hash(2), 2001), "max_torrents"),
        (Announce::leecher(hash(1), 2002), "max_peers_per_torrent"),
    ] {
        assert!(client.try_announce(&announce).is_err(), "{reason}");
        assert_eq!(tracker.rejected(reason), 1.0);
    }

    // A new limit also counts peers that are known already.
    tracker.reload_with(&[
        ("limits.max_torrents", "100"),
        ("limits.max_peers_per_torrent", "100"),
        ("limits.max_peers_per_ip", "5"),
        ("metrics.peer_clients", "true"),
    ]);
    let mut port = 3000;
    eventually("a peer too many", || {
        port += 1;
        let announce = Announce::leecher(hash(3), port);
        client.try_announce(&announce).err().map(drop)
    });
    tracker.await_there("client_announces_total");

    tracker.place.set_path("scrape_exports.path", "export");
    tracker.reload_with(&[
        ("scrape_exports.enable_scrape_exports", "true"),
        ("limits.max_peers_per_ip", "0"),
    ]);
    client.announce(&Announce::leecher(hash(4), 4001));
}

#[test]
fn a_lower_age_of_connection_ids_applies_at_once() {
    let mut tracker = Tracker::start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    tracker.reload_with(&[("cleaning.max_connection_age", "1")]);
    let announce = Announce::seeder(hash(1), 1001);
    client.expect_silence(&announce.bytes(client.connection_id, 7));
    client.connect();
    client.announce(&announce);
}

/// Every request is answered while each key is changed.
#[test]
fn each_key_is_taken_over_or_needs_a_restart() {
    let mut place = new_place();
    place.setup.write("list", "");
    place.set_path("access_list.path", "list");
    let mut tracker = place.start();
    let values = [
        (
            "network.public_url",
            Some("\"udp://tracker.example.org:3000\""),
        ),
        // The client of this test is at such an address.
        ("network.reject_special_addresses", None),
        // Clients without a key would not be served.
        ("keys.path", None),
        // It requires keys.
        ("accounting.path", None),
        // It requires a cluster.
        ("accounting.stream", None),
    ];
    let mut client = tracker.client();
    tracker.reload_each_key(NEED_RESTART, &values, || {
        // These panic if a request is not answered.
        client.announce(&Announce::leecher(hash(1), 1001));
        client.scrape(&[hash(1)]);
    });
}
