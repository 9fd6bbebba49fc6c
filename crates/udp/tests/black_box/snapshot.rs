//! Snapshots: what is kept across restarts.

use std::fs;
use std::path::PathBuf;

use aquatic_test_harness::eventually;

use crate::tracker::{Place, Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, COMPLETED, Counts, hash};

const FILE: &str = "swarm.snapshot";

fn place() -> Place {
    let mut place = new_place();
    place.set_path("snapshot.path", FILE);
    place
}

fn path(tracker: &Tracker) -> PathBuf {
    tracker.place.setup.path(FILE)
}

/// Ends the tracker, changes its snapshot, and starts it again.
fn restart_with(tracker: Tracker, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Tracker {
    let path = path(&tracker);
    let Tracker { place, daemon } = tracker;
    daemon.stop();
    let snapshot = fs::read(&path).unwrap();
    fs::write(&path, change(snapshot)).unwrap();
    place.start()
}

#[test]
fn swarm_counts_and_connection_ids_outlive_a_restart() {
    let tracker = place().start();
    let (mut four, mut six) = (tracker.client(), tracker.client_ipv6());
    for client in [&mut four, &mut six] {
        let mut completed = Announce::seeder(hash(1), 1001);
        completed.event = COMPLETED;
        client.announce(&completed);
        client.announce(&Announce::leecher(hash(1), 1002));
        for byte in 2..=200 {
            client.announce(&Announce::leecher(hash(byte), 1003));
        }
    }
    let before = four.announce(&Announce::leecher(hash(1), 1002));

    let tracker = tracker.restart();
    // Both clients continue with their old connection ids.
    for client in [&mut four, &mut six] {
        let expected = Counts {
            seeders: 1,
            completed: 1,
            leechers: 1,
        };
        assert_eq!(client.scrape(&[hash(1)]), [expected]);
        for byte in 2..=200 {
            assert_eq!(client.scrape(&[hash(byte)])[0].leechers, 1);
        }
    }
    assert_eq!(four.announce(&Announce::leecher(hash(1), 1002)), before);
    assert_eq!(tracker.metric("peers", &[]), 2.0 * 201.0);
    // The snapshot also contains whether a peer's download was counted.
    let mut completed = Announce::seeder(hash(1), 1001);
    completed.event = COMPLETED;
    four.announce(&completed);
    assert_eq!(four.scrape(&[hash(1)])[0].completed, 1);
}

#[test]
fn connection_ids_and_peers_outlive_a_clock_that_is_set() {
    let mut place = place();
    if !place.setup.set_clock("-40y") {
        return;
    }
    let mut tracker = place.start();
    let mut clients = [tracker.client(), tracker.client_ipv6()];
    for client in &mut clients {
        client.announce(&Announce::seeder(hash(1), 1001));
    }
    // The clock is corrected, and then set wrong again, in both directions.
    for offset in ["+0", "-3d", "+90m", "-20y"] {
        let Tracker { mut place, daemon } = tracker;
        daemon.stop();
        assert!(place.setup.set_clock(offset));
        tracker = place.start();
        for client in &mut clients {
            assert_eq!(client.scrape(&[hash(1)])[0].seeders, 1, "{offset}");
            let found = client.announce(&Announce::leecher(hash(1), 1002));
            assert_eq!(found.peers.len(), 1, "{offset}");
        }
        // New clients are served as well.
        let mut other = tracker.client();
        other.scrape(&[hash(1)]);
    }
}

#[test]
fn connection_ids_are_newer_than_the_snapshot_after_a_crash() {
    let mut place = place();
    if !place.setup.set_clock("-40y") {
        return;
    }
    place.set("snapshot.interval_seconds", "1");
    let mut tracker = place.start();
    for offset in ["+0", "-3d", "+90m"] {
        let mut client = tracker.client();
        client.announce(&Announce::seeder(hash(1), 1001));
        let file = path(&tracker);
        let modified = || fs::metadata(&file).ok()?.modified().ok();
        let before = modified();
        eventually("a snapshot", || (modified() > before).then_some(()));
        client.connect();
        let Tracker { mut place, daemon } = tracker;
        daemon.signal(aquatic_test_harness::Signal::SIGKILL);
        daemon.wait(aquatic_test_harness::PATIENCE);
        assert!(place.setup.set_clock(offset));
        tracker = place.start();
        assert_eq!(client.scrape(&[hash(1)])[0].seeders, 1, "{offset}");
    }
}

#[test]
fn download_counts_of_torrents_without_peers_outlive_a_restart() {
    let tracker = place().start();
    let mut client = tracker.client();
    let mut announce = Announce::seeder(hash(1), 1001);
    announce.event = COMPLETED;
    client.announce(&announce);
    announce.event = crate::wire::STOPPED;
    client.announce(&announce);
    let _tracker = tracker.restart();
    let counts = client.scrape(&[hash(1)])[0];
    assert_eq!((counts.completed, counts.seeders), (1, 0));
}

/// A snapshot of version 1.0.0, with a time in the future.
#[test]
fn snapshots_of_version_1_are_read() {
    let place = place();
    let snapshot = include_bytes!("../snapshots/version-1.snapshot");
    place.setup.write(FILE, snapshot);
    let tracker = place.start();
    let (first, second) = ([b'a'; 20], [b'b'; 20]);
    let counts = |seeders, completed, leechers| Counts {
        seeders,
        completed,
        leechers,
    };
    let mut client = tracker.client();
    let found = client.scrape(&[first, second]);
    assert_eq!(found, [counts(1, 7, 1), counts(0, 3, 0)]);
    let announce = Announce::leecher(first, 1004);
    let ports = |client: &mut crate::wire::Client| {
        let peers = client.announce(&announce).peers;
        peers.iter().map(|peer| peer.port()).collect::<Vec<_>>()
    };
    assert_eq!(ports(&mut client), [1001, 1002]);
    let mut client = tracker.client_ipv6();
    assert_eq!(ports(&mut client), [1003]);
    assert_eq!(client.scrape(&[first]), [counts(0, 1, 2)]);
}

#[test]
fn snapshots_are_written_while_the_tracker_runs() {
    let mut place = place();
    place.set("snapshot.interval_seconds", "1");
    let tracker = place.start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    let file = path(&tracker);
    let first = eventually("a first snapshot", || {
        fs::metadata(&file).ok()?.modified().ok()
    });
    eventually("a later snapshot", || {
        let later = fs::metadata(&file).ok()?.modified().ok()?;
        (later > first).then_some(())
    });
    // Simulates a power failure.
    let Tracker { place, daemon } = tracker;
    daemon.signal(aquatic_test_harness::Signal::SIGKILL);
    assert_eq!(
        daemon.wait(aquatic_test_harness::PATIENCE).status.code(),
        None
    );
    let _tracker = place.start();
    assert_eq!(client.scrape(&[hash(1)])[0].seeders, 1);
}

#[test]
fn a_damaged_snapshot_is_set_aside_and_the_tracker_starts_empty() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damages: [(&str, Damage); 4] = [
        ("a flipped bit", |mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            bytes
        }),
        ("a cut", |mut bytes| {
            bytes.truncate(bytes.len() - 9);
            bytes
        }),
        ("little left", |bytes| bytes[..5].to_vec()),
        ("a bad header", |mut bytes| {
            bytes[13] ^= 1;
            bytes
        }),
    ];
    for (name, damage) in damages {
        let tracker = place().start();
        tracker.client().announce(&Announce::seeder(hash(1), 1001));
        let tracker = restart_with(tracker, damage);
        tracker.daemon.wait_for_log(FILE);
        let aside = path(&tracker).with_extension("snapshot.damaged");
        assert!(aside.exists(), "{name}: {}", tracker.daemon.log());
        let counts = tracker.client().scrape(&[hash(1)]);
        assert_eq!(counts, [Counts::default()], "{name}");
        // The next snapshot is written to the original path.
        tracker.client().announce(&Announce::seeder(hash(2), 1001));
        let tracker = tracker.restart();
        assert_eq!(tracker.client().scrape(&[hash(2)])[0].seeders, 1, "{name}");
    }
}

#[test]
fn a_snapshot_obeys_the_access_list_of_the_next_start() {
    let tracker = place().start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    client.announce(&Announce::seeder(hash(2), 1001));
    let Tracker { mut place, daemon } = tracker;
    daemon.stop();
    place.setup.write("list", "02".repeat(20));
    place.set("access_list.mode", "\"allow\"");
    place.set_path("access_list.path", "list");
    let tracker = place.start();
    tracker.await_metric("torrents", &[], 1.0);
    assert_eq!(client.scrape(&[hash(2)])[0].seeders, 1);
}

#[test]
fn old_peers_are_not_brought_back() {
    let mut place = place();
    place.set("cleaning.max_peer_age", "1");
    place.set("cleaning.torrent_cleaning_interval", "1");
    let tracker = place.start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    let tracker = tracker.restart();
    tracker.await_metric("peers", &[], 0.0);
}

#[test]
fn a_snapshot_that_cannot_be_written_is_an_error_at_the_start() {
    let mut place = new_place();
    place.set_path("snapshot.path", "no/such/directory/file");
    let (code, log) = place.start_in_vain();
    assert_ne!(code, Some(0));
    assert!(log.contains("no/such/directory"), "{log}");
}

#[test]
fn without_a_path_every_start_is_an_empty_one() {
    let tracker = Tracker::start();
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
    let tracker = tracker.restart();
    assert_eq!(tracker.client().scrape(&[hash(1)]), [Counts::default()]);
}

#[test]
fn the_state_directory_of_systemd_is_used() {
    let mut place = new_place();
    let state = place.setup.directory().to_owned();
    place.setup.set_environment("STATE_DIRECTORY", &state);
    let tracker = place.start();
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    let _tracker = tracker.restart();
    assert_eq!(client.scrape(&[hash(1)])[0].seeders, 1);
    assert!(state.join("aquatic-udp.snapshot").exists());
}
