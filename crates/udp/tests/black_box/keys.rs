//! Keys of clients, in the options of BEP 41.

use aquatic_test_harness::Signal;
use aquatic_test_harness::waiting::eventually;

use crate::tracker::{Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, Client, hash};

const ALICE: &str = "0123456789abcdef0123456789abcdef";
const BOB: &str = "BOB-_6789abcdef_";

fn with_keys(lines: &str) -> Tracker {
    let mut place = new_place().with(&[("log_level", "\"trace\"")]);
    place.setup.write_secret("keys", lines);
    place.set_path("keys.path", "keys");
    place.start()
}

/// Announces with URL data in pieces of at most so many bytes; returns the error.
fn announce(client: &mut Client, url: &str, size: usize) -> Option<String> {
    let mut announce = Announce::leecher(hash(1), 1001);
    for piece in url.as_bytes().chunks(size) {
        // A NOP before each.
        announce.options.extend([1, 2, piece.len() as u8]);
        announce.options.extend(piece);
    }
    client.try_announce(&announce).err()
}

#[test]
fn only_clients_with_a_key_are_served() {
    let tracker = with_keys(&format!("{ALICE} alice\n{BOB} 2000-01-01\n"));
    let mut client = tracker.client();
    for url in [
        format!("/{ALICE}/announce"),
        format!("/announce/{ALICE}"),
        format!("/announce?passkey={ALICE}"),
    ] {
        for size in [255, 10] {
            assert_eq!(announce(&mut client, &url, size), None, "{url}");
        }
    }
    for (url, reason) in [
        (String::new(), "missing_key"),
        ("/announce".to_owned(), "missing_key"),
        ("/x/announce".to_owned(), "unknown_key"),
        (format!("/{ALICE}x/announce"), "unknown_key"),
        (format!("/{BOB}/announce"), "expired_key"),
    ] {
        let before = tracker.rejected(reason);
        let error = announce(&mut client, &url, 255).unwrap();
        assert!(error.contains("key"), "{error}");
        assert_eq!(tracker.rejected(reason), before + 1.0, "{url}");
    }
    let error = client.try_scrape(&[hash(1)]).unwrap_err();
    assert!(error.contains("a scrape over UDP cannot have"), "{error}");

    tracker.hides(&[ALICE, BOB]);
}

#[test]
fn a_reload_revokes_keys_or_changes_nothing() {
    let mut tracker = with_keys(&format!("{ALICE}\n{BOB}\n"));
    let (alice, bob) = (format!("/{ALICE}/announce"), format!("/{BOB}/announce"));
    let mut client = tracker.client();
    let mut is_served = |url: &str| announce(&mut client, url, 255).is_none();
    assert!(is_served(&alice) && is_served(&bob));

    tracker.place.setup.write_secret("keys", BOB);
    tracker.daemon.reload(Signal::SIGHUP);
    assert!(!is_served(&alice) && is_served(&bob));

    tracker
        .place
        .setup
        .write_secret("keys", format!("{ALICE}\n{BOB}\n\n{ALICE}"));
    tracker.daemon.signal(Signal::SIGHUP);
    let expected = "line 4: the key is also on line 1; remove one of them";
    eventually(expected, || {
        tracker.daemon.log().contains(expected).then_some(())
    });
    let checked = tracker
        .place
        .setup
        .run(&["--check-config", "-c", "config.toml"]);
    assert_eq!(checked.status.code(), Some(78), "{}", checked.stderr);
    assert!(checked.stderr.contains(expected), "{}", checked.stderr);
    assert!(!is_served(&alice) && is_served(&bob));

    tracker.place.setup.write_secret("keys", ALICE);
    tracker.reload_with(&[("keys.path", "\"\"")]);
    assert!(is_served(&alice) && is_served(&bob) && is_served(""));
    tracker.place.set_path("keys.path", "keys");
    tracker.reload_with(&[]);
    assert!(is_served(&alice) && !is_served(&bob) && !is_served(""));
}
