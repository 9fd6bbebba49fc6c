//! Keys of clients, in the path of the handshake, with each event loop.

use std::time::{SystemTime, UNIX_EPOCH};

use aquatic_policy::keys::Expiry;
use aquatic_test_harness::Signal;
use serde_json::json;

use crate::tracker::{KINDS, Kind, PLAIN, Tracker, WsTracker as _, new_place};
use crate::wire::{CLOSE, Client, announce};

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
        tracker.hides(&[ALICE, BOB]);
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
        tracker.await_metric("peers", &[], 1.0);
        tracker.place.setup.write_secret("keys", BOB);
        tracker.daemon.reload(Signal::SIGHUP);
        // Her peer goes with her key, although she is silent.
        is_closed(&mut alice, "key");
        tracker.await_metric("peers", &[], 0.0);
        let mut alice = open(&tracker, &format!("/{ALICE}"));
        assert!(!is_served(&mut alice) && is_served(&mut bob));
        tracker.reload_with(&[("keys.path", "\"\"")]);
        assert!(is_served(&mut alice) && is_served(&mut bob));
        tracker.place.set_path("keys.path", "keys");
        tracker.reload_with(&[]);
        is_closed(&mut alice, "key");
        assert!(is_served(&mut bob));
    }
}

/// Its connection is closed for this reason.
#[track_caller]
fn is_closed(client: &mut Client, reason: &str) {
    let frame = client.frame();
    assert_eq!(frame.opcode, CLOSE);
    assert_eq!(frame.payload[..2], 1008_u16.to_be_bytes());
    let text = String::from_utf8(frame.payload[2..].to_vec()).unwrap();
    assert!(text.contains(reason), "{text}");
}

#[test]
fn a_peer_goes_when_its_key_expires() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let expiry = Expiry::at(u32::try_from(now.as_secs()).unwrap() + 3);
    let tracker = with_keys(PLAIN, &format!("{ALICE} {expiry} alice\n{BOB} bob\n"));
    let mut alice = open(&tracker, &format!("/{ALICE}"));
    let mut bob = open(&tracker, &format!("/{BOB}"));
    assert!(is_served(&mut alice));
    bob.announce('b', 'q', json!({}));
    tracker.await_metric("peers", &[], 2.0);
    is_closed(&mut alice, "expired");
    tracker.await_metric("peers", &[], 1.0);
    bob.announce('b', 'q', json!({}));
}
