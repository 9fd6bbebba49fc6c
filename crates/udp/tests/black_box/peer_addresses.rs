//! Under which addresses peers are listed.

use std::net::{Ipv4Addr, SocketAddr};

use crate::tracker::{Tracker, UdpTracker as _, new_place};
use crate::wire::{Announce, STOPPED, hash};

/// Clients at 127.0.0.1 are at 5.5.5.5, and those at 127.0.1.0/24 in another network.
const MAP: &str = "[{ from = \"127.0.0.1\", to = \"5.5.5.5\" }, \
    { from = \"127.0.1.0/24\", to = \"6.6.6.0/24\" }, \
    { from = \"::1\", to = \"2a00::7\" }]";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn peers_are_listed_where_they_are_outside() {
    let mut tracker = Tracker::with(&[("address_map", MAP)]);
    let mut client = tracker.client();
    client.announce(&Announce::seeder(hash(1), 1001));
    let mut outside = tracker.client_at(9);
    let leecher = Announce::leecher(hash(1), 1002);
    assert_eq!(outside.announce(&leecher).peers, [address("5.5.5.5:1001")]);
    let other = Ipv4Addr::new(127, 0, 1, 9);
    let mut other = crate::wire::Client::at(other.into(), tracker.ipv4());
    other.announce(&Announce::seeder(hash(1), 1003));
    let both = [address("5.5.5.5:1001"), address("6.6.6.9:1003")];
    assert_eq!(outside.announce(&leecher).peers, both);
    // A peer with the address is the same one.
    let stopped = Announce {
        event: STOPPED,
        ..Announce::seeder(hash(1), 1001)
    };
    client.announce(&stopped);
    assert_eq!(outside.announce(&leecher).peers, [both[1]]);

    let mut ipv6 = tracker.client_ipv6();
    ipv6.announce(&Announce::seeder(hash(2), 1001));
    let found = ipv6.announce(&Announce::leecher(hash(2), 1002)).peers;
    assert_eq!(found, [address("[2a00::7]:1001")]);

    // A map that overlaps itself is refused, and the former one stays.
    let wrong = "[{ from = \"127.0.0.0/8\", to = \"7.7.7.7\" }, { from = \"127.0.0.1\", to = \"8.8.8.8\" }]";
    tracker.reload_with(&[("address_map", wrong)]);
    tracker
        .daemon
        .wait_for_log("127.0.0.1 overlaps 127.0.0.0/8");
    client.announce(&Announce::seeder(hash(3), 1001));
    let found = |outside: &mut crate::wire::Client, byte| {
        outside.announce(&Announce::leecher(hash(byte), 1002)).peers
    };
    assert_eq!(found(&mut outside, 3), [address("5.5.5.5:1001")]);
    tracker.reload_with(&[("address_map", "[]")]);
    client.announce(&Announce::seeder(hash(4), 1001));
    assert_eq!(found(&mut outside, 4), [address("127.0.0.1:1001")]);
}

#[test]
fn the_address_field_counts_from_those_who_are_believed() {
    let tracker = Tracker::with(&[("network.believe_ip_from", "[\"127.0.0.9\", \"::1\"]")]);
    let claiming = |port| Announce {
        address: [9, 9, 9, 9],
        ..Announce::seeder(hash(1), port)
    };
    tracker.client_at(9).announce(&claiming(1001));
    tracker
        .client_at(9)
        .announce(&Announce::seeder(hash(1), 1002));
    tracker.client_at(8).announce(&claiming(1003));
    let found = tracker
        .client()
        .announce(&Announce::leecher(hash(1), 1))
        .peers;
    let expected = ["9.9.9.9:1001", "127.0.0.8:1003", "127.0.0.9:1002"].map(address);
    let mut sorted = expected;
    sorted.sort();
    assert_eq!(found, sorted);
    // IPv6 has no such field.
    let mut ipv6 = tracker.client_ipv6();
    ipv6.announce(&claiming(1001));
    let found = ipv6.announce(&Announce::leecher(hash(1), 1)).peers;
    assert_eq!(found, [address("[::1]:1001")]);
}

#[test]
fn peers_that_nobody_reaches_are_rejected() {
    let tracker = Tracker::with(&[
        ("network.reject_special_addresses", "true"),
        ("address_map", MAP),
    ]);
    let mut local = tracker.client_at(9);
    let error = local
        .try_announce(&Announce::seeder(hash(1), 1001))
        .unwrap_err();
    assert!(
        error.starts_with("peers cannot reach your address"),
        "{error}"
    );
    assert_eq!(tracker.rejected("special_address"), 1.0);
    // Who only asks is not concerned.
    assert_eq!(local.scrape(&[hash(1)])[0].seeders, 0);
    tracker.client().announce(&Announce::seeder(hash(1), 1001));
    assert_eq!(local.scrape(&[hash(1)])[0].seeders, 1);
    assert_eq!(tracker.rejected("special_address"), 1.0);
}

#[test]
fn limits_count_the_address_outside() {
    let map = "[{ from = \"127.0.0.0/8\", to = \"5.5.5.5\" }]";
    let tracker = Tracker::with(&[("limits.max_peers_per_ip", "2"), ("address_map", map)]);
    for last_byte in [1, 2] {
        let seeder = Announce::seeder(hash(1), 1000 + u16::from(last_byte));
        tracker.client_at(last_byte).announce(&seeder);
    }
    let third = tracker
        .client_at(3)
        .try_announce(&Announce::seeder(hash(1), 1003));
    assert_eq!(
        third.unwrap_err(),
        "address has reached its maximum of peers"
    );
}

#[test]
fn a_wrong_map_is_reported_with_its_line() {
    let place = new_place();
    let mut config = place.config();
    config.push_str("[[address_map]]\nfrom = \"10.0.0.0/8\"\nto = \"::1\"\n");
    let path = place.setup.write("wrong.toml", &config);
    let line = config.lines().count();
    let checked = place
        .setup
        .run(&["--check-config", "-c", path.to_str().unwrap()]);
    assert!(!checked.status.success());
    let expected =
        format!("wrong.toml:{line}:6: address_map[0].to: ::1 is not in the address family");
    assert!(checked.stderr.contains(&expected), "{}", checked.stderr);
}
