//! Accounting of the announces of clients with keys.

use std::fs;
use std::process::Command;

use aquatic_test_harness::odd_machines::Machine;
use aquatic_test_harness::waiting::eventually;

use crate::tracker::{HttpTracker as _, KINDS, Kind, PLAIN, Place, new_place};
use crate::wire::Client;

const ALICE: &str = "0123456789abcdef0123456789abcdef";
const BOB: &str = "fedcba9876543210fedcba9876543210";

/// The program of aquatic-accounting(7).
const CONSUMER: &str = include_str!("../../../generate/src/man/parts/accounting-consumer");

fn place(kind: Kind) -> Place {
    let mut place = new_place(kind);
    let lines = format!("{ALICE} alice\n{BOB} 2100-01-01 bob \"b\"\n");
    place.setup.write_secret("keys", lines);
    place.set_path("keys.path", "keys");
    place.set_path("accounting.path", "accounts");
    place
}

fn announce(key: &str, torrent: char, peer: char, more: &str) -> String {
    let (hash, id) = (torrent.to_string().repeat(20), peer.to_string().repeat(20));
    format!("/{key}/announce?info_hash={hash}&peer_id={id}&port=1&left=7{more}")
}

/// The lines of the file, once there are so many.
#[track_caller]
fn lines(place: &Place, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines"), || {
        let text = fs::read_to_string(place.setup.path("accounts")).ok()?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() == count && text.ends_with('\n')).then_some(lines)
    })
}

#[test]
fn served_announces_are_written() {
    for kind in KINDS {
        let tracker = place(kind).start();
        let mut client = tracker.client();
        client.get(&announce(
            ALICE,
            'a',
            'p',
            "&uploaded=1&downloaded=2&event=started",
        ));
        client.get(&announce(BOB, 'a', 'q', "&uploaded=-1&event=completed"));
        // Neither a rejected announce nor a scrape.
        client.get(&announce(ALICE, 'a', 'p', "&port=0"));
        client.get(&announce("0000000000000000", 'a', 'p', ""));
        client.get(&format!("/{ALICE}/scrape?info_hash={}", "a".repeat(20)));
        client.get(&announce(ALICE, 'b', 'p', "&event=stopped"));
        let lines = lines(&tracker.place, 3);
        let (hash, id) = ("61".repeat(20), "70".repeat(20));
        let expected = format!(
            "\"key_label\":\"alice\",\"info_hash\":\"{hash}\",\"peer_id\":\"{id}\",\
             \"event\":\"started\",\"uploaded\":1,\"downloaded\":2,\"left\":7,\"port\":1,\
             \"address\":\"127.0.0.1\"}}"
        );
        assert!(
            lines[0].starts_with("{\"version\":1,\"time\":"),
            "{}",
            lines[0]
        );
        assert!(lines[0].ends_with(&expected), "{}", lines[0]);
        assert!(lines[1].contains("\"bob \\\"b\\\"\""), "{}", lines[1]);
        assert!(
            lines[1].contains("\"uploaded\":null,\"downloaded\":null,"),
            "{}",
            lines[1]
        );
        assert!(lines[2].contains("\"event\":\"stopped\""), "{}", lines[2]);
        assert!(!lines.concat().contains(ALICE), "{lines:?}");
        tracker.await_metric("accounting_records_total", &[("result", "written")], 3.0);
        assert_eq!(
            tracker.metric("accounting_records_total", &[("result", "dropped")],),
            0.0
        );
    }
}

#[test]
fn the_last_announces_are_written_before_the_end() {
    let tracker = place(PLAIN).start();
    let mut client = tracker.client();
    for _ in 0..1_000 {
        client.get(&announce(ALICE, 'a', 'p', ""));
    }
    let tracker = tracker.restart();
    lines(&tracker.place, 1_000);
    tracker.client().get(&announce(ALICE, 'a', 'p', ""));
    lines(&tracker.place, 1_001);
}

#[test]
fn a_reload_changes_limits_and_opens_the_file_again() {
    let mut tracker = place(PLAIN).start();
    let mut client = tracker.client();
    client.get(&announce(ALICE, 'a', 'p', ""));
    lines(&tracker.place, 1);
    let moved = tracker.place.setup.path("moved");
    fs::rename(tracker.place.setup.path("accounts"), &moved).unwrap();
    tracker.reload_with(&[
        ("accounting.max_file_bytes", "65536"),
        ("accounting.max_files", "2"),
    ]);
    // These are some 300 bytes each: four files, of which one is removed.
    for _ in 0..800 {
        client.get(&announce(ALICE, 'a', 'p', ""));
    }
    tracker.await_metric("accounting_records_total", &[("result", "written")], 801.0);
    let entries = fs::read_dir(tracker.place.setup.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let rotated = names.filter(|name| name.starts_with("accounts.2")).count();
    assert_eq!(rotated, 2);
    assert_eq!(fs::read_to_string(moved).unwrap().lines().count(), 1);
}

#[test]
fn the_program_of_the_manual_computes_differences() {
    let tracker = place(PLAIN).start();
    let mut client = tracker.client();
    let mut say = |key: &str, peer: char, more: &str| {
        client.get(&announce(key, 'a', peer, more));
    };
    say(ALICE, 'p', "&uploaded=0&downloaded=0&event=started");
    say(ALICE, 'p', "&uploaded=100&downloaded=10");
    // Sent again.
    say(ALICE, 'p', "&uploaded=100&downloaded=10");
    say(ALICE, 'p', "&uploaded=150&downloaded=10&event=stopped");
    // Restarted, once with and once without an event.
    say(ALICE, 'p', "&uploaded=0&downloaded=0&event=started");
    say(ALICE, 'p', "&uploaded=7&downloaded=1");
    say(ALICE, 'p', "&uploaded=3&downloaded=0");
    // Another client of the same user.
    say(ALICE, 'q', "&uploaded=1000&downloaded=0");
    say(BOB, 'p', "&uploaded=5");
    lines(&tracker.place, 9);
    let file = tracker.place.setup.path("accounts");
    let mut text = fs::read_to_string(&file).unwrap();
    text.push_str("{\"version\":1,\"torn");
    fs::write(&file, text).unwrap();
    let ran = Command::new("python3")
        .args(["-c", CONSUMER])
        .arg(file)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8(ran.stdout), String::from_utf8(ran.stderr));
    // 150 + 7 + 3 + 1000, and 10 + 1.
    let expected = "alice: 1160 up, 11 down\nbob \"b\": 5 up, 0 down\n";
    assert_eq!(stdout.unwrap(), expected, "{}", stderr.unwrap());
}

#[test]
fn accounts_need_keys_and_a_file() {
    let mut without_keys = new_place(PLAIN);
    without_keys.set_path("accounting.path", "accounts");
    let (code, log) = without_keys.start_in_vain();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("it requires keys.path"), "{log}");

    let mut same = place(PLAIN);
    same.set_path("accounting.path", "keys");
    let (code, log) = same.start_in_vain();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("also the file of keys.path"), "{log}");
}

/// While there is no space, requests are served, and nothing is lost.
#[test]
fn a_full_disk_delays_lines_and_no_replies() {
    let Some(machine) = Machine::new(&["mount"]) else {
        return;
    };
    let mut place = place(PLAIN);
    let state = place.setup.path("state");
    fs::create_dir(&state).unwrap();
    place.set_path("accounting.path", "state/accounts");
    machine.shell("mount -t tmpfs -o size=64k tmpfs \"$1\"", &state);
    machine.shell("head -c 1M /dev/zero > \"$1/filler\" || true", &state);
    let daemon = machine.start(&place);
    let announce_some = || {
        machine.run(|| {
            let mut client = Client::connect(place.port.ipv4(), false);
            for _ in 0..50 {
                let body = client.get(&announce(ALICE, 'a', 'p', "")).text();
                assert!(body.starts_with("d8:complete"), "{body}");
            }
        });
    };
    announce_some();
    let log = daemon.wait_for_log("cannot write the accounting file");
    assert!(log.contains("No space left on device"), "{log}");
    announce_some();
    machine.shell("rm \"$1/filler\"", &state);
    daemon.wait_for_log("the file can be written again");
    machine.shell("test $(wc -l < \"$1/accounts\") = 100", &state);
    machine.shell("! grep -v '^{.*}$' \"$1/accounts\"", &state);
    let errors = daemon
        .log()
        .lines()
        .filter(|line| line.starts_with("ERROR"))
        .count();
    assert_eq!(errors, 1, "{}", daemon.log());
    daemon.stop();
}
