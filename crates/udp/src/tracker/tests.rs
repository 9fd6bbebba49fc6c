//! Requests and their replies, without sockets.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_service::access_list::{AccessList, InfoHashSet};
use aquatic_service::config::numbers::Count;
use aquatic_service::lists::Lists;
use aquatic_swarm::{HashKey, SwarmLimits};
use aquatic_udp_protocol::{
    AddressFamily, ConnectionIdKey, Peers, Response, TransactionId, UrlData,
};

use super::*;
use crate::MAX_REPLY_LENGTH;

mod client_keys;

const NOW: Now = Now {
    monotonic_seconds: 50,
    epoch_seconds: 1_800_000_000,
    milliseconds: 0,
};

const ALLOWED: InfoHash = InfoHash([0x11; 20]);
const FORBIDDEN: InfoHash = InfoHash([0xff; 20]);

/// A tracker and the last reply.
struct Fixture {
    tracker: Tracker,
    config: Config,
    reply: [u8; MAX_REPLY_LENGTH],
}

impl Fixture {
    fn new(limits: SwarmLimits) -> Self {
        let mut list = Vec::new();
        writeln!(list, "{FORBIDDEN}").unwrap();
        let list = AccessList::Deny(InfoHashSet::parse(list.as_slice()).unwrap());
        let mut config = Config::default();
        config.protocol.max_scrape_torrents = Count::of::<2>();
        let state = Arc::new(State {
            swarms: Families::new(HashKey::new([1; 16]), limits),
            lists: Lists::of_torrents(list),
        });
        let key = ConnectionIdKey::from_bytes([2; 16]);
        let keys = Arc::new(ConnectionIdKeys::new(key));
        Self {
            tracker: Tracker::new(state, keys, fastrand::Rng::with_seed(3), Arc::default()),
            config,
            reply: [0; MAX_REPLY_LENGTH],
        }
    }

    fn handle(&mut self, now: Now, source: &str, datagram: &[u8]) -> Outcome {
        let mut batch = Batch::new();
        batch.push(Datagram {
            source: source.parse().unwrap(),
            local: None,
            bytes: datagram,
            reply: &mut self.reply,
        });
        let outcomes = self.tracker.handle_batch(now, &self.config, &mut batch);
        assert_eq!(outcomes[1..], [None; BATCH - 1]);
        outcomes[0].unwrap()
    }

    /// Sends a datagram and reads the reply.
    fn ask(&mut self, source: &str, datagram: &[u8]) -> (Outcome, Option<Response<'_>>) {
        let outcome = self.handle(NOW, source, datagram);
        let family = match source.parse::<SocketAddr>().unwrap() {
            SocketAddr::V4(_) => AddressFamily::Ipv4,
            SocketAddr::V6(_) => AddressFamily::Ipv6,
        };
        let response = outcome
            .reply_length
            .map(|length| Response::parse(&self.reply[..length.get()], family).unwrap());
        (outcome, response)
    }

    fn connection_id(&mut self, source: &str) -> ConnectionId {
        let request = aquatic_udp_protocol::ConnectRequest {
            transaction_id: TransactionId([9; 4]),
        };
        match self.ask(source, &request.to_bytes()).1 {
            Some(Response::Connect(response)) => response.connection_id,
            other => panic!("{other:?}"),
        }
    }
}

fn announce(connection_id: ConnectionId, info_hash: InfoHash, port: u16) -> Vec<u8> {
    announce_claiming(connection_id, info_hash, port, None)
}

fn announce_claiming(
    connection_id: ConnectionId,
    info_hash: InfoHash,
    port: u16,
    claimed_address: Option<Ipv4Addr>,
) -> Vec<u8> {
    let options = b"\x02\x09/announce";
    announce_with(connection_id, info_hash, port, claimed_address, options)
}

/// An announce with these BEP 41 options.
fn announce_with(
    connection_id: ConnectionId,
    info_hash: InfoHash,
    port: u16,
    claimed_address: Option<Ipv4Addr>,
    options: &[u8],
) -> Vec<u8> {
    let request = AnnounceRequest {
        connection_id,
        transaction_id: TransactionId([7; 4]),
        info_hash,
        peer_id: PeerId([1; 20]),
        downloaded: 0,
        left: 1,
        uploaded: 0,
        event: AnnounceEvent::Started,
        claimed_address,
        key: 0,
        peers_wanted: None,
        port,
        url_data: UrlData::from_options(options),
    };
    let mut bytes = [0; 1500];
    let length = request.write(&mut bytes).unwrap();
    bytes[..length].to_vec()
}

fn scrape(connection_id: ConnectionId, info_hashes: &[InfoHash]) -> Vec<u8> {
    let info_hashes: Vec<[u8; 20]> = info_hashes.iter().map(|hash| hash.0).collect();
    let request = ScrapeRequest {
        connection_id,
        transaction_id: TransactionId([8; 4]),
        info_hashes: &info_hashes,
    };
    let mut bytes = [0; 200];
    let length = request.write(&mut bytes).unwrap();
    bytes[..length].to_vec()
}

#[test]
fn a_reply_that_does_not_fit_is_our_own_mistake() {
    let mut fixture = Fixture::new(SwarmLimits::default());
    let source = "10.0.0.1:5";
    let id = fixture.connection_id(source);
    for request in [announce(id, ALLOWED, 6881), scrape(id, &[ALLOWED])] {
        let mut reply = [0; 15];
        let mut batch = Batch::new();
        batch.push(Datagram {
            source: source.parse().unwrap(),
            local: None,
            bytes: &request,
            reply: &mut reply,
        });
        let outcome = fixture
            .tracker
            .handle_batch(NOW, &fixture.config, &mut batch)[0]
            .unwrap();
        assert_eq!(outcome.rejected, Some(RejectReason::ReplyTooLong));
        assert_eq!(outcome.reply_length, None);
    }
}

#[test]
fn peers_find_each_other_within_their_family() {
    let mut fixture = Fixture::new(SwarmLimits::default());
    for (first, second) in [("10.0.0.1:5", "10.0.0.2:5"), ("[fd00::1]:5", "[fd00::2]:5")] {
        let id = fixture.connection_id(first);
        let (outcome, _) = fixture.ask(first, &announce(id, ALLOWED, 6881));
        assert_eq!(outcome.kind, RequestKind::Announce);
        assert_eq!(outcome.rejected, None);

        let id = fixture.connection_id(second);
        let (_, response) = fixture.ask(second, &announce(id, ALLOWED, 6882));
        let Some(Response::Announce(response)) = response else {
            panic!("{response:?}");
        };
        assert_eq!(response.transaction_id, TransactionId([7; 4]));
        assert_eq!(response.interval_seconds, 900);
        assert_eq!((response.seeders, response.leechers), (0, 1));
        let peers: Vec<SocketAddr> = Peers::addresses(&response.peers).collect();
        let mut expected: SocketAddr = first.parse().unwrap();
        expected.set_port(6881);
        assert_eq!(peers, [expected]);
    }
}

#[test]
fn mapped_addresses_are_ipv4() {
    let mut fixture = Fixture::new(SwarmLimits::default());
    let id = fixture.connection_id("10.0.0.1:5");
    let request = announce(id, ALLOWED, 1);
    let outcome = fixture.handle(NOW, "[::ffff:10.0.0.1]:5", &request);
    assert_eq!(outcome.rejected, None);
    assert_eq!(fixture.tracker.state.swarms.ipv4.totals().peers, 1);
    assert_eq!(fixture.tracker.state.swarms.ipv6.totals().peers, 0);
}

#[test]
fn there_is_no_reply_without_a_valid_connection_id() {
    let mut fixture = Fixture::new(SwarmLimits::default());
    let id = fixture.connection_id("10.0.0.1:5");
    let silent = |outcome: Outcome| {
        assert_eq!(outcome.reply_length, None);
        outcome.rejected
    };
    let bad = Some(RejectReason::BadConnectionId);
    let requests = [
        announce(id, ALLOWED, 1),
        scrape(id, &[ALLOWED]),
        scrape(id, &[]),
        announce(id, ALLOWED, 1)[..97].to_vec(),
    ];
    for request in &requests {
        assert_eq!(silent(fixture.handle(NOW, "10.0.0.2:5", request)), bad);
        let late = Now {
            epoch_seconds: NOW.epoch_seconds + 121,
            ..NOW
        };
        assert_eq!(silent(fixture.handle(late, "10.0.0.1:5", request)), bad);
        // Requests from the address that got the connection id are answered, whatever
        // their port.
        let outcome = fixture.handle(NOW, "10.0.0.1:6", request);
        assert!(outcome.reply_length.is_some());
    }
    let connect = scrape(id, &[]);
    let zero = fixture.handle(NOW, "10.0.0.1:0", &connect);
    assert_eq!(silent(zero), Some(RejectReason::SourcePortZero));
    let garbage = fixture.handle(NOW, "10.0.0.1:5", b"GET / HTTP/1.1\r\n");
    assert!(silent(garbage).is_some());
}

#[test]
fn rejections_have_a_reason() {
    let mut fixture = Fixture::new(SwarmLimits {
        max_torrents: NonZeroUsize::new(1),
        max_peers_per_torrent: NonZeroU32::new(1),
        max_peers_per_ip: None,
        ..SwarmLimits::default()
    });
    let source = "10.0.0.1:5";
    let id = fixture.connection_id(source);
    let mut rejected = |request: Vec<u8>| {
        let (outcome, response) = fixture.ask(source, &request);
        match response {
            Some(Response::Error(error)) => (outcome.rejected.unwrap(), error.message.to_vec()),
            other => panic!("{other:?}"),
        }
    };
    let (reason, message) = rejected(announce(id, ALLOWED, 0));
    assert_eq!(reason, RejectReason::PortZero);
    assert_eq!(message, b"port must not be 0");
    assert_eq!(
        rejected(announce(id, FORBIDDEN, 1)).0,
        RejectReason::Forbidden
    );
    assert_eq!(
        rejected(scrape(id, &[FORBIDDEN])).0,
        RejectReason::Forbidden
    );
    assert_eq!(rejected(scrape(id, &[])).0, RejectReason::Malformed);

    fixture.handle(NOW, source, &announce(id, ALLOWED, 1));
    let mut reason = |info_hash, port| {
        let request = announce(id, info_hash, port);
        fixture.handle(NOW, source, &request).rejected
    };
    let other = InfoHash([0x22; 20]);
    assert_eq!(reason(other, 1), Some(RejectReason::MaxTorrents));
    assert_eq!(reason(ALLOWED, 2), Some(RejectReason::MaxPeersPerTorrent));
    assert_eq!(reason(ALLOWED, 1), None);
}

#[test]
fn scrapes_answer_for_the_first_torrents() {
    let mut fixture = Fixture::new(SwarmLimits::default());
    let source = "10.0.0.1:5";
    let id = fixture.connection_id(source);
    fixture.handle(NOW, source, &announce(id, ALLOWED, 1));
    let hashes = [FORBIDDEN, ALLOWED, ALLOWED];
    let (_, response) = fixture.ask(source, &scrape(id, &hashes));
    let Some(Response::Scrape(response)) = response else {
        panic!("{response:?}");
    };
    let leechers: Vec<u32> = response
        .torrents()
        .map(|torrent| torrent.leechers)
        .collect();
    assert_eq!(leechers, [0, 1]);
}

#[test]
fn a_group_is_answered_in_its_order() {
    let mut fixture = Fixture::new(SwarmLimits::default());
    let source = "10.0.0.1:5";
    let id = fixture.connection_id(source);
    // Several announces for one torrent, and thus for one shard.
    let requests: Vec<Vec<u8>> = [1, 2, 1, 3, 2, 4]
        .into_iter()
        .map(|port| announce(id, ALLOWED, port))
        .collect();
    let mut replies = [[0; MAX_REPLY_LENGTH]; 6];
    let mut batch: Batch<'_> = requests
        .iter()
        .zip(&mut replies)
        .map(|(bytes, reply)| Datagram {
            source: source.parse().unwrap(),
            local: None,
            bytes,
            reply,
        })
        .collect();
    let outcomes = fixture
        .tracker
        .handle_batch(NOW, &fixture.config, &mut batch);

    let leechers: Vec<u32> = batch
        .iter()
        .zip(outcomes)
        .map(|(datagram, outcome)| {
            let length = outcome.unwrap().reply_length.unwrap().get();
            match Response::parse(&datagram.reply[..length], AddressFamily::Ipv4) {
                Ok(Response::Announce(response)) => response.leechers,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(leechers, [0, 1, 1, 2, 2, 3]);
}

/// Announces with a claim, and returns the peers that the next one at 8.8.8.8 or `2a00::8`
/// gets.
#[track_caller]
fn found_after(fixture: &mut Fixture, source: &str, claimed: Option<Ipv4Addr>) -> Vec<String> {
    let id = fixture.connection_id(source);
    let (outcome, _) = fixture.ask(source, &announce_claiming(id, ALLOWED, 6881, claimed));
    assert_eq!(outcome.rejected, None);
    let family: SocketAddr = source.parse().unwrap();
    let asking = if family.is_ipv4() {
        "8.8.8.8:5"
    } else {
        "[2a00::8]:5"
    };
    let id = fixture.connection_id(asking);
    match fixture.ask(asking, &announce(id, ALLOWED, 6882)).1 {
        Some(Response::Announce(response)) => {
            let peers = Peers::addresses(&response.peers);
            peers.map(|it| it.to_string()).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn configured(text: &str) -> Fixture {
    let loaded = aquatic_service::config::parse::<Config>(text, Path::new("udp.toml")).unwrap();
    loaded.settings(crate::settings::Settings::new).unwrap();
    Fixture {
        config: loaded.config,
        ..Fixture::new(SwarmLimits::default())
    }
}

#[test]
fn peers_are_stored_where_they_are_outside() {
    let text = "
[[address_map]]
from = '192.168.0.0/16'
to = '5.5.5.5'
[[address_map]]
from = 'fd00::/16'
to = '2a00::/16'
[network]
reject_special_addresses = true
believe_ip_from = ['10.0.0.0/8', '192.168.7.0/24', 'fd00::/8']
";
    let nine = Some(Ipv4Addr::new(9, 9, 9, 9));
    for (source, claimed, found) in [
        ("192.168.1.1:5", None, "5.5.5.5:6881"),
        ("192.168.1.1:5", nine, "5.5.5.5:6881"),
        ("192.168.7.1:5", nine, "9.9.9.9:6881"),
        ("10.0.0.1:5", nine, "9.9.9.9:6881"),
        (
            "10.0.0.1:5",
            Some(Ipv4Addr::new(192, 168, 9, 9)),
            "5.5.5.5:6881",
        ),
        ("7.7.7.7:5", nine, "7.7.7.7:6881"),
        // Over IPv6, the field means nothing.
        ("[fd00::5:1]:5", nine, "[2a00::5:1]:6881"),
    ] {
        let mut fixture = configured(text);
        assert_eq!(
            found_after(&mut fixture, source, claimed),
            [found],
            "{source} {claimed:?}"
        );
    }
    let mut fixture = configured(text);
    for (source, claimed) in [
        ("10.0.0.1:5", None),
        ("10.0.0.1:5", Some(Ipv4Addr::new(127, 0, 0, 1))),
        ("[fd01::1]:5", None),
    ] {
        let id = fixture.connection_id(source);
        let request = announce_claiming(id, ALLOWED, 6881, claimed);
        let (outcome, response) = fixture.ask(source, &request);
        assert_eq!(outcome.rejected, Some(RejectReason::SpecialAddress));
        let Some(Response::Error(error)) = response else {
            panic!("{response:?}");
        };
        assert!(
            error
                .message
                .starts_with(b"peers cannot reach your address")
        );
    }
}
