//! Sockets that systemd opened for an earlier state of the configuration.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use aquatic_test_harness::setup::SocketKind;
use aquatic_test_harness::{Port, http, tools};

use crate::tracker::{HttpTracker as _, PLAIN, Place, Tracker, new_place};

/// The commands that make the sockets agree with the configuration.
const MEND: &str = "`systemctl daemon-reload && systemctl restart aquatic-http.socket`";

/// A running tracker that inherited a socket, and sockets for metrics at the addresses
/// `metrics`, as generated for an earlier configuration.
fn with_generated_sockets(mut place: Place, metrics: &[SocketAddr]) -> Tracker {
    let unit = "aquatic-http.socket";
    place.setup.set_environment("AQUATIC_SOCKET_UNIT", unit);
    place.set("network.address", &format!("\"{}\"", place.port.ipv4()));
    let sockets = [&[place.port.ipv4()], metrics].concat();
    let names = [vec![unit], vec!["metrics"; metrics.len()]]
        .concat()
        .join(":");
    let config = place.config();
    let kind = SocketKind::Stream;
    let daemon = place
        .setup
        .start_activated(kind, &sockets, Some(&names), &config);
    let mut tracker = Tracker { place, daemon };
    tracker.client().announce('a', 1, "");
    tracker.daemon.wait_until_ready();
    tracker
}

#[test]
fn metrics_at_an_address_of_a_former_configuration_are_warned_of() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let place = new_place(PLAIN);
    let former = Port::reserve();
    let wanted = place.metrics.ipv4();
    let tracker = with_generated_sockets(place, &[former.ipv4()]);
    let logged = tracker.daemon.wait_for_log("WARN  metrics.address: ");
    for part in [&former.ipv4().to_string(), &wanted.to_string(), MEND] {
        assert!(logged.contains(part), "{logged}");
    }
    assert_eq!(http::get(former.ipv4(), "/health").status, 200);

    let place = new_place(PLAIN);
    let same = place.metrics.ipv4();
    let tracker = with_generated_sockets(place, &[same]);
    assert_eq!(tracker.metric("peers", &[]), 1.0);
    let log = tracker.daemon.log();
    assert!(!log.contains("systemctl"), "{log}");
}

#[test]
fn metrics_are_not_served_after_they_were_disabled() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let mut place = new_place(PLAIN);
    let former = place.metrics.ipv4();
    place.set("metrics.address", "\"\"");
    let tracker = with_generated_sockets(place, &[former]);
    let logged = tracker.daemon.wait_for_log("WARN  metrics.address: ");
    assert!(
        logged.contains(&former.to_string()) && logged.contains(MEND),
        "{logged}"
    );
    TcpStream::connect(former).unwrap_err();
}

#[test]
fn a_tracker_without_a_socket_for_metrics_serves_all_the_same() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let place = new_place(PLAIN);
    let wanted = place.metrics.ipv4();
    let mut tracker = with_generated_sockets(place, &[]);
    let logged = tracker.daemon.wait_for_log("WARN  metrics.address: ");
    assert!(
        logged.contains(&wanted.to_string()) && logged.contains(MEND),
        "{logged}"
    );
    let answer = tracker.client().announce('a', 2, "");
    assert!(answer.starts_with("d8:complete"), "{answer}");
    assert!(tracker.daemon.is_running());
}

#[test]
fn the_queue_of_inherited_sockets_is_as_long_as_configured() {
    if !tools::needs(&["systemd-socket-activate", "ss"]) {
        return;
    }
    let mut place = new_place(PLAIN);
    place.set("network.tcp_backlog", "7");
    let metrics = place.metrics.ipv4();
    let tracker = with_generated_sockets(place, &[metrics]);
    let port = format!("sport = :{}", tracker.ipv4().port());
    let mut ss = Command::new("ss");
    ss.args(["--tcp", "--listening", "--numeric", "--no-header", &port]);
    let output = ss.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // The columns are the state, the number of waiting connections, and its maximum.
    assert_eq!(text.split_whitespace().nth(2), Some("7"), "{text}");
}
