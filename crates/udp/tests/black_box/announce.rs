//! Announces, and the peers in their replies.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::tracker::{Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, COMPLETED, Counts, NONE, PAUSED, STOPPED, hash};

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[test]
fn peers_get_each_other_but_not_themselves() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let first = client.announce(&Announce::seeder(hash(1), 1001));
    assert_eq!((first.seeders, first.leechers), (0, 0));
    assert_eq!(first.peers, []);
    assert_eq!(first.length, 20);
    assert_eq!(first.interval, 900);

    let second = client.announce(&Announce::leecher(hash(1), 1002));
    assert_eq!((second.seeders, second.leechers), (1, 0));
    assert_eq!(second.peers, [local(1001)]);
    let third = client.announce(&Announce::leecher(hash(1), 1003));
    assert_eq!((third.seeders, third.leechers), (1, 1));
    assert_eq!(third.peers, [local(1001), local(1002)]);

    // Announcing again changes nothing.
    let again = client.announce(&Announce::leecher(hash(1), 1003));
    assert_eq!(again, third);
    // Other torrents are not affected.
    let other = client.announce(&Announce::leecher(hash(2), 1003));
    assert_eq!(
        (other.seeders, other.leechers, other.peers.len()),
        (0, 0, 0)
    );
}

#[test]
fn a_peer_is_its_source_address_and_announced_port() {
    let tracker = Tracker::start();
    let (mut near, mut far) = (tracker.client(), tracker.client_at(77));
    // The address in the request is ignored, whatever it is.
    near.announce(&Announce {
        address: [10, 9, 8, 7],
        ..Announce::leecher(hash(1), 1001)
    });
    far.announce(&Announce::leecher(hash(1), 1001));
    let seen = far.announce(&Announce::leecher(hash(1), 1002));
    let expected = [local(1001), (Ipv4Addr::new(127, 0, 0, 77), 1001).into()];
    assert_eq!(seen.peers, expected);
    // With the same address and port, another peer id is the same peer.
    near.announce(&Announce {
        peer_id: [9; 20],
        ..Announce::leecher(hash(1), 1001)
    });
    assert_eq!(far.scrape(&[hash(1)])[0].leechers, 3);
}

#[test]
fn as_many_peers_are_returned_as_are_wanted() {
    let tracker = Tracker::with(&[("protocol.max_response_peers", "5")]);
    let mut client = tracker.client();
    for port in 1001..=1008 {
        client.announce(&Announce::leecher(hash(1), port));
    }
    let mut peers = |peers_wanted| {
        let reply = client.announce(&Announce {
            peers_wanted,
            ..Announce::leecher(hash(1), 2000)
        });
        assert_eq!(reply.leechers, 8);
        let mut distinct = reply.peers.clone();
        distinct.dedup();
        assert_eq!(distinct, reply.peers, "nobody is returned twice");
        assert!(!reply.peers.contains(&local(2000)));
        reply.peers.len()
    };
    for unspecified in [-1, 0, i32::MIN] {
        assert_eq!(peers(unspecified), 5, "for {unspecified}");
    }
    for (wanted, returned) in [(1, 1), (3, 3), (5, 5), (6, 5), (i32::MAX, 5)] {
        assert_eq!(peers(wanted), returned, "for {wanted}");
    }
}

#[test]
fn one_peer_is_returned_when_one_is_wanted_and_one_is_there() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    client.announce(&Announce::leecher(hash(1), 1001));
    // Repeated, because peers are chosen at random.
    for _ in 0..50 {
        let reply = client.announce(&Announce {
            peers_wanted: 1,
            ..Announce::leecher(hash(1), 1002)
        });
        assert_eq!(reply.peers, [local(1001)]);
    }
}

#[test]
fn seeders_are_not_sent_other_seeders() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    for port in 1001..=1003 {
        client.announce(&Announce::seeder(hash(1), port));
    }
    client.announce(&Announce::leecher(hash(1), 1004));
    let seeder = client.announce(&Announce::seeder(hash(1), 1001));
    assert_eq!(seeder.peers, [local(1004)]);
    assert_eq!((seeder.seeders, seeder.leechers), (2, 1));
    let leecher = client.announce(&Announce::leecher(hash(1), 1004));
    assert_eq!(leecher.peers, [local(1001), local(1002), local(1003)]);
}

#[test]
fn a_stopped_peer_is_removed_and_gets_no_peers() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    client.announce(&Announce::leecher(hash(1), 1001));
    client.announce(&Announce::seeder(hash(1), 1002));
    let stopped = client.announce(&Announce {
        event: STOPPED,
        ..Announce::leecher(hash(1), 1001)
    });
    assert_eq!(stopped.peers, []);
    assert_eq!((stopped.seeders, stopped.leechers), (1, 0));
    let left = client.announce(&Announce::leecher(hash(1), 1003));
    assert_eq!(left.peers, [local(1002)]);
    // A stop for an unknown torrent does not create it.
    client.announce(&Announce {
        event: STOPPED,
        ..Announce::leecher(hash(2), 1001)
    });
    assert_eq!(client.scrape(&[hash(2)]), [Counts::default()]);
    assert_eq!(tracker.metric("torrents", &[("family", "ipv4")]), 1.0);
}

#[test]
fn a_leecher_becomes_a_seeder_and_back() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let mut counts = |announce: Announce| {
        client.announce(&announce);
        let counts = client.scrape(&[hash(1)])[0];
        (counts.seeders, counts.leechers, counts.completed)
    };
    assert_eq!(counts(Announce::leecher(hash(1), 1001)), (0, 1, 0));
    let mut completed = Announce::seeder(hash(1), 1001);
    completed.event = COMPLETED;
    assert_eq!(counts(completed), (1, 0, 1));
    let mut later = Announce::seeder(hash(1), 1001);
    later.event = NONE;
    assert_eq!(counts(later), (1, 0, 1));
    // A client may check its files and find that bytes are missing.
    assert_eq!(counts(Announce::leecher(hash(1), 1001)), (0, 1, 1));
}

#[test]
fn paused_and_unknown_events_are_ordinary_announces() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    for (port, event) in [(1001, PAUSED), (1002, 5), (1003, u32::MAX), (1004, NONE)] {
        client.announce(&Announce {
            event,
            ..Announce::leecher(hash(1), port)
        });
    }
    let counts = client.scrape(&[hash(1)])[0];
    assert_eq!((counts.leechers, counts.completed), (4, 0));
}

#[test]
fn port_zero_is_an_error_and_not_stored() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let error = client
        .try_announce(&Announce::leecher(hash(1), 0))
        .unwrap_err();
    assert_eq!(error, "port must not be 0");
    assert_eq!(client.scrape(&[hash(1)]), [Counts::default()]);
    assert_eq!(tracker.rejected("port_zero"), 1.0);
}

#[test]
fn ipv6_peers_are_returned_with_their_addresses() {
    let tracker = Tracker::start();
    let mut client = tracker.client_ipv6();
    client.announce(&Announce::seeder(hash(1), 1001));
    let reply = client.announce(&Announce::leecher(hash(1), 1002));
    assert_eq!(reply.length, 20 + 18);
    assert_eq!(reply.peers, [(Ipv6Addr::LOCALHOST, 1001).into()]);
}

#[test]
fn ipv4_and_ipv6_are_swarms_apart() {
    let tracker = Tracker::start();
    let (mut four, mut six) = (tracker.client(), tracker.client_ipv6());
    four.announce(&Announce::seeder(hash(1), 1001));
    let reply = six.announce(&Announce::leecher(hash(1), 1002));
    assert_eq!(
        (reply.seeders, reply.leechers, reply.peers.len()),
        (0, 0, 0)
    );
    assert_eq!(four.scrape(&[hash(1)])[0].seeders, 1);
    assert_eq!(four.scrape(&[hash(1)])[0].leechers, 0);
    assert_eq!(six.scrape(&[hash(1)])[0].leechers, 1);
}

#[test]
fn the_largest_replies_are_complete() {
    // The longest replies without fragmentation: 1472 bytes over IPv4, 1452 over IPv6.
    for (is_ipv6, peers, length) in [(false, 242, 1472), (true, 79, 1452)] {
        let mut place = new_place();
        if !is_ipv6 {
            let address = format!("\"{}\"", place.port.ipv4());
            place.set("network.address", &address);
        }
        place.set("protocol.max_response_peers", &peers.to_string());
        let tracker = place.start();
        let mut client = if is_ipv6 {
            tracker.client_ipv6()
        } else {
            tracker.client()
        };
        for port in 1001..=1300 {
            client.announce(&Announce::leecher(hash(1), port));
        }
        let reply = client.announce(&Announce::leecher(hash(1), 1001));
        assert_eq!(reply.peers.len(), peers);
        assert!(reply.length <= length, "{} bytes", reply.length);
        assert_eq!(reply.length, 20 + peers * if is_ipv6 { 18 } else { 6 });
    }
}

#[test]
fn all_peers_of_a_large_swarm_are_returned_sooner_or_later() {
    let tracker = Tracker::with(&[("protocol.max_response_peers", "10")]);
    let mut client = tracker.client();
    for port in 1001..=1100 {
        client.announce(&Announce::leecher(hash(1), port));
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2000 {
        seen.extend(client.announce(&Announce::leecher(hash(1), 2000)).peers);
        if seen.len() == 100 {
            return;
        }
    }
    panic!("only {} of 100 peers were ever returned", seen.len());
}

#[test]
fn peers_are_forgotten_when_they_do_not_announce_again() {
    let tracker = Tracker::with(&[
        ("cleaning.max_peer_age", "2"),
        ("cleaning.torrent_cleaning_interval", "1"),
        ("protocol.peer_announce_interval", "1"),
    ]);
    let mut client = tracker.client();
    client.announce(&Announce::leecher(hash(1), 1001));
    let mut completed = Announce::seeder(hash(2), 1002);
    completed.event = COMPLETED;
    client.announce(&completed);
    assert_eq!(tracker.metric("peers", &[]), 2.0);
    aquatic_test_harness::eventually("both peers are forgotten", || {
        // A peer that continues to announce stays.
        client.announce(&Announce::leecher(hash(3), 1003));
        let counts = client.scrape(&[hash(1), hash(2)]);
        (counts[0].leechers + counts[1].seeders == 0).then_some(())
    });
    let counts = client.scrape(&[hash(2), hash(3)]);
    assert_eq!((counts[0].completed, counts[1].leechers), (1, 1));
    aquatic_test_harness::eventually("the empty torrent is removed", || {
        client.announce(&Announce::leecher(hash(3), 1003));
        (tracker.metric("torrents", &[]) <= 2.0).then_some(())
    });
}
