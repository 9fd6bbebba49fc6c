//! An announce to one daemon is visible at the other.

use std::thread;
use std::time::Duration;

use crate::client::{Event, leecher, seeder};
use crate::pair::{Pair, await_counts};

#[test]
fn peers_that_announced_to_one_are_found_at_the_other() {
    let pair = Pair::start();
    for (urls, torrent) in [(pair.ipv4(), 'a'), (pair.ipv6(), 'a')] {
        let [udp, http] = urls;
        assert!(udp.announce(seeder(torrent, 1001)).ports.is_empty());
        await_counts(http, torrent, [1, 0, 0]);
        let found = http.announce(leecher(torrent, 1002));
        assert_eq!((found.seeders, found.leechers), (1, 0));
        assert_eq!(found.ports, [1001]);
        await_counts(udp, torrent, [1, 1, 0]);
        let found = udp.announce(leecher(torrent, 1003));
        assert_eq!((found.seeders, found.leechers), (1, 1));
        assert_eq!(found.ports, [1001, 1002]);
        await_counts(http, torrent, [1, 2, 0]);
    }
}

#[test]
fn a_peer_stops_at_either() {
    let pair = Pair::start();
    for urls in [pair.ipv4(), pair.ipv6()] {
        for (first, second) in [(0, 1), (1, 0)] {
            let [one, other] = [urls[first], urls[second]];
            one.announce(seeder('a', 1001));
            one.announce(leecher('a', 1002));
            await_counts(other, 'a', [1, 1, 0]);
            other.announce(seeder('a', 1001).with(Event::Stopped));
            await_counts(one, 'a', [0, 1, 0]);
            one.announce(leecher('a', 1002).with(Event::Stopped));
            await_counts(other, 'a', [0, 0, 0]);
        }
    }
}

#[test]
fn a_download_that_is_told_to_both_counts_once() {
    let pair = Pair::start();
    let [udp, http] = pair.ipv4();
    // Announced to one after the other, so that the order of changes is certain.
    for (url, other) in [(udp, http), (http, udp)] {
        for torrent in ['a', 'b'] {
            url.announce(leecher(torrent, 1001));
            await_counts(other, torrent, [0, 1, 0]);
        }
    }

    udp.announce(seeder('a', 1001).with(Event::Completed));
    await_counts(http, 'a', [1, 0, 1]);
    http.announce(seeder('a', 1001).with(Event::Completed));
    http.announce(seeder('b', 1001).with(Event::Completed));
    await_counts(udp, 'b', [1, 0, 1]);
    udp.announce(seeder('b', 1001).with(Event::Completed));
    // When these announces have arrived, the effects of earlier ones have, too.
    udp.announce(leecher('c', 1001));
    http.announce(leecher('c', 1002));
    for url in [udp, http] {
        await_counts(url, 'c', [0, 2, 0]);
        await_counts(url, 'a', [1, 0, 1]);
        await_counts(url, 'b', [1, 0, 1]);
    }
}

#[test]
fn both_say_that_they_are_linked() {
    let mut pair = Pair::start();
    let [udp, _] = pair.ipv4();
    udp.announce(seeder('a', 1001));
    pair.http
        .await_metric("cluster_records_received_total", &[], 1.0);
    for (name, value) in [
        ("cluster_records_sent_total", 1.0),
        ("cluster_batches_sent_total", 1.0),
        ("cluster_dropped_records_total", 0.0),
        ("cluster_reconnects_total", 0.0),
    ] {
        assert_eq!(pair.udp.metric(name, &[]), value, "{name}");
    }
    for name in [
        "cluster_repeats_total",
        "cluster_gaps_total",
        "cluster_rejected_total",
        "cluster_rejected_peers_total",
    ] {
        assert_eq!(pair.http.metric(name, &[]), 0.0, "{name}");
    }
    let linked = |line: &str, other| line.contains(&format!("; linked with {other}"));
    let udp = await_status(&mut pair.udp.daemon);
    assert!(linked(&udp, "aquatic-http"), "{udp}");
    let http = await_status(&mut pair.http.daemon);
    assert!(linked(&http, "aquatic-udp"), "{http}");
    assert!(http.contains("; 1 torrents; "), "{http}");
}

/// The next status line that says with which daemon this one is linked.
fn await_status(daemon: &mut aquatic_test_harness::Daemon) -> String {
    aquatic_test_harness::eventually("status line", || {
        let lines = daemon.messages().iter().rev();
        let mut status = lines.filter(|line| line.starts_with("STATUS="));
        status
            .next()
            .filter(|line| line.contains("linked with") && !line.contains("; 0 torrents"))
            .cloned()
    })
}

#[test]
fn peers_expire_at_both_at_the_age_of_who_was_asked() {
    let short = [
        ("cleaning.max_peer_age", "4"),
        ("cleaning.torrent_cleaning_interval", "1"),
    ];
    let long = [
        ("cleaning.max_peer_age", "20"),
        ("cleaning.torrent_cleaning_interval", "1"),
    ];
    let pair = Pair::with(&short, &long);
    let [udp, http] = pair.ipv4();
    udp.announce(seeder('a', 1001));
    http.announce(seeder('b', 1002));
    await_counts(http, 'a', [1, 0, 0]);
    await_counts(udp, 'b', [1, 0, 0]);
    thread::sleep(Duration::from_secs(2));
    // A scrape, since an announce would be stored for longer than the time that is left.
    assert_eq!(http.scrape('a').seeders, 1);
    await_counts(http, 'a', [0; 3]);
    await_counts(udp, 'a', [0; 3]);
    thread::sleep(Duration::from_secs(2));
    for url in [udp, http] {
        assert_eq!(url.scrape('b').seeders, 1, "{url:?}");
    }
}

/// With an interval of 5 s, refreshes are stored when less than 66 s are left. Here the
/// peer lives for 68 s, so that its announces in the first two seconds are not stored;
/// later ones are stored, and sent to the other daemon.
#[test]
fn announces_that_are_not_stored_are_not_told_and_later_ones_are() {
    let settings = [
        ("protocol.peer_announce_interval", "5"),
        ("cleaning.max_peer_age", "70"),
    ];
    let pair = Pair::with(&settings, &settings);
    let [udp, _] = pair.ipv4();
    udp.announce(seeder('a', 1001));
    pair.http
        .await_metric("cluster_records_received_total", &[], 1.0);
    for _ in 0..3 {
        udp.announce(seeder('a', 1001).with(Event::Regular));
    }
    thread::sleep(Duration::from_millis(100));
    assert_eq!(pair.udp.metric("cluster_records_sent_total", &[]), 1.0);
    thread::sleep(Duration::from_secs(5));
    udp.announce(seeder('a', 1001).with(Event::Regular));
    pair.http
        .await_metric("cluster_records_received_total", &[], 2.0);
}
