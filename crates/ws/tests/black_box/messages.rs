//! Replies to messages.

use serde_json::{Value, json};

use crate::tracker::{PLAIN, Tracker, WsTracker as _, new_place};
use crate::wire::{TEXT, announce, frame, name};

#[test]
fn counts_and_scrapes() {
    let tracker = Tracker::start(PLAIN);
    let mut first = tracker.client();
    first.announce('a', 'p', json!({"left": 0, "event": "completed"}));
    let mut second = tracker.client();
    let reply = second.announce('a', 'q', json!({}));
    assert_eq!(
        (&reply["complete"], &reply["incomplete"]),
        (&json!(1), &json!(0))
    );
    let scrape = json!({"action": "scrape", "info_hash": [name('a'), name('b')]});
    let reply = second.ask(&scrape);
    assert_eq!(reply["action"], "scrape");
    let expected = json!({"complete": 1, "incomplete": 1, "downloaded": 1});
    assert_eq!(reply["files"][name('a')], expected);
    let none = json!({"complete": 0, "incomplete": 0, "downloaded": 0});
    assert_eq!(reply["files"][name('b')], none);
    let reply = first.announce('a', 'p', json!({"event": "stopped", "left": 0}));
    assert_eq!(reply["incomplete"], 1);
    assert_eq!(tracker.metric("peers", &[]), 1.0);
}

#[test]
fn nulls_and_unknown_fields_are_accepted() {
    let tracker = Tracker::start(PLAIN);
    let mut client = tracker.client();
    let more = json!({
        "left": null, "event": null, "numwant": null, "offers": null,
        "uploaded": 0, "downloaded": 0, "trackerid": null, "key": "x",
    });
    client.announce('a', 'p', more);
    client.announce('a', 'p', json!({"event": "paused"}));
    client.announce('a', 'p', json!({"event": "dancing"}));
}

#[test]
fn info_hashes_are_bytes() {
    let tracker = Tracker::start(PLAIN);
    let mut client = tracker.client();
    // Includes bytes that JSON has to escape.
    let hash: String = (0..20_u8).map(|byte| char::from(byte * 13)).collect();
    let reply = client.ask(&announce('a', 'p', json!({"info_hash": hash})));
    assert_eq!(reply["info_hash"], hash);
    let reply = client.ask(&json!({"action": "scrape", "info_hash": hash}));
    assert_eq!(reply["files"][&hash]["incomplete"], 1);
}

#[test]
fn malformed_messages_get_an_error_with_their_valid_fields() {
    let tracker = Tracker::start(PLAIN);
    let mut client = tracker.client();
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{\"action\":",
        "\u{0}",
        "{\"action\": 1}",
    ] {
        client.send(frame(TEXT, text.as_bytes()));
        let reply = client.reply();
        assert!(reply["failure reason"].is_string(), "{text}: {reply}");
        assert_eq!(reply["action"], "announce", "{text}: {reply}");
        assert_eq!(reply["info_hash"], "", "{text}: {reply}");
    }
    let faulty = |more: Value| announce('a', 'p', more);
    for message in [
        faulty(json!({"info_hash": ""})),
        faulty(json!({"info_hash": "short"})),
        faulty(json!({"info_hash": "a".repeat(21)})),
        faulty(json!({"info_hash": "a".repeat(40)})),
        faulty(json!({"info_hash": "ł".repeat(20)})),
        faulty(json!({"info_hash": 5})),
        faulty(json!({"info_hash": ["a"]})),
        faulty(json!({"info_hash": {"a": true}})),
        faulty(json!({"peer_id": "short"})),
        faulty(json!({"peer_id": 1})),
        faulty(json!({"offers": "none"})),
        faulty(json!({"offers": [{"offer_id": "x", "offer": {}}]})),
        faulty(json!({"answer": {}, "to_peer_id": "x"})),
    ] {
        let reply = client.ask(&message);
        assert!(reply["failure reason"].is_string(), "{message}: {reply}");
        assert_eq!(reply["action"], "announce", "{message}: {reply}");
        assert_eq!(reply["info_hash"], message["info_hash"], "{reply}");
    }
    let reply = client.ask(&faulty(json!({"info_hash": "é".repeat(10_000)})));
    let start = reply["info_hash"].as_str().unwrap();
    assert!((20..100).contains(&start.chars().count()), "{start}");
    let reply = client.ask(&faulty(json!({"info_hash": null})));
    assert_eq!(reply["info_hash"], "", "what npm's client can read");
    let reply = client.ask(&json!({"action": "dance", "info_hash": name('a')}));
    assert_eq!(
        (&reply["action"], &reply["info_hash"]),
        (&json!("dance"), &json!(name('a')))
    );
    let reply = client.ask(&json!({"action": "scrape", "info_hash": ["a", 5]}));
    assert_eq!(reply["info_hash"], json!(["a", 5]));
    let reply = client.ask(&json!({"action": "scrape"}));
    assert_eq!(reply["action"], "scrape");
    assert!(reply["failure reason"].is_string());
    // The connection is still usable.
    client.announce('a', 'p', json!({}));
    assert_eq!(tracker.metric("peers", &[]), 1.0);
    assert_eq!(tracker.rejected("full_scrape"), 1.0);
}

#[test]
fn caps_give_errors() {
    let settings = [
        ("limits.max_torrents", "2"),
        ("limits.max_peers_per_torrent", "1"),
        ("limits.max_torrents_per_connection", "2"),
    ];
    let tracker = Tracker::with(PLAIN, &settings);
    let mut first = tracker.client();
    let mut second = tracker.client();
    first.announce('a', 'p', json!({}));
    let reply = second.ask(&announce('a', 'q', json!({})));
    assert_eq!(
        reply["failure reason"],
        "torrent has reached its maximum of peers"
    );
    first.announce('b', 'p', json!({}));
    let reply = second.ask(&announce('c', 'q', json!({})));
    assert_eq!(
        reply["failure reason"],
        "tracker has reached its maximum of torrents"
    );
    let reply = first.ask(&announce('c', 'p', json!({})));
    let message = "connection has reached its maximum of torrents";
    assert_eq!(reply["failure reason"], message);
    for reason in [
        "max_torrents",
        "max_peers_per_torrent",
        "max_torrents_per_connection",
    ] {
        assert_eq!(tracker.rejected(reason), 1.0, "{reason}");
    }
}

#[test]
fn peers_of_an_address_can_be_capped() {
    let tracker = Tracker::with(PLAIN, &[("limits.max_peers_per_ip", "1")]);
    let mut first = tracker.client();
    first.announce('a', 'p', json!({}));
    let mut second = tracker.client();
    let reply = second.ask(&announce('b', 'q', json!({})));
    assert_eq!(
        reply["failure reason"],
        "address has reached its maximum of peers"
    );
    let mut third = tracker.client_ipv6();
    third.announce('b', 'r', json!({}));
    drop(first);
    tracker.await_metric("peers", &[], 1.0);
    second.announce('b', 'q', json!({}));
    assert_eq!(tracker.rejected("max_peers_per_ip"), 1.0);
}

#[test]
fn all_torrents_are_exported() {
    let text = new_place(PLAIN).export(|tracker| {
        let mut client = tracker.client();
        client.announce('a', 'p', json!({"left": 5}));
        client
    });
    let expected = format!("{}\tall\t0\t1\t0", "61".repeat(20));
    assert_eq!(text.lines().nth(1), Some(&*expected), "{text}");
}
