//! Access lists, and their reload.

use std::fs;

use aquatic_test_harness::Signal;

use crate::tracker::{Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, Counts, hash};

const LIST: &str = "list.txt";

/// A tracker with this mode and list.
fn tracker(mode: &str, list: &str) -> Tracker {
    let mut place = new_place();
    place.setup.write(LIST, list);
    place.set("access_list.mode", &format!("\"{mode}\""));
    place.set_path("access_list.path", LIST);
    place.start()
}

/// A line of the list: the info hash whose bytes are all `byte`.
fn line(byte: u8) -> String {
    format!("{byte:02x}").repeat(20) + "\n"
}

#[test]
fn only_listed_torrents_are_served_in_mode_allow() {
    let tracker = tracker("allow", &line(1));
    for mut client in [tracker.client(), tracker.client_ipv6()] {
        client.announce(&Announce::seeder(hash(1), 1001));
        let refused = client.try_announce(&Announce::seeder(hash(2), 1001));
        assert!(refused.unwrap_err().contains("not allowed"));
        assert!(
            client
                .try_scrape(&[hash(2)])
                .unwrap_err()
                .contains("not allowed")
        );
        // Together with an allowed torrent, a forbidden one gets the counts of an unknown
        // one.
        let counts = client.scrape(&[hash(2), hash(1)]);
        assert_eq!((counts[0], counts[1].seeders), (Counts::default(), 1));
    }
    assert_eq!(tracker.rejected("forbidden"), 4.0);
    assert_eq!(tracker.metric("access_list_entries", &[]), 1.0);
}

#[test]
fn listed_torrents_are_not_served_in_mode_deny() {
    let tracker = tracker("deny", &line(1));
    let mut client = tracker.client();
    assert!(
        client
            .try_announce(&Announce::seeder(hash(1), 1001))
            .is_err()
    );
    client.announce(&Announce::seeder(hash(2), 1001));
    assert_eq!(client.scrape(&[hash(2)])[0].seeders, 1);
}

#[test]
fn a_list_is_read_as_operators_write_it() {
    let version_two = "ab".repeat(32);
    let list = format!(
        "# ours\r\n\r\n{}\r\n  {} # theirs\n\n",
        line(0xaa).trim(),
        version_two
    );
    let tracker = tracker("allow", &list.to_uppercase());
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(0xaa), 1001));
    // For a version 2 info hash, the first 20 bytes are compared (BEP 52).
    client.announce(&Announce::seeder(hash(0xab), 1001));
    assert!(
        client
            .try_announce(&Announce::seeder(hash(1), 1001))
            .is_err()
    );
}

#[test]
fn a_reload_takes_effect_and_removes_forbidden_torrents() {
    for signal in [Signal::SIGUSR1, Signal::SIGHUP] {
        let mut tracker = tracker("allow", &(line(1) + &line(2)));
        let mut client = tracker.client();
        for byte in [1, 2] {
            client.announce(&Announce::seeder(hash(byte), 1001));
        }
        assert_eq!(tracker.metric("torrents", &[]), 2.0);
        tracker.place.setup.write(LIST, line(2) + &line(3));
        tracker.daemon.reload(signal);
        assert!(
            client
                .try_announce(&Announce::seeder(hash(1), 1002))
                .is_err()
        );
        client.announce(&Announce::seeder(hash(3), 1001));
        assert_eq!(client.scrape(&[hash(2)])[0].seeders, 1);
        tracker.await_metric("torrents", &[], 2.0);
        // When the torrent is allowed again, its peers have been removed.
        tracker.place.setup.write(LIST, line(1));
        tracker.daemon.reload(signal);
        assert_eq!(client.scrape(&[hash(1)]), [Counts::default()]);
    }
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported() {
    let mut tracker = tracker("deny", &line(1));
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(2), 1001));
    let bad = line(2) + "# fine\nnot a hash\n";
    tracker.place.setup.write(LIST, bad);
    tracker.daemon.reload(Signal::SIGUSR1);
    let logged = tracker.daemon.wait_for_log("line 3");
    assert!(logged.contains(LIST), "the file is named: {logged}");
    assert!(
        client
            .try_announce(&Announce::seeder(hash(1), 1001))
            .is_err()
    );
    assert_eq!(
        client.announce(&Announce::leecher(hash(2), 1002)).seeders,
        1
    );

    fs::remove_file(tracker.place.setup.path(LIST)).unwrap();
    tracker.daemon.reload(Signal::SIGHUP);
    tracker.daemon.wait_for_log("No such file");
    assert!(
        client
            .try_announce(&Announce::seeder(hash(1), 1001))
            .is_err()
    );

    // A valid list is used again.
    tracker.place.setup.write(LIST, line(2));
    tracker.daemon.reload(Signal::SIGUSR1);
    client.announce(&Announce::seeder(hash(1), 1001));
}

#[test]
fn a_reload_without_a_list_is_harmless() {
    let mut tracker = Tracker::start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    for signal in [Signal::SIGUSR1, Signal::SIGHUP] {
        tracker.daemon.reload(signal);
    }
    assert_eq!(client.scrape(&[hash(1)])[0].seeders, 1);
}

#[test]
fn a_tracker_does_not_start_without_its_list() {
    let mut place = new_place();
    place.set("access_list.mode", "\"allow\"");
    place.set_path("access_list.path", "missing.txt");
    let (code, log) = place.start_in_vain();
    assert_ne!(code, Some(0));
    assert!(log.contains("missing.txt"), "{log}");

    place.setup.write("missing.txt", "\n\nnonsense\n");
    let (code, log) = place.start_in_vain();
    assert_ne!(code, Some(0));
    assert!(
        log.contains("missing.txt") && log.contains("line 3"),
        "{log}"
    );
}
