//! Several lists, bans by address, and clients.

use aquatic_test_harness::lists::check_lists_with;

use crate::tracker::{PROGRAM, UdpTracker as _, new_place};
use crate::wire::{Announce, Client, hash};

#[track_caller]
fn expect_refused(client: &mut Client, torrent: u8, text: &str) {
    let refused = client.try_announce(&Announce::seeder(hash(torrent), 1001));
    let refused = refused.unwrap_err();
    assert!(refused.contains(text), "{refused}");
}

#[test]
fn a_torrent_is_served_if_it_is_allowed_and_not_denied() {
    let tracker = new_place().start_with_allow_and_deny_lists(|tracker, torrent| {
        let announce = Announce::seeder(hash(torrent), 1001);
        tracker.client().try_announce(&announce).err()
    });
    assert_eq!(tracker.metric("access_list_entries", &[]), 2.0);
    let list = [("list", "access_list")];
    assert_eq!(tracker.metric("list_files", &list), 3.0);
}

#[test]
fn banned_addresses_get_an_error_with_a_valid_connection_id() {
    let mut place = new_place();
    place.setup.write("bans", "# nobody yet\n");
    place.set_paths("bans.paths", &["bans"]);
    let mut tracker = place.start();
    let mut clients = [tracker.client(), tracker.client_ipv6()];
    for client in &mut clients {
        client.announce(&Announce::seeder(hash(1), 1001));
    }
    // While requests are under way.
    tracker.rewrite("bans", "Some one:127.0.0.0-127.0.0.9\n::1\n");
    for client in &mut clients {
        expect_refused(client, 1, "banned");
        assert!(
            client
                .try_scrape(&[hash(1)])
                .unwrap_err()
                .contains("banned")
        );
    }
    // Whoever is banned still gets a connection id, by which an error can be sent.
    let mut new = tracker.client();
    expect_refused(&mut new, 1, "banned");
    assert_eq!(tracker.rejected("banned"), 5.0);
    let list = [("list", "ban_list")];
    assert_eq!(tracker.metric("list_entries", &list), 2.0);
    assert!(tracker.metric("list_loaded_timestamp_seconds", &list) > 1e9);

    // A list with a mistake changes nothing.
    tracker.rewrite("bans", "127.0.0.0/8\n10.0.0.1/8\n");
    tracker
        .daemon
        .wait_for_log("bans: line 2: 10.0.0.1/8 has bits beyond the prefix");
    expect_refused(&mut clients[1], 1, "banned");
    let what = [("what", "ban_list")];
    assert_eq!(tracker.metric("reload_failures_total", &what), 1.0);

    tracker.place.setup.write("bans", "127.0.0.0/8\n");
    tracker.reload_with(&[("bans.except", "[\"127.0.0.1\"]")]);
    for client in &mut clients {
        client.announce(&Announce::seeder(hash(1), 1001));
    }
}

#[test]
fn clients_are_told_why_they_are_rejected() {
    let mut place = new_place();
    place
        .setup
        .write("denied", "-XX no \u{201c}X\u{201d}: see rule #4\n");
    place.set_paths("clients.deny_paths", &["denied"]);
    let mut tracker = place.start();
    let mut client = tracker.client();
    let announce = |start: &[u8]| {
        let mut announce = Announce::seeder(hash(1), 1001);
        announce.peer_id[..start.len()].copy_from_slice(start);
        announce
    };
    let refused = client.try_announce(&announce(b"-XX1234-")).unwrap_err();
    assert_eq!(refused, "no \u{201c}X\u{201d}: see rule #4");
    client.announce(&announce(b"-XY1234-"));
    assert_eq!(tracker.rejected("client_forbidden"), 1.0);

    tracker.place.setup.write("allowed", "-XX\n-TR\n");
    tracker.place.set_paths("clients.allow_paths", &["allowed"]);
    tracker.reload_with(&[]);
    let refused = client.try_announce(&announce(b"-XY1234-")).unwrap_err();
    assert!(refused.contains("client is not allowed"), "{refused}");
    client.announce(&announce(b"-TR4000-"));
    assert!(client.try_announce(&announce(b"-XX1234-")).is_err());

    // The other list still has an entry.
    tracker.place.setup.write("allowed", "");
    tracker.reload_with(&[]);
    let logged = tracker
        .daemon
        .wait_for_log("no clients are served any more");
    assert!(logged.starts_with("WARN "), "{logged}");
}

#[test]
fn faulty_lists_prevent_the_start_and_are_found_by_the_check() {
    for (key, text, said) in [
        ("bans.paths", "1.2.3.4-1.2.3.1\n", "bans.paths: ban list"),
        (
            "clients.deny_paths",
            "%\n",
            "clients.deny_paths: client list",
        ),
        (
            "clients.allow_paths",
            "\u{e9}\n",
            "clients.allow_paths: client list",
        ),
        (
            "access_list.deny_paths",
            "x\n",
            "access_list.deny_paths: access list",
        ),
        ("access_list.allow_paths", "\n", ""),
    ] {
        let mut place = new_place();
        place.setup.write("list", text);
        place.set_paths(key, &["list"]);
        if said.is_empty() {
            let tracker = place.start();
            expect_refused(&mut tracker.client(), 1, "not allowed");
            continue;
        }
        let (code, output) = place.start_in_vain();
        assert_eq!(code, Some(78), "{output}");
        assert!(
            output.contains(said) && output.contains("line 1: "),
            "{output}"
        );
    }
}

#[test]
fn a_reload_under_load_loses_no_request() {
    let mut place = new_place();
    let list = |last: u8| -> String {
        (0..200_000u32)
            .map(|number| {
                let [_, a, b, c] = (number * 16).to_be_bytes();
                format!("10.{a}.{b}.{c}\n")
            })
            .chain([format!("192.0.2.{last}\n")])
            .collect()
    };
    place.setup.write("bans", list(1));
    place.set_paths("bans.paths", &["bans"]);
    let mut tracker = place.start();
    let address = tracker.ipv4();
    let worker = std::thread::spawn(move || {
        let mut client = Client::new(address);
        for _ in 0..3_000 {
            client.announce(&Announce::seeder(hash(1), 1001));
        }
    });
    for last in 2..6 {
        tracker.rewrite("bans", list(last));
    }
    worker.join().expect("all of them were answered");
    assert_eq!(tracker.rejected("banned"), 0.0);
    let entries = tracker.metric("list_entries", &[("list", "ban_list")]);
    assert_eq!(entries, 200_001.0);
}

#[test]
fn lists_are_checked_before_they_are_used() {
    check_lists_with(PROGRAM);
}
