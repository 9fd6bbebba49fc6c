//! Socket activation.

use std::net::{Ipv4Addr, Ipv6Addr};

use aquatic_test_harness::setup::SocketKind;
use aquatic_test_harness::{Port, tools};

use crate::tracker::{Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, Client, connect_request, hash};

#[test]
fn inherited_sockets_are_served_and_the_first_datagram_is_answered() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    for names in [
        None,
        Some("udp:udp"),
        Some("aquatic-udp.socket:aquatic-udp.socket"),
    ] {
        let mut place = new_place();
        place.set("socket_workers", "2");
        let mut tracker = place.start_activated(SocketKind::Datagram, names);
        // The first datagram starts the daemon, and waits in the socket until the daemon
        // is up.
        let mut client = tracker.client();
        tracker.daemon.wait_until_ready();
        client.announce(&Announce::seeder(hash(1), 1001));
        let mut six = tracker.client_ipv6();
        six.announce(&Announce::seeder(hash(1), 1001));
        assert_eq!(tracker.metric("peers", &[]), 2.0);
        tracker.daemon.stop();
    }
}

#[test]
fn the_configured_address_is_not_bound_when_sockets_are_inherited() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let mut place = new_place();
    let other = Port::reserve();
    place.set("network.address", &format!("\"{}\"", other.ipv4()));
    let mut tracker = place.start_activated(SocketKind::Datagram, None);
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
    tracker.daemon.wait_until_ready();
    std::net::UdpSocket::bind(other.ipv4()).unwrap();
    // The log names the configured address, which differs from that of the socket.
    tracker.daemon.wait_for_log(&other.ipv4().to_string());
}

#[test]
fn fewer_sockets_than_workers_are_worth_a_warning() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let mut place = new_place();
    place.set("socket_workers", "8");
    let mut tracker = place.start_activated(SocketKind::Datagram, None);
    let mut client = Client::unconnected([127, 0, 0, 1].into(), tracker.ipv4());
    assert_eq!(client.ask(&connect_request(1)).len(), 16);
    tracker.daemon.wait_until_ready();
    tracker.daemon.wait_for_log("8 socket workers");
    tracker.await_metric("workers", &[], 2.0);
}

#[test]
fn any_number_of_inherited_sockets_is_right_when_none_is_configured() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let mut place = new_place();
    let unit = "aquatic-udp.socket";
    place.setup.set_environment("AQUATIC_SOCKET_UNIT", unit);
    place.set("socket_workers", "0");
    place.set("metrics.address", "\"\"");
    // As few sockets as are generated on a machine with a single processor, and perhaps
    // fewer than this machine's processors.
    let mut tracker = place.start_activated(SocketKind::Datagram, Some(&format!("{unit}:{unit}")));
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
    tracker.daemon.wait_for_log("with 1 worker");
    tracker.daemon.wait_until_ready();
    let log = tracker.daemon.log();
    assert!(!log.contains("systemctl"), "{log}");
}

#[test]
fn a_small_buffer_of_a_generated_socket_is_for_systemd_to_mend() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let mut place = new_place();
    let unit = "aquatic-udp.socket";
    place.setup.set_environment("AQUATIC_SOCKET_UNIT", unit);
    place.set("metrics.address", "\"\"");
    // More than even root gets.
    place.set("network.socket_recv_buffer_size", "2147483647");
    let mut tracker = place.start_activated(SocketKind::Datagram, Some(&format!("{unit}:{unit}")));
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
    tracker.daemon.wait_until_ready();
    let logged = tracker.daemon.wait_for_log("bytes of receive buffer");
    let mend = format!("`systemctl daemon-reload && systemctl restart {unit}`");
    assert!(logged.contains(&mend), "{logged}");
    assert!(!logged.contains("sysctl"), "{logged}");
}

#[test]
fn ipv4_through_a_socket_of_both_families_is_ipv4() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let place = new_place();
    // The result of a socket unit without BindIPv6Only=.
    let everywhere = (Ipv6Addr::UNSPECIFIED, place.port.number()).into();
    let config = place.config();
    let kind = SocketKind::Datagram;
    let daemon = place
        .setup
        .start_activated(kind, &[everywhere], None, &config);
    let mut tracker = Tracker { place, daemon };
    let mut client = tracker.client();
    tracker.daemon.wait_until_ready();
    client.announce(&Announce::seeder(hash(1), 1001));
    let reply = client.announce(&Announce::leecher(hash(1), 1002));
    assert_eq!(reply.length, 20 + 6);
    assert_eq!(reply.peers, [(Ipv4Addr::LOCALHOST, 1001).into()]);
    assert_eq!(tracker.metric("peers", &[("family", "ipv4")]), 2.0);
    assert_eq!(tracker.metric("peers", &[("family", "ipv6")]), 0.0);
    // IPv6 clients of the same socket have a swarm of their own.
    let reply = tracker
        .client_ipv6()
        .announce(&Announce::leecher(hash(1), 1003));
    assert_eq!(reply.peers, []);
}

#[test]
fn stream_sockets_are_refused() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let place = new_place();
    let sockets = [place.port.ipv4()];
    let config = place.config();
    let daemon = place
        .setup
        .start_activated(SocketKind::Stream, &sockets, Some("udp"), &config);
    let _connection = std::net::TcpStream::connect(place.port.ipv4()).unwrap();
    let finished = daemon.wait(aquatic_test_harness::PATIENCE);
    assert_ne!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}
