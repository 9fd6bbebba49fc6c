//! Accounting of the announces of clients with keys, with each event loop.

use std::fs;

use aquatic_test_harness::waiting::eventually;
use serde_json::{Value, json};

use crate::tracker::{KINDS, WsTracker as _, new_place};
use crate::wire::announce;

const ALICE: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn served_announces_are_written() {
    for kind in KINDS {
        let mut place = new_place(kind);
        place.setup.write_secret("keys", format!("{ALICE} alice\n"));
        place.set_path("keys.path", "keys");
        place.set_path("accounting.path", "accounts");
        let tracker = place.start();
        let mut client = tracker.raw();
        client.ask_to_upgrade_at(&format!("/{ALICE}"), "");
        let started = json!({"event": "started", "uploaded": 5, "downloaded": "6", "left": null});
        client.ask(&announce('a', 'p', started));
        client.ask(&announce('a', 'p', json!({"uploaded": [], "left": 1})));
        // Rejected.
        client.ask(&announce('a', 'q', json!({})));
        let text = eventually("two lines", || {
            let text = fs::read_to_string(tracker.place.setup.path("accounts")).ok()?;
            (text.lines().count() == 2).then_some(text)
        });
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let fields = |line: &Value| {
            let names = [
                "key_label",
                "event",
                "uploaded",
                "downloaded",
                "left",
                "port",
                "address",
            ];
            json!(names.map(|name| line[name].clone()))
        };
        let expected = json!(["alice", "started", 5, 6, null, null, "127.0.0.1"]);
        assert_eq!(fields(&lines[0]), expected);
        let expected = json!(["alice", null, null, null, 1, null, "127.0.0.1"]);
        assert_eq!(fields(&lines[1]), expected);
        tracker.daemon.stop();
    }
}
