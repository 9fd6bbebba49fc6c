//! Keys of clients, in the path of the handshake, with each event loop.

use aquatic_test_harness::{Signal, http};
use serde_json::json;

use crate::tracker::{KINDS, Kind, Tracker, WsTracker as _, new_place};
use crate::wire::{Client, announce};

const ALICE: &str = "0123456789abcdef0123456789abcdef";
const BOB: &str = "BOB-_6789abcdef_";

fn with_keys(kind: Kind, lines: &str) -> Tracker {
    let mut place = new_place(kind).with(&[("log_level", "\"trace\"")]);
    place.setup.write_secret("keys", lines);
    place.set_path("keys.path", "keys");
    place.start()
}

fn open(tracker: &Tracker, path: &str) -> Client {
    let mut client = tracker.raw();
    let head = client.ask_to_upgrade_at(path, "");
    // A browser could not read the reason of a refusal here.
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

fn is_served(client: &mut Client) -> bool {
    let reply = client.ask(&announce('a', 'p', json!({})));
    reply.get("failure reason").is_none()
}

#[test]
fn only_clients_with_a_key_are_served() {
    for kind in KINDS {
        let tracker = with_keys(kind, &format!("{ALICE} alice\n{BOB} 2000-01-01\n"));
        for path in [
            format!("/{ALICE}"),
            format!("/{ALICE}/announce"),
            format!("/announce/{ALICE}"),
            format!("/?passkey={ALICE}"),
        ] {
            let mut client = open(&tracker, &path);
            assert!(is_served(&mut client), "{path}");
            client.ask(&announce('a', 'p', json!({"event": "stopped"})));
        }
        for (path, reason) in [
            ("/".to_owned(), "missing_key"),
            ("/announce".to_owned(), "missing_key"),
            ("/x/announce".to_owned(), "unknown_key"),
            (format!("/{ALICE}x"), "unknown_key"),
            (format!("/{BOB}"), "expired_key"),
        ] {
            let mut client = open(&tracker, &path);
            assert!(!is_served(&mut client), "{path}");
            let hash = "a".repeat(20);
            let scrape = json!({"action": "scrape", "info_hash": hash});
            let reply = client.ask(&scrape);
            assert!(
                reply["failure reason"].as_str().unwrap().contains("key"),
                "{reply}"
            );
            assert!(tracker.rejected(reason) >= 2.0, "{path}");
        }
        let status = http::get(tracker.place.metrics.ipv4(), "/").body;
        let metrics = http::get(tracker.place.metrics.ipv4(), "/metrics").body;
        let log = tracker.daemon.log();
        for text in [&status, &metrics, &log] {
            for key in [ALICE, BOB] {
                assert!(!text.contains(key), "{text}");
            }
        }
    }
}

#[test]
fn a_reload_applies_to_open_connections() {
    for kind in KINDS {
        let mut tracker = with_keys(kind, ALICE);
        let (mut alice, mut bob) = (
            open(&tracker, &format!("/{ALICE}")),
            open(&tracker, &format!("/{BOB}")),
        );
        assert!(is_served(&mut alice) && !is_served(&mut bob));
        tracker.place.setup.write_secret("keys", BOB);
        tracker.daemon.reload(Signal::SIGHUP);
        assert!(!is_served(&mut alice) && is_served(&mut bob));
        tracker.reload_with(&[("keys.path", "\"\"")]);
        assert!(is_served(&mut alice) && is_served(&mut bob));
        tracker.place.set_path("keys.path", "keys");
        tracker.reload_with(&[]);
        assert!(!is_served(&mut alice) && is_served(&mut bob));
    }
}
