//! Keys of clients, with each event loop, in the clear and with TLS.

use std::time::{Duration, SystemTime};

use aquatic_test_harness::Signal;
use aquatic_test_harness::waiting::eventually;

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, Tracker, new_place};
use crate::wire::Client;

const ALICE: &str = "0123456789abcdef0123456789abcdef";
const BOB: &str = "BOB-_6789abcdef_";

/// A tracker of this kind with these lines as its keys.
fn with_keys(kind: crate::tracker::Kind, lines: &str) -> Tracker {
    let mut place = new_place(kind).with(&[("log_level", "\"trace\"")]);
    place.setup.write_secret("keys", lines);
    place.set_path("keys.path", "keys");
    place.start()
}

fn query() -> String {
    format!("info_hash={0}&peer_id={0}&port=1", "a".repeat(20))
}

/// The body of the reply to an announce at this path.
fn announce(client: &mut Client, path: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    client.get(&format!("{path}{separator}{}", query())).text()
}

#[test]
fn only_clients_with_a_key_are_served() {
    for kind in KINDS {
        let tracker = with_keys(kind, &format!("{ALICE} alice\n{BOB} 2000-01-01\n"));
        let mut client = tracker.client();
        for path in [
            format!("/{ALICE}/announce"),
            format!("/announce/{ALICE}"),
            format!("/announce?passkey={ALICE}"),
        ] {
            let body = announce(&mut client, &path);
            assert!(body.starts_with("d8:complete"), "{body}");
            let body = announce(&mut client, &path.replace("announce", "scrape"));
            assert!(body.starts_with("d5:files"), "{body}");
        }
        for (path, reason) in [
            ("/announce".to_owned(), "missing_key"),
            ("/x/announce".to_owned(), "unknown_key"),
            (format!("/{ALICE}x/announce"), "unknown_key"),
            (format!("/{BOB}/announce"), "expired_key"),
            (format!("/{ALICE}/announce.php"), "wrong_url"),
        ] {
            let before = tracker.rejected(reason);
            let body = announce(&mut client, &path);
            assert!(body.starts_with("d14:failure reason"), "{body}");
            assert_eq!(tracker.rejected(reason), before + 1.0, "{path}");
            if reason != "wrong_url" {
                assert!(body.ends_with("8:retry in5:nevere"), "{body}");
            }
        }
        assert_eq!(client.get("/health").status, 200);
        let page = client.get("/").text();
        assert!(page.contains("/KEY/announce"), "{page}");
        assert!(!page.contains(ALICE) && !page.contains(BOB), "{page}");
        tracker.hides(&[ALICE, BOB]);
    }
}

#[test]
fn a_reload_revokes_keys_or_changes_nothing() {
    let mut tracker = with_keys(PLAIN, &format!("{ALICE}\n{BOB}\n"));
    let (alice, bob) = (format!("/{ALICE}/announce"), format!("/{BOB}/announce"));
    let mut client = tracker.client();
    let mut is_served = |path: &str| announce(&mut client, path).starts_with("d8:complete");
    assert!(is_served(&alice) && is_served(&bob));

    let setup = &tracker.place.setup;
    setup.write_secret("keys", BOB);
    tracker.daemon.reload(Signal::SIGHUP);
    assert!(!is_served(&alice) && is_served(&bob));

    for (lines, expected) in [
        (
            format!("{ALICE}\n{BOB} 2000-13-01\n"),
            "line 2: the date after the key",
        ),
        (
            format!("{ALICE}\n#\n{ALICE}\n"),
            "line 3: the key is also on line 1",
        ),
        ("short\n".to_owned(), "line 1: the key has 5 characters"),
    ] {
        setup.write_secret("keys", &lines);
        tracker.daemon.signal(Signal::SIGHUP);
        eventually(expected, || {
            tracker.daemon.log().contains(expected).then_some(())
        });
        let checked = setup.run(&["--check-config", "-c", "config.toml"]);
        assert_eq!(checked.status.code(), Some(78), "{}", checked.stderr);
        assert!(checked.stderr.contains("keys.path"), "{}", checked.stderr);
        assert!(checked.stderr.contains(expected), "{}", checked.stderr);
        assert!(!checked.stderr.contains(ALICE), "{}", checked.stderr);
        assert!(!is_served(&alice) && is_served(&bob));
    }
    setup.write_secret("keys", ALICE);
    // The file keeps its permissions when it is written again.
    let path = setup.path("keys");
    std::fs::remove_file(&path).unwrap();
    setup.write("keys", ALICE);
    let expected = "correct this with: chmod o-rwx";
    tracker.daemon.signal(Signal::SIGHUP);
    eventually(expected, || {
        tracker.daemon.log().contains(expected).then_some(())
    });
    assert!(!is_served(&alice) && is_served(&bob));
    setup.write_secret("keys", ALICE);
    tracker.daemon.reload(Signal::SIGHUP);
    assert!(is_served(&alice) && !is_served(&bob));
}

#[test]
fn a_key_expires_while_the_tracker_runs() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let end = now.unwrap() + Duration::from_secs(4);
    // RFC 3339 by hand: today's date is that of `date`.
    let text = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"])
        .arg(format!("@{}", end.as_secs()))
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    let tracker = with_keys(PLAIN, &format!("{ALICE} {text}"));
    let path = format!("/{ALICE}/announce");
    let body = announce(&mut tracker.client(), &path);
    assert!(body.starts_with("d8:complete"), "{body}");
    eventually("the key has expired", || {
        let body = announce(&mut tracker.client(), &path);
        body.contains("has expired").then_some(())
    });
    assert!(SystemTime::now() >= SystemTime::UNIX_EPOCH + Duration::from_secs(end.as_secs()));
}

#[test]
fn what_cannot_be_a_file_of_keys_prevents_the_start() {
    let mut place = new_place(PLAIN);
    place.set_path("keys.path", "missing");
    let (code, log) = place.start_in_vain();
    assert_eq!(code, Some(78), "{log}");
    assert!(
        log.contains("keys.path") && log.contains("No such file"),
        "{log}"
    );
}
