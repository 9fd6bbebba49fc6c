//! Reloads of the configuration while clients are served.

use serde_json::json;

use crate::tracker::{KINDS, PLAIN, Tracker, WsTracker as _, new_place};
use crate::wire::{Client, announce};

/// Keys that need a restart, besides those that need one in all trackers.
const NEED_RESTART: &[&str] = &[
    "network.event_loop",
    "network.tcp_backlog",
    "network.enable_tls",
    "protocol.separate_families",
];

#[test]
fn changed_keys_take_effect_on_open_connections() {
    for kind in KINDS {
        let mut tracker = Tracker::start(kind);
        let mut client = tracker.client();
        let reply = client.announce('a', 'p', json!({}));
        assert_eq!(reply["interval"], 120);
        tracker.reload_with(&[
            ("protocol.peer_announce_interval", "100"),
            ("limits.max_torrents_per_connection", "1"),
        ]);
        let reply = client.announce('a', 'p', json!({}));
        assert_eq!(reply["interval"], 100);
        let refused = client.ask(&announce('b', 'p', json!({})));
        assert!(refused["failure reason"].is_string(), "{refused}");

        tracker.reload_with(&[
            ("limits.max_torrents_per_connection", "9"),
            ("limits.max_peers_per_ip", "1"),
            ("metrics.peer_clients", "true"),
        ]);
        // A known peer counts from its next announce on.
        client.announce('a', 'p', json!({}));
        let refused = client.ask(&announce('b', 'p', json!({})));
        assert!(refused["failure reason"].is_string(), "{refused}");
        assert_eq!(tracker.rejected("max_peers_per_ip"), 1.0);
        tracker.await_metric("client_peers", &[], 1.0);

        tracker.reload_with(&[("network.websocket_max_message_size", "4096")]);
        let long = json!({"more": "x".repeat(5_000)});
        client.say(&announce('a', 'p', long));
        client.expect_close(1009);
    }
}

/// Every request is answered while each key is changed, over one connection.
#[test]
fn each_key_is_taken_over_or_needs_a_restart() {
    let mut place = new_place(PLAIN);
    place.setup.write("list", "");
    place.set_path("access_list.path", "list");
    let certificate = aquatic_test_harness::certificates::EC_CERTIFICATE;
    place.setup.write("cert.pem", certificate);
    place
        .setup
        .write("key.pem", aquatic_test_harness::certificates::EC_KEY_SEC1);
    place.set("network.enable_tls", "false");
    place.set_path("network.tls_certificate_path", "cert.pem");
    place.set_path("network.tls_private_key_path", "key.pem");
    let mut tracker = place.start();
    let values = [
        ("network.public_url", Some("\"wss://tracker.example.org\"")),
        ("network.allowed_origins", Some("[\"https://example.org\"]")),
        ("network.reverse_proxy_ip_header_format", None),
        // Clients without a key would not be served.
        ("keys.path", None),
        // It requires keys.
        ("accounting.path", None),
        // It requires a cluster.
        ("accounting.stream", None),
    ];
    let mut client = Client::connect(tracker.ipv4(), false);
    client.upgrade();
    tracker.reload_each_key(NEED_RESTART, &values, || {
        client.announce('a', 'p', json!({}));
    });
}
