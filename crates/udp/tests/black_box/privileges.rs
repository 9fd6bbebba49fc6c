//! Dropping of privileges before the first datagram is read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use aquatic_test_harness::network::{self, Families, Network};
use aquatic_test_harness::privileges::assert_powerless;
use aquatic_test_harness::{PATIENCE, Process, Signal, tools};

use crate::tracker::{Place, UdpTracker as _, new_place};
use crate::wire::{Announce, hash};

fn place() -> Place {
    let mut place = new_place();
    place.set("privileges.drop_privileges", "true");
    place.set("privileges.user", "\"nobody\"");
    place.set("privileges.group", "\"nogroup\"");
    place
}

#[test]
fn every_thread_is_powerless() {
    if !tools::needs_root() {
        return;
    }
    let mut place = place();
    place.set("socket_workers", "2");
    let tracker = place.start();
    let threads = assert_powerless(tracker.daemon.id());
    assert!(threads >= 3, "main thread and two workers: {threads}");
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
    tracker.daemon.stop();
}

#[test]
fn ports_that_only_root_may_bind_are_served() {
    if !tools::needs_root() || !tools::needs(&network::PROGRAMS) || !tools::needs(&["python3"]) {
        return;
    }
    // The tracker runs on a host of its own, where the port is free.
    let network = Network::new(1, Families::Both);
    let mut place = place();
    place.set("network.address", "\"127.0.0.1:80\"");
    let daemon = place.setup.start_on(network.host(0), &place.config());
    let script = "
import socket, struct
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(20)
client.sendto(struct.pack('>QII', 0x41727101980, 0, 7), ('127.0.0.1', 80))
assert client.recv(100)[:8] == struct.pack('>II', 0, 7)
";
    let mut ask = network.host(0).command("python3");
    ask.args(["-c", script]);
    let asked = Process::start("client", &mut ask).wait(PATIENCE);
    assert!(asked.status.success(), "{}", asked.stderr);
    daemon.stop();
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
    place
        .setup
        .set_environment("XDG_RUNTIME_DIR", "/run/user/0");
    let mut tracker = place.start();
    let warning = tracker
        .daemon
        .wait_for_log("cannot create /run/user/0/aquatic");
    assert!(
        warning.contains("below privileges.chroot_path"),
        "{warning}"
    );
    assert_powerless(tracker.daemon.id());
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
fn an_unknown_user_is_an_error() {
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
