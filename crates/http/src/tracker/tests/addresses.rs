//! Under which addresses peers are stored.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;

use aquatic_bittorrent::AnnounceEvent;

use super::*;

/// A tracker with this configuration.
fn configured(text: &str) -> Fixture {
    let mut fixture = fixture();
    let loaded = aquatic_service::config::parse::<Config>(text, Path::new("http.toml")).unwrap();
    fixture.settings = loaded.settings(Settings::new).unwrap();
    fixture
}

/// The addresses and ports, each with its family's length, under which torrent `torrent` has
/// peers.
fn stored(fixture: &Fixture, torrent: char) -> Vec<String> {
    fn records<const S: usize, const N: usize>(
        swarm: &Swarm<S, S, N>,
        torrent: char,
    ) -> Vec<[u8; S]> {
        let mut torrent = swarm.lock(&InfoHash([torrent as u8; 20]));
        let mut ask = |event| {
            let announce = Announce {
                record: [0; S],
                is_seeder: false,
                event,
                wanted: 50,
                now_seconds: 0,
                lifetime_seconds: 1,
            };
            let mut random = fastrand::Rng::with_seed(1);
            let announced = torrent.announce(&announce, &mut random).unwrap();
            announced.peers.slices().concat()
        };
        let records = ask(AnnounceEvent::None);
        ask(AnnounceEvent::Stopped);
        records
    }

    let swarms = &fixture.tracker.state.swarms;
    let ipv4 = records(&swarms.ipv4, torrent).into_iter().map(|record| {
        let [a, b, c, d, high, low] = record;
        SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
    });
    let ipv6 = records(&swarms.ipv6, torrent).into_iter().map(|record| {
        let (address, port) = record.split_first_chunk::<16>().unwrap();
        SocketAddr::from((*address, u16::from_be_bytes([port[0], port[1]])))
    });
    let mut all: Vec<String> = ipv4.chain(ipv6).map(|it| it.to_string()).collect();
    all.sort();
    all
}

const MAP: &str = "
[[address_map]]
from = '192.168.0.0/16'
to = '5.5.5.5'
[[address_map]]
from = 'fd00::/8'
to = '2a00::7'
";

#[test]
fn peers_are_stored_where_they_are_outside() {
    let mut fixture = configured(MAP);
    let body = fixture.announce("192.168.1.2", 'a', 1, "&ip=9.9.9.9");
    assert!(body.contains("external ip4:\\x05\\x05\\x05\\x05"), "{body}");
    fixture.announce("8.8.8.8", 'a', 2, "");
    fixture.announce("fd00::5", 'a', 3, "");
    assert_eq!(
        stored(&fixture, 'a'),
        ["5.5.5.5:256", "8.8.8.8:512", "[2a00::7]:768"]
    );
    // It is left out of its own list, and removed when it stops.
    let body = fixture.announce("192.168.1.2", 'a', 1, "");
    assert!(
        body.ends_with("5:peers6:\\x08\\x08\\x08\\x08\\x02\\x00e"),
        "{body}"
    );
    fixture.announce("192.168.1.2", 'a', 1, "&event=stopped");
    assert_eq!(stored(&fixture, 'a'), ["8.8.8.8:512", "[2a00::7]:768"]);
}

#[test]
fn claims_count_from_some_clients_only() {
    let text = "network.believe_ip_from = ['192.168.0.0/16', 'fd00::/8']\n";
    for (source, claims, expected) in [
        ("8.8.8.8", "&ip=9.9.9.9&ipv6=2a00::1", &["8.8.8.8:256"][..]),
        ("8.8.8.8", "&ip=nonsense", &["8.8.8.8:256"]),
        ("192.168.1.1", "", &["192.168.1.1:256"]),
        ("192.168.1.1", "&ip=9.9.9.9", &["9.9.9.9:256"]),
        ("192.168.1.1", "&ip=&ipv4=", &["192.168.1.1:256"]),
        ("192.168.1.1", "&ipv4=9.9.9.9:7", &["9.9.9.9:7"]),
        ("192.168.1.1", "&ipv4=9.9.9.9&ip=9.9.9.8", &["9.9.9.8:256"]),
        // The other family is added.
        (
            "192.168.1.1",
            "&ipv6=2a00::1",
            &["192.168.1.1:256", "[2a00::1]:256"],
        ),
        (
            "192.168.1.1",
            "&ipv6=[2a00::1]:9&ipv4=9.9.9.9",
            &["9.9.9.9:256", "[2a00::1]:9"],
        ),
        ("192.168.1.1", "&ip=2a00::1", &["[2a00::1]:256"]),
        (
            "192.168.1.1",
            "&ip=2a00::1&ipv4=9.9.9.9&ipv6=2a00::2",
            &["9.9.9.9:256", "[2a00::1]:256"],
        ),
        (
            "fd00::1",
            "&ipv6=2a00::1&ipv4=9.9.9.9",
            &["9.9.9.9:256", "[2a00::1]:256"],
        ),
        (
            "fd00::1",
            "&ipv4=9.9.9.9",
            &["9.9.9.9:256", "[fd00::1]:256"],
        ),
    ] {
        let mut fixture = configured(text);
        fixture.announce(source, 'a', 1, claims);
        assert_eq!(stored(&fixture, 'a'), expected, "{source} {claims}");
        fixture.announce(source, 'a', 1, &format!("{claims}&event=stopped"));
        assert_eq!(stored(&fixture, 'a'), [""; 0], "{source} {claims}");
    }
    // A reply is about the family of the first address.
    let mut fixture = configured(text);
    fixture.announce("192.168.1.1", 'a', 1, "&ip=2a00::1");
    let body = fixture.announce("192.168.1.2", 'a', 2, "&ip=2a00::2");
    assert!(
        body.contains("external ip16:*\\x00") && body.contains("6:peers618:*\\x00"),
        "{body}"
    );
    let target = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX1234-abcdefghijkl&port=1";
    let (outcome, body) = fixture.get("192.168.1.1", &format!("{target}&ip=seed.example.org"));
    assert_eq!(outcome.rejected, rejected(RejectReason::Malformed));
    assert!(
        body.contains("ip is not such an address; names are not resolved"),
        "{body}"
    );
}

#[test]
fn what_nobody_reaches_is_rejected_unless_it_is_mapped() {
    let text = format!(
        "network.reject_special_addresses = true\nnetwork.believe_ip_from = ['192.168.0.0/16']\n{MAP}"
    );
    let mut fixture = configured(&text);
    let target = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX1234-abcdefghijkl&port=256";
    for (source, claims) in [
        ("10.0.0.1", ""),
        ("::1", ""),
        ("192.168.1.1", "&ip=10.0.0.1"),
    ] {
        let (outcome, body) = fixture.get(source, &format!("{target}{claims}"));
        assert_eq!(outcome.rejected, rejected(RejectReason::SpecialAddress));
        assert!(body.contains("peers cannot reach your address"), "{body}");
    }
    assert_eq!(stored(&fixture, 'a'), [""; 0]);
    // Of two addresses, the one that is reached is stored.
    fixture.announce("192.168.1.1", 'a', 1, "&ipv6=fe80::1");
    assert_eq!(stored(&fixture, 'a'), ["5.5.5.5:256"]);
    fixture.announce("192.168.1.1", 'a', 1, "&ipv6=fd00::1");
    assert_eq!(stored(&fixture, 'a'), ["5.5.5.5:256", "[2a00::7]:256"]);
}

#[test]
fn limits_count_the_stored_address() {
    let limits = SwarmLimits {
        max_peers_per_ip: NonZeroU32::new(2),
        ..SwarmLimits::default()
    };
    let mut fixture = fixture_with(limits, AccessList::Off);
    fixture.settings = configured(MAP).settings;
    fixture.announce("192.168.1.1", 'a', 1, "");
    fixture.announce("192.168.1.2", 'a', 2, "");
    let target = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX1234-abcdefghijkl&port=3";
    for source in ["192.168.1.3", "5.5.5.5"] {
        let (outcome, _) = fixture.get(source, target);
        assert_eq!(outcome.rejected, rejected(RejectReason::MaxPeersPerIp));
    }
    fixture.announce("8.8.8.8", 'a', 3, "");
}
