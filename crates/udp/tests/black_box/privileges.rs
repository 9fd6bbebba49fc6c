//! Giving up root's power before the first datagram is read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use aquatic_test_harness::{Signal, tools};

use crate::tracker::{Place, Tracker};
use crate::wire::{Announce, hash};

/// Nobody's number on every Linux system.
const NOBODY: u32 = 65534;

fn place() -> Place {
    let mut place = Place::new();
    place.set("privileges.drop_privileges", "true");
    place.set("privileges.user", "\"nobody\"");
    place.set("privileges.group", "\"nogroup\"");
    place
}

/// Asserts that no thread of the tracker has any power left.
fn assert_powerless(tracker: &Tracker) {
    let tasks = format!("/proc/{}/task", tracker.daemon.id());
    let mut threads = 0;
    for task in fs::read_dir(tasks).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let values = line.unwrap_or_else(|| panic!("{name} in {status}"));
            values.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let four_times = format!("{NOBODY} {NOBODY} {NOBODY} {NOBODY}");
        assert_eq!(field("Uid:"), four_times);
        assert_eq!(field("Gid:"), four_times);
        assert_eq!(field("Groups:"), "");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        threads += 1;
    }
    assert!(threads >= 3, "main thread and two workers: {threads}");
}

#[test]
fn every_thread_is_powerless() {
    if !tools::needs_root() {
        return;
    }
    let mut place = place();
    place.set("socket_workers", "2");
    let tracker = place.start();
    assert_powerless(&tracker);
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
    tracker.daemon.stop();
}

#[test]
fn files_are_read_and_written_as_the_new_user_inside_the_new_root() {
    if !tools::needs_root() {
        return;
    }
    let mut place = place();
    let jail = place.setup.path("jail");
    fs::create_dir(&jail).unwrap();
    fs::set_permissions(&jail, fs::Permissions::from_mode(0o777)).unwrap();
    place.setup.write("jail/list", "01".repeat(20));
    place.set("socket_workers", "2");
    place.set_path("privileges.chroot_path", "jail");
    place.set("access_list.mode", "\"allow\"");
    place.set("access_list.path", "\"/list\"");
    place.set("snapshot.path", "\"/swarm.snapshot\"");
    let mut tracker = place.start();
    assert_powerless(&tracker);
    let root = fs::read_link(format!("/proc/{}/root", tracker.daemon.id())).unwrap();
    assert_eq!(root, jail);
    let working = fs::read_link(format!("/proc/{}/cwd", tracker.daemon.id())).unwrap();
    assert_eq!(working, jail);

    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    tracker.place.setup.write("jail/list", "02".repeat(20));
    tracker.daemon.reload(Signal::SIGUSR1);
    client.announce(&Announce::seeder(hash(2), 1001));
    let tracker = tracker.restart();
    assert_eq!(client.scrape(&[hash(2)])[0].seeders, 1);
    tracker.daemon.stop();
    assert!(jail.join("swarm.snapshot").exists());
}

#[test]
fn a_user_who_is_not_there_is_an_error() {
    if !tools::needs_root() {
        return;
    }
    for (key, value) in [
        ("privileges.user", "\"no-such-user\""),
        ("privileges.group", "\"no-such-group\""),
        ("privileges.chroot_path", "\"/no/such/directory\""),
    ] {
        let mut place = place();
        place.set(key, value);
        let (code, log) = place.start_in_vain();
        assert_ne!(code, Some(0));
        assert!(log.contains(key), "{log}");
        assert!(log.contains(value.trim_matches('"')), "{log}");
    }
}
