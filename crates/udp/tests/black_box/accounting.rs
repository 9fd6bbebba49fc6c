//! Accounting of the announces of clients with keys.

use std::fs;

use aquatic_test_harness::waiting::eventually;

use crate::tracker::{UdpTracker as _, new_place};
use crate::wire::{Announce, COMPLETED, hash};

const ALICE: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn served_announces_are_written() {
    let mut place = new_place();
    place.setup.write_secret("keys", format!("{ALICE} alice\n"));
    place.set_path("keys.path", "keys");
    place.set_path("accounting.path", "accounts");
    let tracker = place.start();
    let mut client = tracker.client();
    let url = format!("/{ALICE}/announce");
    let announce = Announce {
        event: COMPLETED,
        options: [&[2, url.len() as u8], url.as_bytes()].concat(),
        ..Announce::leecher(hash(1), 1001)
    };
    client.announce(&announce);
    client.announce(&announce);
    // Rejected.
    let rejected = Announce {
        port: 0,
        ..announce.clone()
    };
    assert!(client.try_announce(&rejected).is_err());
    assert!(
        client
            .try_announce(&Announce::seeder(hash(1), 1001))
            .is_err()
    );
    let text = eventually("two lines", || {
        let text = fs::read_to_string(tracker.place.setup.path("accounts")).ok()?;
        (text.lines().count() == 2).then_some(text)
    });
    let (hash, id) = ("01".repeat(20), "2d5453303030312d6162636465666768696a6b6c");
    for line in text.lines() {
        let expected = format!(
            "\"key_label\":\"alice\",\"info_hash\":\"{hash}\",\"peer_id\":\"{id}\",\
             \"event\":\"completed\",\"uploaded\":0,\"downloaded\":0,\"left\":1000,\"port\":1001,\
             \"address\":\"127.0.0.1\"}}"
        );
        assert!(line.ends_with(&expected), "{line}");
    }
    tracker.await_metric("accounting_records_total", &[("result", "written")], 2.0);
    tracker.daemon.stop();
}

/// The check reports all that the start would refuse, of which the file is one.
#[test]
fn a_file_that_cannot_be_appended_to_is_found_before_announces_are_lost() {
    let mut place = new_place();
    place.setup.write_secret("keys", "not a key\n");
    place.set_path("keys.path", "keys");
    place.set_path("accounting.path", "accounts");
    fs::create_dir_all(place.setup.path("accounts")).unwrap();
    place.setup.write("config.toml", place.config());
    let file = place.setup.path("config.toml");
    let checked = place
        .setup
        .run(&["--check-config", "-c", file.to_str().unwrap()]);
    assert!(!checked.status.success());
    for expected in ["keys.path: the keys in ", "accounting.path: "] {
        assert!(checked.stderr.contains(expected), "{}", checked.stderr);
    }
    place.setup.write_secret("keys", format!("{ALICE} alice\n"));
    let (code, output) = place.start_in_vain();
    assert_eq!(code, Some(78), "{output}");
    assert!(output.contains("accounting.path: "), "{output}");
}
