//! Access list, snapshot, several workers, and metrics.

use aquatic_test_harness::{Signal, http};

use crate::tracker::{HttpTracker as _, PLAIN, TLS, Tracker, new_place};

#[test]
fn the_access_list_can_be_exchanged() {
    let mut place = new_place(PLAIN);
    place.set("access_list.mode", "\"allow\"");
    place.set_path("access_list.path", "list");
    place.setup.write("list", "61".repeat(20));
    let mut tracker = place.start();
    let mut client = tracker.client();
    assert!(client.announce('a', 1, "").starts_with("d8:complete"));
    let refused = client.announce('b', 1, "");
    let message = "d14:failure reason38:torrent is not allowed on this tracker8:retry ini30ee";
    assert_eq!(refused, message);
    assert_eq!(tracker.rejected("forbidden"), 1.0);

    tracker.place.setup.write("list", "62".repeat(20));
    tracker.daemon.reload(Signal::SIGHUP);
    assert_eq!(client.announce('a', 1, ""), message);
    assert!(client.announce('b', 1, "").starts_with("d8:complete"));
    // Torrents that are now forbidden are removed.
    tracker.await_metric("torrents", &[], 1.0);
}

#[test]
fn peers_and_downloads_survive_a_restart() {
    let mut place = new_place(PLAIN);
    place.set_path("snapshot.path", "snapshot");
    let tracker = place.start();
    tracker.client().announce('a', 1, "&left=0&event=completed");
    tracker.client_ipv6().announce('a', 1, "");
    let tracker = tracker.restart();
    let body = tracker.client().announce('a', 2, "");
    assert!(body.starts_with("d8:completei1e10:downloadedi1e"), "{body}");
    assert!(
        body.ends_with("5:peers6:\\x7f\\x00\\x00\\x01\\x00\\x01e"),
        "{body}"
    );
    tracker.await_metric("peers", &[("family", "ipv6")], 1.0);
}

/// The snapshot's time is in the future, and it has no boot id.
#[test]
fn snapshots_of_version_1_are_read() {
    let mut place = new_place(PLAIN);
    place.set_path("snapshot.path", "snapshot");
    let snapshot = include_bytes!("../snapshots/version-1.snapshot");
    place.setup.write("snapshot", snapshot);
    let tracker = place.start();
    let body = tracker.client().announce('a', 4, "&left=0");
    let counts = "d8:completei1e10:downloadedi7e";
    assert!(body.starts_with(counts), "{body}");
    assert!(body.contains("10:incompletei1e"), "{body}");
    // Seeders are not sent other seeders.
    let peer = "5:peers6:\\x7f\\x00\\x00\\x03\\x03\\xeae";
    assert!(body.ends_with(peer), "{body}");
    assert_eq!(tracker.metric("peers", &[("family", "ipv6")]), 1.0);
    assert_eq!(tracker.metric("retired_torrents", &[]), 1.0);
}

#[test]
fn peers_outlive_a_clock_that_is_set() {
    let mut place = new_place(PLAIN);
    place.set_path("snapshot.path", "snapshot");
    if !place.setup.set_clock("-40y") {
        return;
    }
    let mut tracker = place.start();
    tracker.client().announce('a', 1, "");
    for offset in ["+0", "-3d", "+90m"] {
        let Tracker { mut place, daemon } = tracker;
        daemon.stop();
        assert!(place.setup.set_clock(offset));
        tracker = place.start();
        assert_eq!(tracker.metric("peers", &[]), 1.0, "{offset}");
    }
}

#[test]
fn workers_share_the_swarm() {
    let tracker = Tracker::with(PLAIN, &[("socket_workers", "4")]);
    // With this many connections, every worker gets some.
    for port in 1..=100 {
        tracker.client().announce('a', port, "");
    }
    assert_eq!(tracker.metric("peers", &[]), 100.0);
    assert_eq!(tracker.metric("connections_accepted_total", &[]), 100.0);
}

#[test]
fn peers_are_forgotten() {
    let settings = [
        ("cleaning.torrent_cleaning_interval", "1"),
        ("cleaning.max_peer_age", "1"),
    ];
    let tracker = Tracker::with(PLAIN, &settings);
    tracker.client().announce('a', 1, "");
    tracker.await_metric("peers", &[], 0.0);
}

#[test]
fn metrics_name_what_was_asked_for() {
    let tracker = Tracker::start(PLAIN);
    let mut client = tracker.client();
    client.announce('a', 1, "");
    client.get("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa");
    client.get("/health");
    tracker.client_ipv6().announce('a', 1, "");
    for (family, kind, count) in [
        ("ipv4", "announce", 1.0),
        ("ipv4", "scrape", 1.0),
        ("ipv4", "page", 1.0),
        ("ipv6", "announce", 1.0),
        ("ipv6", "scrape", 0.0),
    ] {
        let labels = [("family", family), ("kind", kind)];
        assert_eq!(
            tracker.metric("requests_total", &labels),
            count,
            "{labels:?}"
        );
    }
    let json = http::get(tracker.place.metrics.ipv4(), "/stats.json");
    assert!(
        json.body.contains("\"aquatic_http_torrents\""),
        "{}",
        json.body
    );
}

#[test]
fn the_manual_describes_all_metrics() {
    let place = new_place(TLS).with_all_metrics();
    let tracker = place.start().restart();
    tracker.client().announce('a', 1, "");
    tracker.await_there("snapshot_bytes");
    tracker.compare_with_manual(|name| name.contains("_cluster_"));
}
