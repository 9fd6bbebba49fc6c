//! Several lists, bans by address, and clients.

use aquatic_test_harness::lists::check_lists_with;
use serde_json::json;

use crate::tracker::{KINDS, PLAIN, WsTracker as _, new_place};
use crate::wire::{CLOSE, announce, name};

#[test]
fn a_torrent_is_served_if_it_is_allowed_and_not_denied() {
    let _ = new_place(PLAIN).start_with_allow_and_deny_lists(|tracker, torrent| {
        let announce = announce(torrent.into(), 'p', json!({}));
        let reply = tracker.client().ask(&announce);
        reply["failure reason"].as_str().map(str::to_owned)
    });
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
        // It has no peer, and has not even finished its message.
        let mut unfinished = tracker.client();
        unfinished.send([0x01, 0x80 | 5, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o']);
        tracker.rewrite("bans", "x:127.0.0.1-127.0.0.1\n::1\n");
        // Those that are silent are closed, too.
        let text = "this address is banned from this tracker";
        for mut client in clients.into_iter().chain([unfinished]) {
            let frame = client.frame();
            assert_eq!(frame.opcode, CLOSE);
            assert_eq!(frame.payload[..2], 1008_u16.to_be_bytes());
            assert_eq!(frame.payload[2..], *text.as_bytes());
        }
        // Closed connections have no peers.
        tracker.await_metric("peers", &[], 0.0);
        let cut = [("reason", "no_longer_served")];
        assert_eq!(tracker.metric("connections_cut_total", &cut), 3.0);
        let mut after = tracker.client();
        let refused = after.ask(&announce('a', 'p', json!({})));
        assert_eq!(refused["failure reason"], text);
        assert_eq!(refused["info_hash"], name('a'));
        assert_eq!(after.frame().opcode, CLOSE);
        let mut scraping = tracker.client();
        let refused = scraping.ask(&json!({"action": "scrape", "info_hash": name('a')}));
        assert_eq!(refused["action"], "scrape");
        assert_eq!(scraping.frame().opcode, CLOSE);
        assert_eq!(tracker.rejected("banned"), 2.0);
        // Whatever they send.
        for garbage in [json!("garbage"), json!({"action": "announce"}), json!([])] {
            let mut sending = tracker.client();
            let refused = sending.ask(&garbage);
            assert!(refused["failure reason"].is_string(), "{refused}");
            assert_eq!(sending.frame().opcode, CLOSE, "{garbage}");
        }

        tracker.rewrite("bans", "nonsense\n");
        tracker
            .daemon
            .wait_for_log("bans: line 1: expected an address");
        let mut still = tracker.client();
        still.ask(&announce('a', 'p', json!({})));
        assert_eq!(still.frame().opcode, CLOSE);
        tracker.rewrite("bans", "");
        tracker.client().announce('a', 'p', json!({}));
    }
}

#[test]
fn behind_a_proxy_the_client_is_banned_and_not_the_proxy() {
    let bans = "127.0.0.0/8\n192.0.2.0/24\n";
    let tracker = new_place(PLAIN).start_behind_proxy_with_bans(bans);
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
    check_lists_with(env!("CARGO_BIN_EXE_aquatic-ws"));
}
