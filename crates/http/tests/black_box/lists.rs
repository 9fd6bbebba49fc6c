//! Several lists, bans by address, and clients.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use aquatic_test_harness::{Setup, Signal};

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, new_place};
use crate::wire::announce;

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
    assert!(client.announce('a', 1, "").starts_with("d8:complete"));
    for torrent in ['b', 'c'] {
        assert!(
            client
                .announce(torrent, 1, "")
                .contains("torrent is not allowed")
        );
    }
    tracker.place.setup.write("allowed/2", line(b'c'));
    tracker.daemon.reload(Signal::SIGHUP);
    assert!(client.announce('c', 1, "").starts_with("d8:complete"));
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
        tracker.place.setup.write(
            "bans",
            "127.000.000.001 - 127.000.000.001 , 0 , x\n::1/128\n",
        );
        tracker.daemon.reload(Signal::SIGHUP);
        let message =
            "d14:failure reason40:this address is banned from this tracker8:retry ini30ee";
        for client in &mut clients {
            assert_eq!(client.announce('a', 1, ""), message);
            let scrape = client.get("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa");
            assert_eq!(scrape.text(), message);
        }
        assert_eq!(tracker.rejected("banned"), 4.0);
        assert_eq!(clients[0].get("/health").status, 200);
        tracker.place.setup.write("bans", "127.0.0.1\nx\n");
        tracker.daemon.reload(Signal::SIGHUP);
        tracker
            .daemon
            .wait_for_log("bans: line 2: expected an address");
        assert_eq!(clients[1].announce('a', 1, ""), message);
        tracker.place.setup.write("bans", "");
        tracker.daemon.reload(Signal::SIGHUP);
        assert!(clients[0].announce('a', 1, "").starts_with("d8:complete"));
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
    place
        .setup
        .write("bans", "127.0.0.0/8\n192.0.2.0/24\n2001:db8::/32\n");
    place.set_paths("bans.paths", &["bans"]);
    let tracker = place.start();
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
    tracker.place.setup.write("allowed", "-TR\n-XX1234-\n");
    tracker.daemon.reload(Signal::SIGHUP);
    assert!(client.announce('a', 1, "").starts_with("d8:complete"));
}

#[test]
fn lists_are_checked_before_they_are_used() {
    let setup = Setup::new(env!("CARGO_BIN_EXE_aquatic-http"));
    let good = setup.write("good", "10.0.0.0/8\n10.0.0.0/9\n");
    let bad = setup.write("bad", "-XL too greedy\n%zz\n");
    let [good, bad] = [good, bad].map(|path| path.display().to_string());
    let checked = setup.run(&["list-check", &good]);
    assert!(checked.status.success(), "{}", checked.stderr);
    let expected = format!("{good}: bans: 2 entries, 1 range after merging; ");
    assert!(checked.stdout.starts_with(&expected), "{}", checked.stdout);

    let checked = setup.run(&["list-check", "--json", &good, &bad, "/nonexistent"]);
    assert_eq!(checked.status.code(), Some(1));
    for part in ["\"kind\": \"clients\"", "\"line\": 2", "No such file"] {
        assert!(checked.stdout.contains(part), "{}", checked.stdout);
    }

    let mut child = Command::new(env!("CARGO_BIN_EXE_aquatic-http"))
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
