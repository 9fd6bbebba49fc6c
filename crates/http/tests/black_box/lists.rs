//! Several lists, bans by address, and clients.

use aquatic_test_harness::lists::check_lists_with;

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, new_place};
use crate::wire::announce;

#[test]
fn a_torrent_is_served_if_it_is_allowed_and_not_denied() {
    let _ = new_place(PLAIN).start_with_allow_and_deny_lists(|tracker, torrent| {
        let reply = tracker.client().announce(torrent.into(), 1, "");
        (!reply.starts_with("d8:complete")).then_some(reply)
    });
}

#[test]
fn bans_get_a_failure_reason_on_a_connection_that_stays() {
    for kind in KINDS {
        let mut place = new_place(kind);
        place.setup.write("bans", "");
        place.set_paths("bans.paths", &["bans"]);
        let mut tracker = place.start();
        let mut clients = [tracker.client(), tracker.client_ipv6()];
        for client in &mut clients {
            assert!(client.announce('a', 1, "").starts_with("d8:complete"));
        }
        let bans = "127.000.000.001 - 127.000.000.001 , 0 , x\n::1/128\n";
        tracker.rewrite("bans", bans);
        let message =
            "d14:failure reason40:this address is banned from this tracker8:retry ini30ee";
        for client in &mut clients {
            assert_eq!(client.announce('a', 1, ""), message);
            let scrape = client.get("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa");
            assert_eq!(scrape.text(), message);
        }
        assert_eq!(tracker.rejected("banned"), 4.0);
        assert_eq!(clients[0].get("/health").status, 200);
        tracker.rewrite("bans", "127.0.0.1\nx\n");
        tracker
            .daemon
            .wait_for_log("bans: line 2: expected an address");
        assert_eq!(clients[1].announce('a', 1, ""), message);
        tracker.rewrite("bans", "");
        assert!(clients[0].announce('a', 1, "").starts_with("d8:complete"));
    }
}

#[test]
fn behind_a_proxy_the_client_is_banned_and_not_the_proxy() {
    let bans = "127.0.0.0/8\n192.0.2.0/24\n2001:db8::/32\n";
    let tracker = new_place(PLAIN).start_behind_proxy_with_bans(bans);
    let mut client = tracker.client();
    for (address, is_banned) in [
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", true),
        ("2001:db8::1", true),
        ("198.51.100.1", false),
        ("2001:db9::1", false),
    ] {
        let header = format!("X-Forwarded-For: {address}\r\n");
        let text = client.get_with(&announce('a', 1, ""), &header).text();
        assert_eq!(text.contains("banned"), is_banned, "{address}: {text}");
    }
}

#[test]
fn clients_are_told_why_they_are_rejected() {
    let mut place = new_place(PLAIN);
    let reason = "no \u{201c}X\u{201d}: \\ see \"rules\"";
    place
        .setup
        .write("denied", format!("-XX12 {reason}\n-XX other\n"));
    place.set_paths("clients.deny_paths", &["denied"]);
    let mut tracker = place.start();
    let mut client = tracker.client();
    let reply = client.get(&announce('a', 1, "")).body;
    let expected = format!("d14:failure reason{}:{reason}8:retry ini30ee", reason.len());
    assert_eq!(reply, expected.as_bytes());
    assert_eq!(tracker.rejected("client_forbidden"), 1.0);
    // Clients are those of announces.
    let scrape = client.get("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa").text();
    assert!(!scrape.contains("failure"), "{scrape}");

    tracker.place.setup.write("denied", "");
    tracker.place.setup.write("allowed", "-TR\n");
    tracker.place.set_paths("clients.allow_paths", &["allowed"]);
    tracker.reload_with(&[]);
    assert!(
        client
            .announce('a', 1, "")
            .contains("this client is not allowed")
    );
    tracker.rewrite("allowed", "-TR\n-XX1234-\n");
    assert!(client.announce('a', 1, "").starts_with("d8:complete"));
}

#[test]
fn lists_are_checked_before_they_are_used() {
    check_lists_with(env!("CARGO_BIN_EXE_aquatic-http"));
}
