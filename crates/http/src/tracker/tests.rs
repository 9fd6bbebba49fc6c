//! Requests and their replies, without sockets.

use aquatic_http_protocol::{HeaderBuffer, Reading};
use aquatic_service::access_list::{AccessList, InfoHashSet};
use aquatic_service::config::numbers::Count;
use aquatic_service::lists::Lists;
use aquatic_swarm::{HashKey, SwarmLimits};

use super::*;

mod addresses;
mod keys;

struct Fixture {
    tracker: Tracker,
    settings: Settings,
    seconds: u32,
}

fn fixture_with(limits: SwarmLimits, list: AccessList) -> Fixture {
    let mut config = Config::default();
    config.protocol.max_scrape_torrents = Count::of::<3>();
    let state = State {
        swarms: Families::new(HashKey::new([1; 16]), limits),
        lists: Lists::of_torrents(list),
    };
    let random = fastrand::Rng::with_seed(1);
    Fixture {
        tracker: Tracker::new(Arc::new(state), random, Arc::default()),
        settings: Settings::new(&config).unwrap(),
        seconds: 0,
    }
}

fn fixture() -> Fixture {
    fixture_with(SwarmLimits::default(), AccessList::Off)
}

impl Fixture {
    /// The whole reply to a request from `source`.
    fn reply(&mut self, source: &str, request: &str) -> (Outcome, Vec<u8>) {
        let bytes = format!("{request} HTTP/1.1\r\nHost: tracker.test\r\n\r\n").into_bytes();
        let mut headers = HeaderBuffer::new();
        let Reading::Complete { head, .. } = Reading::of(&bytes, &mut headers) else {
            panic!("{request}");
        };
        let now = Now {
            monotonic_seconds: self.seconds,
            epoch_seconds: 0,
            milliseconds: 0,
        };
        let mut out = Vec::new();
        let framing = Framing::of(&head, true);
        let source = source.parse().unwrap();
        let requested = match self.settings.keys {
            None => Resource::of(&head).into(),
            Some(_) => Requested::with_key(&head),
        };
        let outcome =
            self.tracker
                .handle(now, &self.settings, source, requested, framing, &mut out);
        (outcome, out)
    }

    /// The body of the reply to a GET request, with escapes for bytes that are not ASCII.
    fn get(&mut self, source: &str, target: &str) -> (Outcome, String) {
        let (outcome, out) = self.reply(source, &format!("GET {target}"));
        let end = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        (outcome, out[end..].escape_ascii().to_string())
    }

    /// Announces a peer of torrent `torrent`, a letter, at port 256 * `port`.
    fn announce(&mut self, source: &str, torrent: char, port: u16, more: &str) -> String {
        let hash = torrent.to_string().repeat(20);
        let port = port << 8;
        let target =
            format!("/announce?info_hash={hash}&peer_id=-XX1234-abcdefghijkl&port={port}{more}");
        let (outcome, body) = self.get(source, &target);
        assert_eq!(outcome, Outcome::served(RequestKind::Announce), "{body}");
        body
    }

    fn scrape(&mut self, torrent: char) -> (u32, u32, u32) {
        let swarm = &self.tracker.state.swarms.ipv4;
        let hash = InfoHash([torrent as u8; 20]);
        let scraped = swarm.lock(&hash).scrape();
        (scraped.seeders, scraped.completed, scraped.leechers)
    }
}

fn rejected(reason: RejectReason) -> Option<RejectReason> {
    Some(reason)
}

#[test]
fn peers_find_each_other() {
    let mut fixture = fixture();
    assert_eq!(
        fixture.announce("192.0.2.1", 'a', 1, "&left=0&event=started"),
        "d8:completei0e10:downloadedi0e11:external ip4:\\xc0\\x00\\x02\\x01\
         10:incompletei0e8:intervali900e12:min intervali300e5:peers0:e"
    );
    assert_eq!(
        fixture.announce("192.0.2.2", 'a', 2, "&left=1"),
        "d8:completei1e10:downloadedi0e11:external ip4:\\xc0\\x00\\x02\\x02\
         10:incompletei0e8:intervali900e12:min intervali300e\
         5:peers6:\\xc0\\x00\\x02\\x01\\x01\\x00e"
    );
    // Without `left` a peer is a leecher.
    let body = fixture.announce("192.0.2.3", 'a', 3, "&compact=0&numwant=1");
    assert!(body.starts_with("d8:completei1e10:downloadedi0e"), "{body}");
    let peers = &body[body.find("5:peers").unwrap()..];
    assert!(
        peers == "5:peersld2:ip9:192.0.2.14:porti256eeee"
            || peers == "5:peersld2:ip9:192.0.2.24:porti512eeee",
        "{peers}"
    );
    let body = fixture.announce("192.0.2.2", 'a', 2, "&left=0&event=completed");
    assert!(body.starts_with("d8:completei1e10:downloadedi1e"), "{body}");
    // Seeders are not sent other seeders.
    assert!(
        body.ends_with("5:peers6:\\xc0\\x00\\x02\\x03\\x03\\x00e"),
        "{body}"
    );
    assert_eq!(fixture.scrape('a'), (2, 1, 1));
}

#[test]
fn families_are_apart() {
    let mut fixture = fixture();
    fixture.announce("192.0.2.1", 'a', 1, "");
    let body = fixture.announce("2001:db8::1", 'a', 1, "");
    assert!(body.contains("11:external ip16: \\x01\\r\\xb8"), "{body}");
    assert!(body.ends_with("5:peers0:6:peers60:e"), "{body}");
    let body = fixture.announce("2001:db8::2", 'a', 1, "");
    assert!(
        body.contains("5:peers0:6:peers618: \\x01\\r\\xb8"),
        "{body}"
    );
    let body = fixture.announce("2001:db8::3", 'a', 1, "&compact=0&numwant=1");
    assert!(body.contains("5:peersld2:ip11:2001:db8::"), "{body}");
    assert!(!body.contains("peers6"), "{body}");
    // A mapped address is an IPv4 address.
    let body = fixture.announce("::ffff:192.0.2.2", 'a', 1, "");
    assert!(
        body.ends_with("5:peers6:\\xc0\\x00\\x02\\x01\\x01\\x00e"),
        "{body}"
    );
}

#[test]
fn stopped_peers_leave() {
    let mut fixture = fixture();
    fixture.announce("192.0.2.1", 'a', 1, "");
    fixture.announce("192.0.2.2", 'a', 1, "");
    let body = fixture.announce("192.0.2.2", 'a', 1, "&event=stopped");
    assert!(body.contains("10:incompletei1e"), "{body}");
    assert!(body.ends_with("5:peers0:e"), "{body}");
    assert_eq!(fixture.scrape('a'), (0, 0, 1));
    // A stop for an unknown peer creates no torrent.
    fixture.announce("192.0.2.2", 'b', 1, "&event=stopped");
    assert_eq!(fixture.tracker.state.swarms.usage.live(), 1);
}

#[test]
fn numwant_is_bounded_by_the_configuration() {
    let mut fixture = fixture();
    for number in 0..60 {
        fixture.announce(&format!("192.0.2.{number}"), 'a', 1, "");
    }
    let count = |body: String| {
        let start = body.find("5:peers").unwrap() + "5:peers".len();
        let length = body[start..].split(':').next().unwrap();
        length.parse::<usize>().unwrap() / 6
    };
    for (more, peers) in [
        ("", 50),
        ("&numwant=0", 50),
        ("&numwant=-1", 50),
        ("&numwant=1", 1),
        ("&numwant=7", 7),
        ("&numwant=1000", 50),
    ] {
        let body = fixture.announce("192.0.2.1", 'a', 1, more);
        assert_eq!(count(body), peers, "{more}");
    }
}

#[test]
fn scrapes_are_sorted_and_bounded() {
    let mut fixture = fixture();
    fixture.announce("192.0.2.1", 'b', 1, "&left=0&event=completed");
    fixture.announce("192.0.2.1", 'c', 1, "");
    let hash = |torrent: &str| format!("info_hash={}", torrent.repeat(20));
    let [a, b, c] = ["a", "b", "c"].map(hash);
    let torrent = |letter: &str, counts: (u32, u32, u32)| {
        let (complete, downloaded, incomplete) = counts;
        format!(
            "20:{}d8:completei{complete}e10:downloadedi{downloaded}e10:incompletei{incomplete}ee",
            letter.repeat(20)
        )
    };
    let (outcome, body) = fixture.get("192.0.2.9", &format!("/scrape?{c}&{b}&{c}&{a}"));
    assert_eq!(outcome, Outcome::served(RequestKind::Scrape));
    // The fourth info hash exceeds the limit, and the third one repeats the first.
    let expected = [torrent("b", (1, 1, 0)), torrent("c", (0, 0, 1))].concat();
    assert_eq!(body, format!("d5:filesd{expected}ee"));

    let (_, body) = fixture.get("192.0.2.9", &format!("/scrape?{a}"));
    assert_eq!(body, format!("d5:filesd{}ee", torrent("a", (0, 0, 0))));
    // The swarm of the other address family has no such torrent.
    let (_, body) = fixture.get("2001:db8::1", &format!("/scrape?{b}"));
    assert_eq!(body, format!("d5:filesd{}ee", torrent("b", (0, 0, 0))));
}

#[test]
fn rejections_have_a_reason() {
    let mut fixture = fixture();
    let hash_and_id = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX1234-abcdefghijkl";
    for (target, kind, reason, message) in [
        (
            "/announce".to_owned(),
            RequestKind::Announce,
            RejectReason::Malformed,
            "info_hash is missing",
        ),
        (
            format!("/announce?{hash_and_id}&port=0"),
            RequestKind::Announce,
            RejectReason::PortZero,
            "port must not be 0",
        ),
        (
            "/scrape?foo".to_owned(),
            RequestKind::Scrape,
            RejectReason::FullScrape,
            "full scrapes are not served: info_hash is missing",
        ),
        (
            "/scrape?info_hash=a".to_owned(),
            RequestKind::Scrape,
            RejectReason::Malformed,
            "info_hash has 1 bytes instead of 20",
        ),
    ] {
        let (outcome, body) = fixture.get("192.0.2.1", &target);
        assert_eq!(outcome, Outcome::rejected(kind, reason), "{target}");
        let length = message.len();
        assert_eq!(body, format!("d14:failure reason{length}:{message}e"));
    }
    assert_eq!(fixture.tracker.state.swarms.usage.live(), 0);
}

#[test]
fn other_paths_and_methods_are_rejected() {
    let mut fixture = fixture();
    let mut start = |request: &str| {
        let (outcome, out) = fixture.reply("192.0.2.1", request);
        let text = String::from_utf8(out).unwrap();
        (outcome.rejected, text.lines().next().unwrap().to_owned())
    };
    assert_eq!(
        start("GET /favicon.ico"),
        (
            rejected(RejectReason::UnknownPath),
            "HTTP/1.1 404 Not Found".to_owned()
        )
    );
    assert_eq!(
        start("POST /announce"),
        (
            rejected(RejectReason::OtherMethod),
            "HTTP/1.1 405 Method Not Allowed".to_owned()
        )
    );
    assert_eq!(start("GET /"), (None, "HTTP/1.1 200 OK".to_owned()));
    assert_eq!(start("GET /health"), (None, "HTTP/1.1 200 OK".to_owned()));
}

#[test]
fn head_has_no_body() {
    let mut fixture = fixture();
    for target in ["/", "/health", "/announce", "/nothing"] {
        let (_, whole) = fixture.reply("192.0.2.1", &format!("GET {target}"));
        let (_, head) = fixture.reply("192.0.2.1", &format!("HEAD {target}"));
        assert!(head.ends_with(b"\r\n\r\n"));
        assert!(
            whole.starts_with(&head) && whole.len() > head.len(),
            "{target}"
        );
    }
}

#[test]
fn the_access_list_is_for_announce_and_scrape() {
    let list = InfoHashSet::parse("61".repeat(20).as_bytes()).unwrap();
    let mut fixture = fixture_with(SwarmLimits::default(), AccessList::Allow(list));
    fixture.announce("192.0.2.1", 'a', 1, "");
    let message = "torrent is not allowed on this tracker";
    let failure = format!("d14:failure reason38:{message}8:retry ini30ee");
    let other = "info_hash=bbbbbbbbbbbbbbbbbbbb";
    let announce = format!("/announce?{other}&peer_id=-XX1234-abcdefghijkl&port=1");
    for target in [announce, format!("/scrape?{other}")] {
        let (outcome, body) = fixture.get("192.0.2.1", &target);
        assert_eq!(outcome.rejected, rejected(RejectReason::Forbidden));
        assert_eq!(body, failure);
    }
    // Together with an allowed torrent, a forbidden one gets the counts of an unknown
    // one.
    let both = format!("/scrape?{other}&info_hash=aaaaaaaaaaaaaaaaaaaa");
    let (outcome, body) = fixture.get("192.0.2.1", &both);
    assert_eq!(outcome, Outcome::served(RequestKind::Scrape));
    assert!(
        body.contains("20:bbbbbbbbbbbbbbbbbbbbd8:completei0e"),
        "{body}"
    );
}

#[test]
fn exceeded_limits_are_reported() {
    let one = std::num::NonZeroU32::new(1);
    let limits = SwarmLimits {
        max_torrents: std::num::NonZeroUsize::new(2),
        max_peers_per_torrent: one,
        max_peers_per_ip: None,
        ..SwarmLimits::default()
    };
    let mut fixture = fixture_with(limits, AccessList::Off);
    fixture.announce("192.0.2.1", 'a', 1, "");
    fixture.announce("192.0.2.1", 'b', 1, "");
    let mut rejection = |source, torrent: &str| {
        let hash = torrent.repeat(20);
        let target = format!("/announce?info_hash={hash}&peer_id=-XX1234-abcdefghijkl&port=256");
        let (outcome, body) = fixture.get(source, &target);
        assert!(body.ends_with("8:retry ini30ee"), "{body}");
        outcome.rejected
    };
    assert_eq!(
        rejection("192.0.2.2", "a"),
        rejected(RejectReason::MaxPeersPerTorrent)
    );
    assert_eq!(
        rejection("192.0.2.1", "c"),
        rejected(RejectReason::MaxTorrents)
    );
    // A known peer is never rejected.
    fixture.announce("192.0.2.1", 'a', 1, "");
}

#[test]
fn a_wrong_url_is_answered_with_the_right_one() {
    let mut fixture = fixture();
    for target in [
        "/?info_hash=aaaaaaaaaaaaaaaaaaaa",
        "/announce/",
        "//announce",
        "/announce.php?info_hash=aaaaaaaaaaaaaaaaaaaa",
        "/KEY/announce",
    ] {
        let (outcome, body) = fixture.get("192.0.2.1", target);
        assert_eq!(
            body,
            "d14:failure reason49:wrong URL: this tracker has tracker.test/announcee"
        );
        let expected = Outcome::rejected(RequestKind::Announce, RejectReason::WrongUrl);
        assert_eq!(outcome, expected);
    }
    let (outcome, body) = fixture.get("192.0.2.1", "https://other.test:8443/KEY/scrape");
    assert!(
        body.ends_with(":wrong URL: scrapes have https://other.test:8443/scrapee"),
        "{body}"
    );
    assert_eq!(outcome.kind, RequestKind::Scrape);
    // The message contains a host only if it is valid.
    let (_, body) = fixture.get("192.0.2.1", "http://a<b>\"c/announce/");
    assert!(
        body.ends_with(":wrong URL: this tracker has /announcee"),
        "{body}"
    );
}
