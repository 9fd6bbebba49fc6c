//! Under which addresses peers are listed.

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, Tracker};
use crate::wire::Client;

/// Clients at 127.0.0.1 are at 5.5.5.5.
const MAP: (&str, &str) = (
    "address_map",
    "[{ from = \"127.0.0.1\", to = \"5.5.5.5\" }, { from = \"::1\", to = \"2a00::7\" }]",
);

/// The compact peers that a leecher of the torrent at 127.0.0.1 or `::1` gets.
fn found(client: &mut Client, torrent: char) -> String {
    let body = client.announce(torrent, 1, "&left=1&numwant=50");
    let start = body.find("5:peers").expect("peers");
    body[start..].trim_end_matches('e').to_owned()
}

#[test]
fn peers_are_listed_where_they_are_outside() {
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[MAP]);
        let mut client = tracker.client();
        let body = client.announce('a', 257, "&left=0&ip=9.9.9.9");
        assert!(body.contains("external ip4:\\x05\\x05\\x05\\x05"), "{body}");
        let peers = found(&mut client, 'a');
        assert_eq!(peers, "5:peers6:\\x05\\x05\\x05\\x05\\x01\\x01", "{kind:?}");
        let mut ipv6 = tracker.client_ipv6();
        ipv6.announce('a', 257, "&left=0");
        let zeros = "\\x00".repeat(13);
        let expected = format!("5:peers0:6:peers618:*{zeros}\\x00\\x07\\x01\\x01");
        assert_eq!(found(&mut ipv6, 'a'), expected);
    }
}

#[test]
fn claims_count_from_those_who_are_believed() {
    let tracker = Tracker::with(PLAIN, &[("network.believe_ip_from", "[\"127.0.0.1\"]")]);
    let mut client = tracker.client();
    let body = client.announce('a', 257, "&left=0&ip=9.9.9.9");
    assert!(body.contains("external ip4:\\t\\t\\t\\t"), "{body}");
    assert_eq!(found(&mut client, 'a'), "5:peers6:\\t\\t\\t\\t\\x01\\x01");
    // An address of the other family is known there, too.
    client.announce('b', 257, "&left=0&ipv6=[2a00::7]:514");
    assert_eq!(
        found(&mut client, 'b'),
        "5:peers6:\\x7f\\x00\\x00\\x01\\x01\\x01"
    );
    let mut ipv6 = tracker.client_ipv6();
    assert!(found(&mut ipv6, 'b').ends_with("\\x00\\x07\\x02\\x02"));
    client.announce('b', 257, "&left=0&ipv6=[2a00::7]:514&event=stopped");
    assert_eq!(found(&mut ipv6, 'b'), "5:peers0:6:peers60:");
    // What is claimed over IPv6 is not believed here.
    ipv6.announce('c', 257, "&left=0&ip=9.9.9.9&ipv4=9.9.9.9");
    assert_eq!(found(&mut client, 'c'), "5:peers0:");
    let target = crate::wire::announce('a', 1, "&ip=seed.example.org");
    let body = client.get(&target).text();
    assert!(
        body.contains("ip is not such an address; names are not resolved"),
        "{body}"
    );
    assert_eq!(tracker.rejected("malformed"), 1.0);
}

#[test]
fn peers_that_nobody_reaches_are_rejected() {
    let mut tracker = Tracker::with(PLAIN, &[("network.reject_special_addresses", "true")]);
    let mut client = tracker.client();
    let body = client.announce('a', 1, "");
    assert!(body.starts_with("d14:failure reason"), "{body}");
    assert!(body.contains("peers cannot reach your address"), "{body}");
    assert_eq!(tracker.rejected("special_address"), 1.0);
    tracker.reload_with(&[MAP]);
    let body = client.announce('a', 1, "");
    assert!(body.starts_with("d8:complete"), "{body}");
    assert_eq!(tracker.rejected("special_address"), 1.0);
}

#[test]
fn what_a_proxy_passes_on_is_mapped_and_believed() {
    let tracker = Tracker::with(
        PLAIN,
        &[
            ("network.runs_behind_reverse_proxy", "true"),
            ("network.believe_ip_from", "[\"10.0.0.0/8\"]"),
            (
                "address_map",
                "[{ from = \"192.168.0.0/16\", to = \"5.5.5.5\" }]",
            ),
        ],
    );
    let mut client = tracker.client();
    let mut external = |passed_on: &str, claim: &str| {
        let target = crate::wire::announce('a', 1, claim);
        let header = format!("X-Forwarded-For: {passed_on}\r\n");
        let text = client.get_with(&target, &header).text();
        let start = text.find("external ip4:").expect("an address") + "external ip4:".len();
        text[start..]
            .split("10:incomplete")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        external("192.168.1.1", "&ip=9.9.9.9"),
        "\\x05\\x05\\x05\\x05"
    );
    assert_eq!(external("10.0.0.1", "&ip=9.9.9.9"), "\\t\\t\\t\\t");
    assert_eq!(external("127.0.0.1", "&ip=9.9.9.9"), "\\x7f\\x00\\x00\\x01");
}
