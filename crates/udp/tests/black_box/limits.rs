//! Limits, and replies when they are reached.

use crate::tracker::{Tracker, UdpTracker as _};
use crate::wire::{Announce, COMPLETED, STOPPED, hash};

fn stopped(announce: Announce) -> Announce {
    Announce {
        event: STOPPED,
        ..announce
    }
}

#[test]
fn torrents_are_limited() {
    let tracker = Tracker::with(&[("limits.max_torrents", "2")]);
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    client.announce(&Announce::seeder(hash(2), 1001));
    let refused = client.try_announce(&Announce::seeder(hash(3), 1001));
    assert!(refused.unwrap_err().contains("maximum of torrents"));
    assert_eq!(tracker.rejected("max_torrents"), 1.0);
    // Known torrents are still served.
    client.announce(&Announce::leecher(hash(1), 1002));
    // When a torrent has been removed, another can be added.
    client.announce(&stopped(Announce::seeder(hash(2), 1001)));
    client.announce(&Announce::seeder(hash(3), 1001));
}

#[test]
fn both_families_share_the_limit_of_torrents() {
    let tracker = Tracker::with(&[("limits.max_torrents", "2")]);
    let (mut four, mut six) = (tracker.client(), tracker.client_ipv6());
    // The same info hash in both families counts as two torrents, as it uses memory
    // twice.
    for client in [&mut four, &mut six] {
        client.announce(&Announce::seeder(hash(1), 1001));
    }
    for client in [&mut four, &mut six] {
        let refused = client.try_announce(&Announce::seeder(hash(2), 1001));
        assert!(refused.unwrap_err().contains("maximum of torrents"));
    }
}

#[test]
fn download_counts_do_not_outgrow_the_limit_of_torrents() {
    let tracker = Tracker::with(&[("limits.max_torrents", "2")]);
    let mut client = tracker.client();
    for byte in 1..=20 {
        let mut completed = Announce::seeder(hash(byte), 1001);
        completed.event = COMPLETED;
        client.announce(&completed);
        client.announce(&stopped(Announce::seeder(hash(byte), 1001)));
    }
    let hashes: Vec<_> = (1..=20).map(hash).collect();
    let counts = client.scrape(&hashes);
    let kept = counts.iter().filter(|counts| counts.completed > 0).count();
    assert!(kept <= 2, "{kept} torrents without peers are kept");
}

#[test]
fn peers_of_a_torrent_are_limited() {
    let tracker = Tracker::with(&[("limits.max_peers_per_torrent", "3")]);
    let mut client = tracker.client();
    for port in 1001..=1003 {
        client.announce(&Announce::leecher(hash(1), port));
    }
    let refused = client.try_announce(&Announce::leecher(hash(1), 1004));
    assert!(refused.unwrap_err().contains("maximum of peers"));
    assert_eq!(tracker.rejected("max_peers_per_torrent"), 1.0);
    // Known peers stay, and each torrent has its own limit.
    client.announce(&Announce::seeder(hash(1), 1001));
    client.announce(&Announce::leecher(hash(2), 1004));
    client.announce(&stopped(Announce::leecher(hash(1), 1002)));
    client.announce(&Announce::leecher(hash(1), 1004));
    assert_eq!(client.scrape(&[hash(1)])[0].leechers, 2);
}

#[test]
fn peers_of_an_address_are_limited() {
    let tracker = Tracker::with(&[("limits.max_peers_per_ip", "2")]);
    let mut client = tracker.client();
    client.announce(&Announce::leecher(hash(1), 1001));
    client.announce(&Announce::leecher(hash(2), 1001));
    let refused = client.try_announce(&Announce::leecher(hash(3), 1001));
    assert!(refused.unwrap_err().contains("maximum of peers"));
    let refused = client.try_announce(&Announce::leecher(hash(1), 1002));
    assert!(refused.is_err());
    assert_eq!(tracker.rejected("max_peers_per_ip"), 2.0);
    // The limit affects neither known peers nor other addresses, including those of the
    // other family.
    client.announce(&Announce::seeder(hash(1), 1001));
    tracker
        .client_at(9)
        .announce(&Announce::leecher(hash(1), 1001));
    tracker
        .client_ipv6()
        .announce(&Announce::leecher(hash(1), 1001));
    client.announce(&stopped(Announce::leecher(hash(2), 1001)));
    client.announce(&Announce::leecher(hash(3), 1001));
}

#[test]
fn peers_of_an_address_are_counted_down_when_they_are_forgotten() {
    let tracker = Tracker::with(&[
        ("limits.max_peers_per_ip", "2"),
        ("cleaning.max_peer_age", "1"),
        ("cleaning.torrent_cleaning_interval", "1"),
    ]);
    let mut client = tracker.client();
    client.announce(&Announce::leecher(hash(1), 1001));
    client.announce(&Announce::leecher(hash(2), 1001));
    aquatic_test_harness::eventually("there is room again", || {
        client.try_announce(&Announce::leecher(hash(3), 1001)).ok()
    });
}
