//! Several lists, bans by address, and clients.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use aquatic_test_harness::{Setup, Signal};
use serde_json::json;

use crate::tracker::{KINDS, PLAIN, WsTracker as _, new_place};
use crate::wire::{CLOSE, announce, name};

/// An access list with a torrent.
fn line(torrent: u8) -> String {
    format!("{torrent:02x}").repeat(20) + "\n"
}

#[test]
fn a_torrent_is_served_if_it_is_allowed_and_not_denied() {
    let mut place = new_place(PLAIN);
    fs::create_dir(place.setup.path("allowed")).unwrap();
    place.setup.write("allowed/1", line(b'a') + &line(b'b'));
    place.setup.write("denied", line(b'b'));
    place.set_paths("access_list.allow_paths", &["allowed"]);
    place.set_paths("access_list.deny_paths", &["denied"]);
    let mut tracker = place.start();
    let mut client = tracker.client();
    client.announce('a', 'p', json!({}));
    for torrent in ['b', 'c'] {
        let refused = client.ask(&announce(torrent, 'p', json!({})));
        let text = refused["failure reason"].as_str().unwrap();
        assert!(text.contains("torrent is not allowed"), "{text}");
    }
    tracker.place.setup.write("allowed/2", line(b'c'));
    tracker.daemon.reload(Signal::SIGHUP);
    client.announce('c', 'p', json!({}));
}

/// A browser does not show why a handshake was refused, so the failure comes first.
#[test]
fn a_banned_client_is_told_and_its_connection_closed() {
    for kind in KINDS {
        let mut place = new_place(kind);
        place.setup.write("bans", "");
        place.set_paths("bans.paths", &["bans"]);
        let mut tracker = place.start();
        let mut clients = [tracker.client(), tracker.client_ipv6()];
        for client in &mut clients {
            client.announce('a', 'p', json!({}));
        }
        tracker
            .place
            .setup
            .write("bans", "x:127.0.0.1-127.0.0.1\n::1\n");
        tracker.daemon.reload(Signal::SIGHUP);
        let [mut before, mut scraping] = clients;
        let refused = before.ask(&announce('a', 'p', json!({})));
        assert_eq!(
            refused["failure reason"],
            "this address is banned from this tracker"
        );
        assert_eq!(refused["info_hash"], name('a'));
        let frame = before.frame();
        assert_eq!(frame.opcode, CLOSE);
        assert_eq!(frame.payload[..2], 1008_u16.to_be_bytes());
        let refused = scraping.ask(&json!({"action": "scrape", "info_hash": name('a')}));
        assert_eq!(refused["action"], "scrape");
        assert_eq!(scraping.frame().opcode, CLOSE);
        // Closed connections have no peers.
        tracker.await_metric("peers", &[], 0.0);
        let mut after = tracker.client();
        let refused = after.ask(&announce('a', 'p', json!({})));
        assert!(refused["failure reason"].is_string(), "{refused}");
        assert_eq!(after.frame().opcode, CLOSE);
        assert_eq!(tracker.rejected("banned"), 3.0);

        tracker.place.setup.write("bans", "nonsense\n");
        tracker.daemon.reload(Signal::SIGHUP);
        tracker
            .daemon
            .wait_for_log("bans: line 1: expected an address");
        let mut still = tracker.client();
        still.ask(&announce('a', 'p', json!({})));
        assert_eq!(still.frame().opcode, CLOSE);
        tracker.place.setup.write("bans", "");
        tracker.daemon.reload(Signal::SIGHUP);
        tracker.client().announce('a', 'p', json!({}));
    }
}

#[test]
fn behind_a_proxy_the_client_is_banned_and_not_the_proxy() {
    let mut place = new_place(PLAIN).with(&[
        ("network.runs_behind_reverse_proxy", "true"),
        (
            "network.reverse_proxy_ip_header_name",
            "\"X-Forwarded-For\"",
        ),
    ]);
    place.setup.write("bans", "127.0.0.0/8\n192.0.2.0/24\n");
    place.set_paths("bans.paths", &["bans"]);
    let tracker = place.start();
    for (address, is_banned) in [("192.0.2.7", true), ("198.51.100.1", false)] {
        let mut client = tracker.raw();
        let head = client.ask_to_upgrade(&format!("X-Forwarded-For: {address}\r\n"));
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let reply = client.ask(&announce('a', 'p', json!({})));
        assert_eq!(reply["failure reason"].is_string(), is_banned, "{reply}");
    }
}

#[test]
fn clients_are_told_why_they_are_rejected() {
    let mut place = new_place(PLAIN);
    let reason = "no \u{201c}X\u{201d}: \\ see \"rules\"";
    place.setup.write("denied", format!("pppp {reason}\n"));
    place.set_paths("clients.deny_paths", &["denied"]);
    let mut tracker = place.start();
    let mut client = tracker.client();
    let refused = client.ask(&announce('a', 'p', json!({})));
    assert_eq!(refused["failure reason"], reason);
    client.announce('a', 'q', json!({}));
    assert_eq!(tracker.rejected("client_forbidden"), 1.0);
    assert_eq!(tracker.metric("peers", &[]), 1.0);

    tracker.place.setup.write("allowed", "r\n");
    tracker.place.set_paths("clients.allow_paths", &["allowed"]);
    tracker.reload_with(&[]);
    let refused = client.ask(&announce('a', 'q', json!({})));
    assert_eq!(
        refused["failure reason"],
        "this client is not allowed on this tracker"
    );
    client.announce('b', 'r', json!({}));
}

#[test]
fn lists_are_checked_before_they_are_used() {
    let setup = Setup::new(env!("CARGO_BIN_EXE_aquatic-ws"));
    let good = setup.write("good", "10.0.0.0/8\n10.0.0.0/9\n");
    let bad = setup.write("bad", "-XL too greedy\n%zz\n");
    let [good, bad] = [good, bad].map(|path| path.display().to_string());
    let checked = setup.run(&["list-check", &good]);
    assert!(checked.status.success(), "{}", checked.stderr);
    let expected = format!("{good}: bans: 2 entries, 1 range after merging; ");
    assert!(checked.stdout.starts_with(&expected), "{}", checked.stdout);

    let checked = setup.run(&["list-check", "--json", &good, &bad, "/nonexistent"]);
    assert_eq!(checked.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(json["lists"][0]["mistakes"].as_array().unwrap().len(), 0);
    assert_eq!(json["lists"][1]["kind"], "clients");
    assert_eq!(json["lists"][1]["mistakes"][0]["line"], 2);
    let text = json["lists"][2]["mistakes"][0]["text"].as_str().unwrap();
    assert!(text.contains("No such file"), "{text}");

    let mut child = Command::new(env!("CARGO_BIN_EXE_aquatic-ws"))
        .args(["list-check", "--kind", "torrents", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    write!(input, "{}\n10.0.0.0/8\n", "1".repeat(40)).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("-: torrents: 1 entry; "), "{text}");
    assert!(text.contains("\n-: line 2: "), "{text}");
}
