//! The lifecycle of the process, as its service manager sees it.

use std::net::{Ipv4Addr, UdpSocket};

use aquatic_test_harness::{PATIENCE, Signal};

use crate::tracker::{Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, hash};

#[test]
fn it_stops_in_an_orderly_way() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let tracker = Tracker::start();
        tracker.client().announce(&Announce::seeder(hash(1), 1001));
        tracker.daemon.signal(signal);
        let finished = tracker.daemon.wait(PATIENCE);
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    }
}

#[test]
fn what_was_sent_before_the_stop_is_answered() {
    let tracker = Tracker::start();
    let mut client = tracker.client();
    for port in 1001..=1100 {
        let announce = Announce::leecher(hash(1), port);
        client.send(&announce.bytes(client.connection_id, u32::from(port)));
    }
    tracker.daemon.stop();
    for port in 1001..=1100_u32 {
        let reply = client.receive();
        assert_eq!(reply[4..8], port.to_be_bytes());
    }
}

#[test]
fn the_service_manager_is_kept_informed() {
    let mut tracker = Tracker::start();
    let status = tracker.daemon.wait_for_message("STATUS=", 0);
    let port = tracker.place.port.number().to_string();
    assert!(status.contains(&port), "{status}");
    tracker.daemon.reload(Signal::SIGHUP);
    tracker.daemon.signal(Signal::SIGTERM);
    tracker.daemon.wait_for_message("STOPPING=1", 0);
    let wanted = ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"];
    let said: Vec<&String> = tracker
        .daemon
        .messages()
        .iter()
        .filter(|line| wanted.contains(&line.as_str()))
        .collect();
    assert_eq!(said, wanted);
}

#[test]
fn the_watchdog_is_fed_when_there_is_one() {
    let mut place = new_place();
    // The daemon sends `WATCHDOG=1` at least twice in that time.
    place.setup.set_environment("WATCHDOG_USEC", "4000000");
    let mut tracker = place.start();
    tracker.daemon.wait_for_message("WATCHDOG=1", 0);
    let seen = tracker.daemon.messages().len();
    tracker.daemon.wait_for_message("WATCHDOG=1", seen);
}

#[test]
fn several_workers_share_one_swarm() {
    let tracker = Tracker::with(&[("socket_workers", "4")]);
    // Different flows reach different workers.
    for port in 1001..=1032 {
        tracker.client().announce(&Announce::leecher(hash(1), port));
        tracker
            .client_ipv6()
            .announce(&Announce::leecher(hash(1), port));
    }
    let reply = tracker.client().announce(&Announce::seeder(hash(1), 2000));
    assert_eq!((reply.leechers, reply.peers.len()), (32, 30));
    let replies = tracker.metric("replies_total", &[("kind", "announce")]);
    assert_eq!(replies, 65.0);
}

#[test]
fn there_is_a_worker_per_core_by_default() {
    let tracker = Tracker::with(&[("socket_workers", "0")]);
    let cores = std::thread::available_parallelism().unwrap().get();
    tracker.await_metric("workers", &[], cores as f64);
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
}

#[test]
fn a_port_in_use_is_an_error() {
    let place = new_place();
    let _other = UdpSocket::bind(place.port.ipv4()).unwrap();
    let (code, log) = place.start_in_vain();
    assert_ne!(code, Some(0));
    let address = place.port.ipv4().to_string();
    assert!(log.contains(&address) && log.contains("in use"), "{log}");
}

#[test]
fn a_second_daemon_on_the_same_port_is_refused() {
    let mut tracker = Tracker::with(&[("socket_workers", "2")]);
    let mut place = new_place();
    // Also if the addresses overlap without being equal.
    let address = format!("[\"0.0.0.0:{}\"]", tracker.place.port.number());
    for (workers, address) in [("1", None), ("2", None), ("1", Some(address))] {
        let shared = format!("\"{}\"", tracker.ipv4());
        place.set("network.address", address.as_ref().unwrap_or(&shared));
        place.set("socket_workers", workers);
        let (code, log) = place.start_in_vain();
        assert_ne!(code, Some(0), "{log}");
        assert!(log.contains("in use"), "{log}");
    }
    assert!(tracker.daemon.is_running());
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
}

#[test]
fn an_address_of_another_machine_is_an_error() {
    let mut place = new_place();
    // An address reserved for documentation (RFC 5737).
    place.set("network.address", "\"192.0.2.1:3000\"");
    let (code, log) = place.start_in_vain();
    assert_ne!(code, Some(0));
    assert!(log.contains("192.0.2.1:3000"), "{log}");
}

#[test]
fn every_address_serves_its_own_family_only() {
    let mut place = new_place();
    let port = place.port.number();
    place.set("network.address", &format!("[\"[::]:{port}\"]"));
    let tracker = place.start();
    tracker
        .client_ipv6()
        .announce(&Announce::seeder(hash(1), 1001));
    // The port is still free for IPv4.
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
}

#[test]
fn several_addresses_are_served() {
    let mut place = new_place();
    let port = place.port.number();
    let addresses = format!("[\"127.0.0.1:{port}\", \"127.0.0.2:{port}\", \"[::1]:{port}\"]");
    place.set("network.address", &addresses);
    let tracker = place.start();
    for address in ["127.0.0.1", "127.0.0.2"] {
        let address = (address.parse::<Ipv4Addr>().unwrap(), port).into();
        // The reply comes from the address that was asked.
        crate::wire::Client::new(address).announce(&Announce::seeder(hash(1), 1001));
    }
    let mut client = tracker.client_ipv6();
    client.announce(&Announce::seeder(hash(1), 1001));
}
