//! Metrics about the running tracker.

use aquatic_test_harness::{Signal, eventually, http};

use crate::tracker::{Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, COMPLETED, hash};

#[test]
fn requests_and_replies_are_counted_by_kind() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let mut six = tracker.client_ipv6();
    for port in 1001..=1003 {
        client.announce(&Announce::leecher(hash(1), port));
    }
    six.announce(&Announce::leecher(hash(1), 1001));
    client.scrape(&[hash(1)]);
    client
        .try_announce(&Announce::leecher(hash(1), 0))
        .unwrap_err();

    for (name, family, kind, count) in [
        ("requests_total", "ipv4", "connect", 1.0),
        ("requests_total", "ipv4", "announce", 4.0),
        ("requests_total", "ipv4", "scrape", 1.0),
        ("requests_total", "ipv6", "connect", 1.0),
        ("requests_total", "ipv6", "announce", 1.0),
        ("requests_total", "ipv6", "scrape", 0.0),
        ("replies_total", "ipv4", "connect", 1.0),
        ("replies_total", "ipv4", "announce", 3.0),
        ("replies_total", "ipv4", "scrape", 1.0),
        ("replies_total", "ipv4", "error", 1.0),
        ("replies_total", "ipv6", "announce", 1.0),
        ("replies_total", "ipv6", "error", 0.0),
    ] {
        let labels = [("family", family), ("kind", kind)];
        assert_eq!(tracker.metric(name, &labels), count, "{name} {labels:?}");
    }
    let four = [("family", "ipv4")];
    assert_eq!(
        tracker.metric("received_bytes_total", &four),
        16.0 + 4.0 * 98.0 + 36.0
    );
}

#[test]
fn the_swarm_is_counted() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    let mut completed = Announce::seeder(hash(1), 1001);
    completed.event = COMPLETED;
    client.announce(&completed);
    client.announce(&Announce::leecher(hash(1), 1002));
    client.announce(&Announce::leecher(hash(2), 1002));
    tracker
        .client_ipv6()
        .announce(&Announce::seeder(hash(1), 1001));
    for (name, family, count) in [
        ("torrents", "ipv4", 2.0),
        ("peers", "ipv4", 3.0),
        ("seeders", "ipv4", 1.0),
        ("leechers", "ipv4", 2.0),
        ("completed_total", "ipv4", 1.0),
        ("torrents", "ipv6", 1.0),
        ("peers", "ipv6", 1.0),
        ("seeders", "ipv6", 1.0),
        ("completed_total", "ipv6", 0.0),
    ] {
        assert_eq!(
            tracker.metric(name, &[("family", family)]),
            count,
            "{name} {family}"
        );
    }
}

#[test]
fn every_reason_is_there_from_the_start() {
    let tracker = Tracker::start();
    for reason in [
        "malformed",
        "bad_connection_id",
        "port_zero",
        "source_port_zero",
        "forbidden",
        "max_torrents",
        "max_peers_per_torrent",
        "max_peers_per_ip",
    ] {
        assert_eq!(tracker.rejected(reason), 0.0, "{reason}");
    }
    assert_eq!(tracker.metric("receive_buffer_drops_total", &[]), 0.0);
    for name in tracker.samples().names() {
        let is_named = name.starts_with("aquatic_udp_") || name.starts_with("process_");
        assert!(is_named, "{name}");
    }
}

#[test]
fn memory_and_the_age_of_files_are_reported() {
    let mut place = new_place();
    place.setup.write("list", "");
    place.set("access_list.mode", "\"deny\"");
    place.set_path("access_list.path", "list");
    place.set_path("snapshot.path", "snapshot");
    let tracker = place.start().restart();
    let samples = tracker.samples();
    for part in ["memory", "access_list", "snapshot"] {
        assert!(samples.names().any(|name| name.contains(part)), "{part}");
    }
}

#[test]
fn pages_have_their_forms() {
    let tracker = Tracker::start();
    let address = tracker.place.metrics.ipv4();
    let metrics = http::get(address, "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .field("content-type")
            .unwrap()
            .starts_with("text/plain")
    );

    let json = http::get(address, "/stats.json");
    assert_eq!(json.status, 200);
    assert_eq!(json.field("content-type"), Some("application/json"));
    assert!(json.body.trim_start().starts_with('{'), "{}", json.body);
    assert!(json.body.contains("torrents"), "{}", json.body);

    assert_eq!(http::get(address, "/health").status, 200);
    assert_eq!(http::get(address, "/nothing").status, 404);
}

#[test]
fn the_status_page_shows_how_the_tracker_is() {
    let mut place = new_place().with(&[
        ("metrics.peer_clients", "true"),
        ("access_list.mode", "\"deny\""),
    ]);
    place.setup.write("list", "11".repeat(20));
    place.set_path("access_list.path", "list");
    let mut tracker = place.start();
    tracker.client().announce(&Announce {
        peer_id: *b"-TR4060-abcdefghijkl",
        ..Announce::leecher(hash(1), 1001)
    });
    let address = tracker.place.metrics.ipv4();
    let page = http::get(address, "/");
    assert_eq!(page.status, 200);
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("x-frame-options"), Some("DENY"));
    assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for part in [
        tracker.ipv4().to_string(),
        tracker.ipv6().to_string(),
        "Healthy".to_owned(),
        "Transmission 4.0.6".to_owned(),
        "torrents on the list are not served".to_owned(),
        "none since the start".to_owned(),
    ] {
        assert!(page.body.contains(&part), "{part}\n{}", page.body);
    }

    // The page reports a list that cannot be read until a reload succeeds.
    tracker
        .place
        .setup
        .write("list", "<script>alert(1)</script>");
    tracker.daemon.reload(Signal::SIGHUP);
    let page = http::get(address, "/").body;
    assert!(page.contains("Healthy, with problems"), "{page}");
    assert!(page.contains("the last reload failed"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
    tracker.place.setup.write("list", "");
    tracker.daemon.reload(Signal::SIGHUP);
    let page = http::get(address, "/").body;
    assert!(page.contains("succeeded"), "{page}");
    assert!(!page.contains("with problems"), "{page}");
}

#[test]
fn there_is_no_page_unless_an_address_is_set() {
    let mut place = new_place();
    place.set("metrics.address", "\"\"");
    let tracker = place.start();
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
    std::net::TcpStream::connect(tracker.place.metrics.ipv4()).unwrap_err();
}

#[test]
fn a_metrics_port_in_use_is_an_error() {
    let place = new_place();
    let _other = std::net::TcpListener::bind(place.metrics.ipv4()).unwrap();
    let (code, log) = place.start_in_vain();
    assert_ne!(code, Some(0));
    let address = place.metrics.ipv4().to_string();
    assert!(log.contains(&address) && log.contains("in use"), "{log}");
}

#[test]
fn client_software_is_counted_when_asked_for() {
    let name = "aquatic_udp_client_announces_total";
    let announce = Announce {
        peer_id: *b"-TR3000-abcdefghijkl",
        ..Announce::leecher(hash(1), 1001)
    };
    let tracker = Tracker::start();
    tracker.client().announce(&announce);
    assert_eq!(tracker.samples().sum(name, &[]), None);

    let tracker = Tracker::with(&[
        ("metrics.peer_clients", "true"),
        ("metrics.peer_id_prefixes", "true"),
    ]);
    let mut client = tracker.client();
    client.announce(&announce);
    // A peer id can be any 20 bytes, and must not break the metrics page, which is text.
    client.announce(&Announce {
        peer_id: *b"\"\\\n\x00\xff{}=,\" 1\n#HELP\r\x1b",
        ..announce.clone()
    });
    let page = http::get(tracker.place.metrics.ipv4(), "/metrics").body;
    assert!(page.contains("Transmission"), "{page}");
    let samples = tracker.samples();
    assert_eq!(samples.sum(name, &[]), Some(2.0));
    let prefix = [("prefix", "-TR3000-")];
    let sum = samples.sum("aquatic_udp_peer_id_prefix_announces_total", &prefix);
    assert_eq!(sum, Some(1.0), "{page}");
    assert_eq!(
        http::get(tracker.place.metrics.ipv4(), "/stats.json").status,
        200
    );
}

#[test]
fn the_manual_describes_all_metrics() {
    let place = new_place().with_all_metrics();
    let tracker = place.start().restart();
    tracker.client().announce(&Announce::leecher(hash(1), 1001));
    tracker.await_there("snapshot_bytes");
    tracker.compare_with_manual(|name| name.contains("_cluster_"));
}

#[test]
fn the_status_page_lists_the_largest_torrents_when_asked_for() {
    let tracker = Tracker::with(&[
        ("metrics.largest_torrents", "1"),
        ("network.public_url", "\"udp://tracker.test:3000\""),
    ]);
    let address = tracker.place.metrics.ipv4();
    eventually("a first list", || {
        let page = http::get(address, "/").body;
        page.contains("There were no torrents with peers ")
            .then_some(())
    });
    let page = http::get(address, "/").body;
    assert!(page.contains("tracker.test:3000</code>"), "{page}");

    let mut place = new_place().with(&[("metrics.largest_torrents", "1")]);
    place.set_path("snapshot.path", "snapshot");
    let tracker = place.start();
    let mut client = tracker.client();
    for port in 1001..=1003 {
        client.announce(&Announce::leecher(hash(1), port));
    }
    client.announce(&Announce::seeder(hash(2), 1001));
    let tracker = tracker.restart();
    let address = tracker.place.metrics.ipv4();
    let row = "<td>0</td><td>3</td><td>0</td>";
    eventually("the largest torrent", || {
        http::get(address, "/").body.contains(row).then_some(())
    });
    let page = http::get(address, "/").body;
    assert!(
        page.contains(&format!("<code>{}</code>", "01".repeat(20))),
        "{page}"
    );
    assert!(!page.contains(&"02".repeat(20)), "{page}");

    // By default, info hashes are not shown.
    let tracker = Tracker::start();
    tracker.client().announce(&Announce::leecher(hash(1), 1001));
    let page = http::get(tracker.place.metrics.ipv4(), "/").body;
    assert!(!page.contains("Largest torrents"), "{page}");
}
