//! Reloads of the configuration while clients are served.

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, Tracker, new_place};

/// Keys that need a restart, besides those that need one in all trackers.
const NEED_RESTART: &[&str] = &[
    "network.event_loop",
    "network.tcp_backlog",
    "network.enable_tls",
];

#[test]
fn changed_keys_take_effect() {
    for kind in KINDS {
        let mut tracker = Tracker::start(kind);
        let mut client = tracker.client();
        for port in 1..4 {
            client.announce('a', port, "&left=0");
        }
        tracker.reload_with(&[
            ("protocol.peer_announce_interval", "1000"),
            ("protocol.min_announce_interval", "400"),
            ("protocol.max_response_peers", "1"),
            ("limits.max_torrents", "1"),
        ]);
        // The new values apply to the open connection.
        let body = client.announce('a', 9, "");
        assert!(
            body.contains("8:intervali1000e12:min intervali400e"),
            "{body}"
        );
        assert!(body.contains("5:peers6:"), "{body}");
        assert!(client.announce('b', 1, "").contains("failure reason"));
        assert_eq!(tracker.rejected("max_torrents"), 1.0);

        tracker.reload_with(&[
            ("network.keep_alive", "false"),
            ("network.max_connections_per_ip", "1"),
        ]);
        let reply = client.get("/health");
        assert_eq!(reply.header("Connection"), Some("close"));
        client.expect_end();
    }
}

#[test]
fn proxies_can_be_introduced() {
    let mut tracker = Tracker::start(PLAIN);
    let header = "X-Real-IP: 192.0.2.7\r\n";
    let target = format!(
        "/announce?info_hash={}&peer_id={}&port=1",
        "a".repeat(20),
        "p".repeat(20)
    );
    let mut client = tracker.client();
    let external = |text: &str| text.contains("external ip4:\\xc0\\x00\\x02\\x07");
    assert!(!external(&client.get_with(&target, header).text()));
    tracker.reload_with(&[
        ("network.runs_behind_reverse_proxy", "true"),
        ("network.reverse_proxy_ip_header_name", "\"X-Real-IP\""),
    ]);
    assert!(external(&client.get_with(&target, header).text()));
    tracker.reload_with(&[("network.trusted_proxies", "[\"192.0.2.1\"]")]);
    assert!(!external(&client.get_with(&target, header).text()));
}

/// Every request is answered while each key is changed.
#[test]
fn each_key_is_taken_over_or_needs_a_restart() {
    let mut place = new_place(PLAIN);
    place.setup.write("list", "");
    place.set_path("access_list.path", "list");
    let others = aquatic_test_harness::certificates::EC_CERTIFICATE;
    place.setup.write("cert.pem", others);
    place
        .setup
        .write("key.pem", aquatic_test_harness::certificates::EC_KEY_SEC1);
    place.set("network.enable_tls", "false");
    place.set_path("network.tls_certificate_path", "cert.pem");
    place.set_path("network.tls_private_key_path", "key.pem");
    let mut tracker = place.start();
    let values = [
        (
            "network.public_url",
            Some("\"https://tracker.example.org/announce\""),
        ),
        ("network.reverse_proxy_ip_header_format", None),
        // The clients of this test are at such an address.
        ("network.reject_special_addresses", None),
        // With these two keys set, requests need a header, which those of this test lack.
        ("network.runs_behind_reverse_proxy", None),
        ("network.proxy_protocol", None),
        // Clients without a key would not be served.
        ("keys.path", None),
        // It requires keys.
        ("accounting.path", None),
        // It requires a cluster.
        ("accounting.stream", None),
    ];
    let address = tracker.ipv4();
    tracker.reload_each_key(NEED_RESTART, &values, || {
        let mut client = crate::wire::Client::connect(address, false);
        let body = client.announce('a', 1, "");
        assert!(body.starts_with("d8:complete"), "{body}");
    });
}
