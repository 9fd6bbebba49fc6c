//! Access list, snapshot, metrics, and churn.

use aquatic_test_harness::{Port, Setup, Signal, http};
use serde_json::json;

use crate::tracker::{KINDS, PLAIN, TLS, Tracker, WsTracker as _, new_place};
use crate::wire::{announce, name, offers};

#[test]
fn first_steps_are_printed_at_a_terminal() {
    let setup = Setup::new(env!("CARGO_BIN_EXE_aquatic-ws"));
    let port = Port::reserve();
    let config = format!("[network]\naddress = '0.0.0.0:{}'\n", port.number());
    let mut terminal = setup.start_on_terminal(&config);
    let shown = terminal.wait_for("To stop: Ctrl-C");
    let url = format!("  ws://127.0.0.1:{}    on this machine\r\n", port.number());
    assert!(shown.contains(&url), "{shown}");
    assert!(
        shown.contains("client.add(torrent, { announce: ["),
        "{shown}"
    );
    assert!(terminal.interrupt().success());
}

#[test]
fn the_access_list_can_be_exchanged() {
    let mut place = new_place(PLAIN);
    place.set("access_list.mode", "\"allow\"");
    place.set_path("access_list.path", "list");
    place.setup.write("list", "61".repeat(20));
    let mut tracker = place.start();
    let mut client = tracker.client();
    client.announce('a', 'p', json!({}));
    let refused = client.ask(&announce('b', 'p', json!({})));
    assert_eq!(
        refused["failure reason"],
        "torrent is not allowed on this tracker"
    );
    assert_eq!(tracker.rejected("forbidden"), 1.0);
    let refused = client.ask(&json!({"action": "scrape", "info_hash": name('b')}));
    assert_eq!(refused["action"], "scrape");
    assert!(refused["failure reason"].is_string());

    tracker.place.setup.write("list", "62".repeat(20));
    tracker.daemon.reload(Signal::SIGHUP);
    client.announce('b', 'p', json!({}));
    // Torrents that are now forbidden are removed.
    tracker.await_metric("torrents", &[], 1.0);
}

#[test]
fn downloads_survive_a_restart_and_peers_do_not() {
    let mut place = new_place(PLAIN);
    place.set_path("snapshot.path", "snapshot");
    let tracker = place.start();
    let mut client = tracker.client();
    client.announce('a', 'p', json!({"left": 0, "event": "completed"}));
    client.announce('b', 'p', json!({}));
    let tracker = tracker.restart();
    let scrape = json!({"action": "scrape", "info_hash": name('a')});
    let files = &tracker.client().ask(&scrape)["files"];
    let expected = json!({"complete": 0, "incomplete": 0, "downloaded": 1});
    assert_eq!(files[name('a')], expected);
    assert_eq!(tracker.metric("peers", &[]), 0.0);
}

#[test]
fn snapshots_of_version_1_are_read() {
    let mut place = new_place(PLAIN);
    place.set_path("snapshot.path", "snapshot");
    let snapshot = include_bytes!("../snapshots/version-1.snapshot");
    place.setup.write("snapshot", snapshot);
    let tracker = place.start();
    let mut client = tracker.client();
    for (torrent, downloaded) in [('a', 7), ('b', 3)] {
        let scrape = json!({"action": "scrape", "info_hash": name(torrent)});
        let files = &client.ask(&scrape)["files"];
        let expected = json!({"complete": 0, "incomplete": 0, "downloaded": downloaded});
        assert_eq!(files[name(torrent)], expected);
    }
}

#[test]
fn a_snapshot_obeys_the_access_list_of_the_next_start() {
    let mut place = new_place(PLAIN);
    place.set_path("snapshot.path", "snapshot");
    // No torrent is removed because of its age.
    place.set("cleaning.torrent_cleaning_interval", "3600");
    let snapshot = include_bytes!("../snapshots/version-1.snapshot");
    place.setup.write("snapshot", snapshot);
    place.setup.write("list", "61".repeat(20));
    place.set("access_list.mode", "\"allow\"");
    place.set_path("access_list.path", "list");
    let tracker = place.start();
    tracker.await_metric("retired_torrents", &[], 1.0);
}

#[test]
fn silent_peers_are_forgotten() {
    let settings = [
        ("cleaning.torrent_cleaning_interval", "1"),
        ("cleaning.max_peer_age", "1"),
    ];
    let tracker = Tracker::with(PLAIN, &settings);
    let mut client = tracker.client();
    client.announce('a', 'p', json!({}));
    tracker.await_metric("peers", &[], 0.0);
    // The connection is still open, and its peer may announce again.
    client.announce('a', 'p', json!({}));
}

#[test]
fn peers_go_with_their_connections() {
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[("socket_workers", "2")]);
        for round in 0..5 {
            let mut clients: Vec<_> = (0..20).map(|_| tracker.client()).collect();
            for (number, client) in clients.iter_mut().enumerate() {
                let peer = char::from(b'A' + number as u8);
                for torrent in "abc".chars() {
                    client.announce(torrent, peer, offers(2, 100));
                }
            }
            assert_eq!(tracker.metric("peers", &[]), 60.0, "{kind:?} {round}");
            drop(clients);
            tracker.await_metric("peers", &[], 0.0);
            tracker.await_metric("connections", &[], 0.0);
        }
    }
}

#[test]
fn metrics_name_what_was_asked_for() {
    let settings = [("metrics.peer_clients", "true")];
    let tracker = Tracker::with(PLAIN, &settings);
    let mut client = tracker.client();
    client.announce('a', 'p', json!({"peer_id": "-WW0208-abcdefghijkl"}));
    client.ask(&json!({"action": "scrape", "info_hash": name('a')}));
    let mut ipv6 = tracker.client_ipv6();
    ipv6.announce('a', 'q', json!({}));
    for (family, kind, count) in [
        ("ipv4", "announce", 1.0),
        ("ipv4", "scrape", 1.0),
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
    assert_eq!(tracker.metric("upgrades_total", &[]), 2.0);
    let page = http::get(tracker.place.metrics.ipv4(), "/metrics");
    assert!(page.body.contains("client=\"WebTorrent"), "{}", page.body);
    assert_eq!(tracker.metric("client_peers", &[]), 2.0);
    client.announce(
        'a',
        'p',
        json!({"peer_id": "-WW0208-abcdefghijkl", "event": "stopped"}),
    );
    assert_eq!(tracker.metric("client_peers", &[]), 1.0);
    let json = http::get(tracker.place.metrics.ipv4(), "/stats.json");
    assert!(
        json.body.contains("\"aquatic_ws_offers_total\""),
        "{}",
        json.body
    );
}

#[test]
fn the_manual_describes_all_metrics() {
    let place = new_place(TLS).with_all_metrics();
    let tracker = place.start().restart();
    let mut client = tracker.client();
    client.announce('a', 'p', json!({}));
    tracker.await_there("snapshot_bytes");
    tracker.compare_with_manual(|name| name.contains("_cluster_"));
}
