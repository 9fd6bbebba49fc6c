//! Replies and relayed messages, without sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use proptest::prelude::*;
use serde_json::{Value, json};

use aquatic_service::config::numbers::{Count, Seconds, ZeroOr};
use aquatic_service::lists::Lists;
use aquatic_swarm::{HashKey, Swarms as _};

use super::*;

mod keys;

const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";

const OFFER_LIFETIME: u32 = 60;

fn config() -> Config {
    let mut config = Config::default();
    config.protocol.max_offers = Count::of::<3>();
    config.protocol.max_scrape_torrents = Count::of::<2>();
    config.limits.max_torrents_per_connection = Count::of::<3>();
    config.cleaning.max_offer_age = Seconds::of::<{ OFFER_LIFETIME as u64 }>();
    config
}

fn decoded(frame: &[u8]) -> Value {
    assert_eq!(frame[0], 0x81);
    let payload = match frame[1] {
        126 => &frame[4..],
        _ => &frame[2..],
    };
    serde_json::from_slice(payload).unwrap()
}

struct Fixture {
    tracker: Tracker,
    config: Config,
    sessions: BTreeMap<u64, Session>,
    /// Offers that can be answered, as if relayed messages arrived at once.
    pending: PendingOffers,
    /// Relayed messages, with the connection that received them.
    offers: Vec<(u64, Value)>,
    answers: Vec<(u64, Value)>,
    now: u32,
}

impl Fixture {
    fn new() -> Self {
        Self::with(false)
    }

    fn with(are_families_apart: bool) -> Self {
        Self::limited(config(), are_families_apart, swarm::SwarmLimits::default())
    }

    fn limited(config: Config, are_families_apart: bool, limits: swarm::SwarmLimits) -> Self {
        let key = HashKey::new([1; 16]);
        let swarms = WebSwarms::new(key, limits, are_families_apart);
        let state = State::new(swarms, Lists::default());
        let random = fastrand::Rng::with_seed(1);
        Self {
            tracker: Tracker::new(Arc::new(state), random, Arc::default()),
            config,
            sessions: BTreeMap::new(),
            pending: PendingOffers::new(),
            offers: Vec::new(),
            answers: Vec::new(),
            now: 1_000,
        }
    }

    /// Sends a message over a connection; returns the reply, if there is one.
    fn say(&mut self, connection: u64, message: &Value) -> (Outcome, Option<Value>) {
        // Every third connection uses IPv6.
        let source: IpAddr = if connection % 3 == 2 {
            Ipv6Addr::LOCALHOST.into()
        } else {
            Ipv4Addr::LOCALHOST.into()
        };
        let session = self
            .sessions
            .entry(connection)
            .or_insert_with(|| Session::new(source, Address(connection)));
        let now = Now {
            monotonic_seconds: self.now,
            epoch_seconds: 0,
            milliseconds: 0,
        };
        let mut out = Vec::new();
        let text = message.to_string();
        let pending = &mut self.pending;
        let handled = self
            .tracker
            .handle(now, &self.config, session, pending, &text, &mut out);
        for relayed in handled.relays {
            let Envelope { to, kind } = relayed.envelope;
            let mut frame = Vec::new();
            relayed.write(&mut frame);
            let message = (to.0, decoded(&frame));
            match kind {
                RelayKind::Offer(offer) => {
                    self.pending.add(to.connection(), offer, self.now);
                    self.offers.push(message);
                }
                _ => self.answers.push(message),
            }
        }
        let outcome = handled.outcome;
        let reply = (!out.is_empty()).then(|| decoded(&out));
        (outcome, reply)
    }

    fn close(&mut self, connection: u64) {
        if let Some(session) = self.sessions.remove(&connection) {
            assert!(!self.tracker.closed(session));
        }
    }

    /// Announces, and expects a reply without an error.
    fn announce(&mut self, connection: u64, peer: char, more: Value) -> Value {
        let (outcome, reply) = self.say(connection, &announce(peer, more));
        assert_eq!(outcome, Outcome::served(RequestKind::Announce));
        reply.unwrap()
    }

    fn scraped(&mut self) -> Value {
        let scrape = json!({"action": "scrape", "info_hash": HASH});
        self.say(999, &scrape).1.unwrap()["files"][HASH].clone()
    }
}

fn announce(peer: char, more: Value) -> Value {
    let mut message = json!({
        "action": "announce",
        "info_hash": HASH,
        "peer_id": peer.to_string().repeat(20),
        "left": 1,
    });
    for (key, value) in more.as_object().unwrap() {
        message[key] = value.clone();
    }
    message
}

fn offers(count: usize) -> Value {
    let offers: Vec<Value> = (0..count)
        .map(|number| {
            json!({
                "offer_id": format!("offer{number:015}"),
                "offer": {"type": "offer", "sdp": format!("sdp {number}")},
            })
        })
        .collect();
    json!({"offers": offers, "numwant": count})
}

/// An answer to the first offer to `to`.
fn answer(from: char, to: char) -> Value {
    announce(
        from,
        json!({
            "to_peer_id": to.to_string().repeat(20),
            "offer_id": format!("offer{:015}", 0),
            "answer": {"type": "answer", "sdp": "back"},
        }),
    )
}

#[test]
fn counts_leave_the_announcing_peer_out() {
    let mut fixture = Fixture::new();
    let reply = fixture.announce(0, 'p', json!({}));
    let expected = json!({
        "action": "announce", "info_hash": HASH, "complete": 0, "incomplete": 0, "interval": 120,
    });
    assert_eq!(reply, expected);
    let reply = fixture.announce(1, 'q', json!({"left": 0}));
    assert_eq!(
        (&reply["complete"], &reply["incomplete"]),
        (&json!(0), &json!(1))
    );
    let reply = fixture.announce(0, 'p', json!({}));
    assert_eq!(
        (&reply["complete"], &reply["incomplete"]),
        (&json!(1), &json!(0))
    );
}

#[test]
fn offers_go_to_others_one_each() {
    let mut fixture = Fixture::new();
    for (connection, peer) in (0..).zip("pqrst".chars()) {
        fixture.announce(connection, peer, json!({}));
    }
    assert!(fixture.offers.is_empty());
    // One offer more than allowed.
    fixture.announce(0, 'p', offers(4));
    let sent = std::mem::take(&mut fixture.offers);
    assert_eq!(sent.len(), 3);
    let mut receivers: Vec<u64> = sent.iter().map(|(to, _)| *to).collect();
    receivers.sort_unstable();
    receivers.dedup();
    assert_eq!(receivers.len(), 3, "one peer, one offer");
    assert!(!receivers.contains(&0), "never back to the sender");
    for (_, offer) in &sent {
        assert_eq!(offer["peer_id"], "pppppppppppppppppppp");
        assert_eq!(offer["info_hash"], HASH);
        assert_eq!(offer["offer"]["type"], "offer");
    }
    // At most `numwant` offers are sent, and at most one per peer.
    let mut two = offers(3);
    two["numwant"] = json!(2);
    fixture.announce(0, 'p', two);
    assert_eq!(fixture.offers.len(), 2);
    fixture.announce(0, 'p', json!({"event": "stopped"}));
    assert_eq!(fixture.offers.len(), 2);
}

#[test]
fn an_offer_is_answered_once_and_in_time() {
    let mut fixture = Fixture::new();
    fixture.announce(0, 'p', json!({}));
    fixture.announce(1, 'q', offers(1));
    let (outcome, reply) = fixture.say(0, &answer('p', 'q'));
    assert_eq!(outcome, Outcome::served(RequestKind::Answer));
    assert_eq!(reply, None);
    let (to, relayed) = fixture.answers.pop().unwrap();
    assert_eq!(to, 1);
    assert_eq!(relayed["peer_id"], "pppppppppppppppppppp");
    assert_eq!(relayed["offer_id"], "offer000000000000000");
    assert_eq!(relayed["answer"], json!({"type": "answer", "sdp": "back"}));

    let rejected = |fixture: &mut Fixture, connection, message: &Value, reason| {
        let (outcome, reply) = fixture.say(connection, message);
        assert_eq!(outcome, Outcome::rejected(RequestKind::Answer, reason));
        let reply = reply.unwrap();
        assert_eq!(reply["action"], "announce");
        assert_eq!(reply["info_hash"], HASH);
        assert!(reply["failure reason"].is_string());
        assert!(fixture.answers.is_empty());
    };
    rejected(
        &mut fixture,
        0,
        &answer('p', 'q'),
        RejectReason::UnknownOffer,
    );
    rejected(
        &mut fixture,
        2,
        &answer('r', 'q'),
        RejectReason::NotAnnounced,
    );
    rejected(
        &mut fixture,
        0,
        &answer('r', 'q'),
        RejectReason::NotAnnounced,
    );

    fixture.announce(1, 'q', offers(1));
    // The peer `x` has made no offer.
    rejected(
        &mut fixture,
        0,
        &answer('p', 'x'),
        RejectReason::UnknownOffer,
    );
    fixture.now += OFFER_LIFETIME;
    rejected(
        &mut fixture,
        0,
        &answer('p', 'q'),
        RejectReason::ExpiredOffer,
    );
    fixture.announce(1, 'q', offers(1));
    fixture.now += OFFER_LIFETIME - 1;
    assert_eq!(fixture.say(0, &answer('p', 'q')).1, None);
}

#[test]
fn a_closed_connection_gets_no_answer() {
    let mut fixture = Fixture::new();
    fixture.announce(0, 'p', json!({}));
    let rejected = |fixture: &mut Fixture| {
        let (outcome, reply) = fixture.say(0, &answer('p', 'q'));
        let reason = RejectReason::OffererGone;
        assert_eq!(outcome, Outcome::rejected(RequestKind::Answer, reason));
        let reply = reply.unwrap();
        assert_eq!(
            (&reply["action"], &reply["info_hash"]),
            (&json!("announce"), &json!(HASH))
        );
        assert_eq!(
            reply["failure reason"],
            "the peer of to_peer_id has left the torrent"
        );
        assert!(fixture.answers.is_empty());
    };
    fixture.announce(1, 'q', offers(1));
    fixture.announce(1, 'q', json!({"event": "stopped"}));
    rejected(&mut fixture);
    fixture.announce(1, 'q', offers(1));
    fixture.close(1);
    rejected(&mut fixture);
    // A client may announce the same peer over two connections, for two URLs of the
    // tracker.
    fixture.announce(1, 'q', offers(1));
    fixture.announce(2, 'q', json!({}));
    let (outcome, reply) = fixture.say(0, &answer('p', 'q'));
    assert_eq!(
        (outcome, reply),
        (Outcome::served(RequestKind::Answer), None)
    );
    assert_eq!(fixture.answers.pop().unwrap().0, 1);
}

#[test]
fn peers_of_an_address_are_bounded() {
    let limits = swarm::SwarmLimits {
        max_peers_per_torrent: NonZeroU32::new(3),
        ..swarm::SwarmLimits::default()
    };
    let mut fixture = Fixture::limited(config(), false, limits);
    fixture.config.limits.max_peers_per_ip = ZeroOr::of::<2>();
    let rejected = |fixture: &mut Fixture, connection, peer, expected| {
        let (outcome, _) = fixture.say(connection, &announce(peer, json!({})));
        assert_eq!(outcome.rejected, Some(expected));
    };
    fixture.announce(0, 'p', json!({}));
    fixture.announce(1, 'q', json!({}));
    rejected(&mut fixture, 3, 'r', RejectReason::MaxPeersPerIp);
    // Known peers and those of other addresses may announce.
    fixture.announce(0, 'p', json!({}));
    fixture.announce(2, 's', json!({}));
    // A known peer may announce over another connection.
    fixture.announce(4, 'q', json!({}));
    fixture.close(1);
    rejected(&mut fixture, 3, 'r', RejectReason::MaxPeersPerIp);
    fixture.announce(0, 'p', json!({"event": "stopped"}));
    fixture.announce(3, 'r', json!({}));
    fixture.close(4);
    fixture.close(3);
    // An announce that the swarm rejects is not counted.
    fixture.announce(5, 't', json!({}));
    fixture.announce(0, 'p', json!({}));
    rejected(&mut fixture, 6, 'u', RejectReason::MaxPeersPerTorrent);
    rejected(&mut fixture, 6, 'v', RejectReason::MaxPeersPerTorrent);
    fixture.close(5);
    fixture.announce(6, 'w', json!({}));
}

#[test]
fn the_newer_connection_owns_the_peer() {
    let mut fixture = Fixture::new();
    fixture.announce(0, 'p', json!({}));
    fixture.announce(1, 'p', json!({}));
    assert_eq!(fixture.scraped()["incomplete"], 1);
    fixture.close(0);
    assert_eq!(fixture.scraped()["incomplete"], 1);
    fixture.announce(3, 'q', offers(1));
    assert_eq!(fixture.offers[0].0, 1, "offers go to the newer one");
    // A stop over the older connection does not remove the newer one's peer.
    fixture.announce(4, 'p', json!({}));
    fixture.announce(1, 'p', json!({"event": "stopped"}));
    assert_eq!(fixture.scraped()["incomplete"], 2);
    fixture.close(4);
    assert_eq!(fixture.scraped()["incomplete"], 1);
}

#[test]
fn a_connection_has_one_peer_id_on_a_torrent() {
    let mut fixture = Fixture::new();
    fixture.announce(0, 'p', json!({}));
    let (outcome, reply) = fixture.say(0, &announce('q', json!({})));
    assert_eq!(outcome.rejected, Some(RejectReason::OtherPeerId));
    assert_eq!(reply.unwrap()["info_hash"], HASH);
    assert_eq!(fixture.scraped()["incomplete"], 1);
    fixture.announce(0, 'p', json!({"event": "stopped"}));
    fixture.announce(0, 'q', json!({}));
    // For another torrent, another peer id is allowed.
    fixture.announce(0, 'r', json!({"info_hash": "bbbbbbbbbbbbbbbbbbbb"}));
}

#[test]
fn torrents_of_a_connection_are_bounded() {
    let mut fixture = Fixture::new();
    let other = |letter: char| json!({"info_hash": letter.to_string().repeat(20)});
    for letter in "abc".chars() {
        fixture.announce(0, 'p', other(letter));
    }
    let (outcome, _) = fixture.say(0, &announce('p', other('d')));
    assert_eq!(
        outcome.rejected,
        Some(RejectReason::MaxTorrentsPerConnection)
    );
    fixture.announce(0, 'p', other('a'));
    let mut stopped = other('a');
    stopped["event"] = json!("stopped");
    fixture.announce(0, 'p', stopped);
    fixture.announce(0, 'p', other('d'));
    fixture.close(0);
    assert_eq!(
        fixture
            .tracker
            .state
            .shared
            .swarms
            .all()
            .next()
            .unwrap()
            .totals()
            .peers,
        0
    );
}

#[test]
fn families_are_together_unless_they_are_to_be_apart() {
    for (are_apart, others) in [(false, 1), (true, 0)] {
        let mut fixture = Fixture::with(are_apart);
        fixture.announce(0, 'p', json!({}));
        let reply = fixture.announce(2, 'q', json!({}));
        assert_eq!(reply["incomplete"], others);
    }
}

#[test]
fn downloads_are_counted_and_outlive_their_peers() {
    let mut fixture = Fixture::new();
    fixture.announce(0, 'p', json!({"left": 0, "event": "completed"}));
    fixture.announce(0, 'p', json!({"left": 0, "event": "completed"}));
    fixture.close(0);
    let expected = json!({"complete": 0, "incomplete": 0, "downloaded": 1});
    assert_eq!(fixture.scraped(), expected);
}

#[test]
fn scrapes_are_cut_and_answered_also_for_nothing() {
    let mut fixture = Fixture::new();
    fixture.announce(0, 'p', json!({}));
    let unknown = |letter: char| letter.to_string().repeat(20);
    let list = json!([HASH, HASH, unknown('x'), unknown('y')]);
    let (_, reply) = fixture.say(0, &json!({"action": "scrape", "info_hash": list}));
    let files = &reply.unwrap()["files"];
    assert_eq!(files[HASH]["incomplete"], 1);
    assert!(files.as_object().unwrap().len() <= 2);
    let (outcome, reply) = fixture.say(0, &json!({"action": "scrape", "info_hash": []}));
    assert_eq!(outcome, Outcome::served(RequestKind::Scrape));
    assert_eq!(reply.unwrap()["files"], json!({}));
    let (outcome, reply) = fixture.say(0, &json!({"action": "scrape"}));
    assert_eq!(outcome.rejected, Some(RejectReason::FullScrape));
    assert_eq!(reply.unwrap()["action"], "scrape");
}

#[test]
fn what_is_malformed_gets_a_reply() {
    let mut fixture = Fixture::new();
    for message in [
        json!([]),
        json!({}),
        json!({"action": "dance"}),
        json!({"action": "announce", "info_hash": "short"}),
        json!({"action": "announce", "info_hash": HASH, "peer_id": "x"}),
        json!({"action": "announce", "info_hash": HASH, "peer_id": "łłłłłłłłłłłłłłłłłłłł"}),
    ] {
        let (outcome, reply) = fixture.say(0, &message);
        assert!(outcome.rejected.is_some(), "{message}");
        let reply = reply.unwrap();
        assert!(reply["failure reason"].is_string(), "{message}");
        assert!(reply["action"].is_string(), "{message}");
        assert!(reply["info_hash"].is_string(), "{message}");
    }
    assert!(fixture.sessions[&0].torrents().is_empty());
}

/// A step of a sequence of connections.
#[derive(Debug, Clone)]
enum Step {
    Announce {
        connection: u64,
        peer: u8,
        torrent: u8,
    },
    Stop {
        connection: u64,
        peer: u8,
        torrent: u8,
    },
    Close {
        connection: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let all = (0..6_u64, 0..4_u8, 0..3_u8);
    prop_oneof![
        4 => all.clone().prop_map(|(connection, peer, torrent)| Step::Announce {
            connection, peer, torrent,
        }),
        1 => all.prop_map(|(connection, peer, torrent)| Step::Stop { connection, peer, torrent }),
        1 => (0..6_u64).prop_map(|connection| Step::Close { connection }),
    ]
}

proptest! {
    #[test]
    fn peers_are_owned_as_in_a_plain_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut fixture = Fixture::new();
        // The owner of each peer, and the peer ids that connections have announced.
        let mut owners = BTreeMap::<(u8, u8), u64>::new();
        let mut announced = BTreeMap::<(u64, u8), u8>::new();
        let message = |torrent: u8, peer: u8, event: &str| json!({
            "action": "announce",
            "info_hash": char::from(b'a' + torrent).to_string().repeat(20),
            "peer_id": char::from(b'p' + peer).to_string().repeat(20),
            "left": 1,
            "event": event,
        });
        for step in steps {
            match step {
                Step::Announce { connection, peer, torrent } => {
                    let (outcome, _) = fixture.say(connection, &message(torrent, peer, "update"));
                    let known = *announced.entry((connection, torrent)).or_insert(peer);
                    prop_assert_eq!(outcome.rejected.is_none(), known == peer);
                    if known == peer {
                        owners.insert((torrent, peer), connection);
                    }
                }
                Step::Stop { connection, peer, torrent } => {
                    fixture.say(connection, &message(torrent, peer, "stopped"));
                    if announced.get(&(connection, torrent)) == Some(&peer) {
                        announced.remove(&(connection, torrent));
                        if owners.get(&(torrent, peer)) == Some(&connection) {
                            owners.remove(&(torrent, peer));
                        }
                    }
                }
                Step::Close { connection } => {
                    fixture.close(connection);
                    announced.retain(|(other, _), _| *other != connection);
                    owners.retain(|_, owner| *owner != connection);
                }
            }
            for torrent in 0..3 {
                let count = owners.keys().filter(|(other, _)| *other == torrent).count();
                let hash = InfoHash([b'a' + torrent; 20]);
                let swarm = fixture.tracker.state.shared.swarms.all().next().unwrap();
                prop_assert_eq!(swarm.lock(&hash).scrape().leechers as usize, count);
            }
        }
    }
}

#[test]
fn leaving_many_torrents_does_not_delay_others() {
    const TORRENTS: usize = 5_000;
    let mut config = config();
    config.limits.max_torrents_per_connection = Count::of::<{ TORRENTS as u64 }>();
    config.limits.max_peers_per_ip = ZeroOr::of::<{ TORRENTS as u64 + 1 }>();
    let mut fixture = Fixture::limited(config, false, swarm::SwarmLimits::default());
    let on = |torrent: usize| json!({"info_hash": format!("{torrent:020}")});
    let peers = |fixture: &Fixture| {
        let totals = fixture.tracker.state.shared.swarms.totals();
        totals.iter().map(|(_, totals)| totals.peers).sum::<usize>()
    };
    for torrent in 0..TORRENTS {
        fixture.announce(0, 'p', on(torrent));
    }
    // Another connection owns one of its peers now.
    fixture.announce(1, 'p', on(7));
    let session = fixture.sessions.remove(&0).unwrap();
    assert!(fixture.tracker.closed(session));
    assert_eq!(peers(&fixture), TORRENTS - LEFT_AT_ONCE);

    // Each message removes more peers than it adds.
    fixture.announce(1, 'q', on(TORRENTS));
    let expected = TORRENTS - LEFT_AT_ONCE - LEFT_PER_MESSAGE + 1;
    assert_eq!(peers(&fixture), expected);
    let mut turns = 1;
    while fixture.tracker.forget_left(100) {
        turns += 1;
        let most = expected - 100 * (turns - 1);
        assert!(peers(&fixture) <= most + 1, "{turns}");
    }
    assert_eq!(peers(&fixture), 2);
    assert!(!fixture.tracker.forget_left(100));
    // The address has no peers any more.
    for torrent in 0..TORRENTS - 1 {
        fixture.announce(3, 'r', on(torrent));
    }
    let (outcome, _) = fixture.say(3, &announce('r', on(TORRENTS)));
    let rejected = Outcome::rejected(RequestKind::Announce, RejectReason::MaxPeersPerIp);
    assert_eq!(outcome, rejected);
}

#[test]
fn peers_are_counted_from_their_next_announce_when_a_limit_is_introduced() {
    let mut fixture = Fixture::new();
    let on = |torrent: usize| json!({"info_hash": format!("{torrent:020}")});
    for torrent in 0..2 {
        fixture.announce(0, 'p', on(torrent));
    }
    fixture.config.limits.max_peers_per_ip = ZeroOr::of::<2>();
    let announce_third = |fixture: &mut Fixture| {
        let (outcome, _) = fixture.say(0, &announce('p', on(2)));
        outcome.rejected
    };
    let reason = Some(RejectReason::MaxPeersPerIp);
    assert_eq!(announce_third(&mut fixture), reason);
    // A lower limit removes no peer, and a higher one allows more.
    fixture.config.limits.max_peers_per_ip = ZeroOr::of::<1>();
    fixture.announce(0, 'p', on(0));
    assert_eq!(announce_third(&mut fixture), reason);
    fixture.config.limits.max_peers_per_ip = ZeroOr::of::<3>();
    assert_eq!(announce_third(&mut fixture), None);
    // Without a limit, no counts are kept.
    fixture.config.limits.max_peers_per_ip = ZeroOr::ZERO;
    fixture.announce(0, 'p', on(0));
    assert!(fixture.tracker.state.peers_per_address.is_empty());
}

#[test]
fn clients_are_counted_from_their_next_announce_when_that_is_wanted() {
    let mut fixture = Fixture::new();
    let text = |fixture: &Fixture| fixture.tracker.clients.peers();
    fixture.announce(0, 'p', json!({}));
    fixture.announce(1, 'q', json!({}));
    assert_eq!(text(&fixture), 0);
    fixture.config.metrics.peer_clients = true;
    fixture.announce(0, 'p', json!({}));
    assert_eq!(text(&fixture), 1);
    let session = fixture.sessions.remove(&1).unwrap();
    fixture.tracker.closed(session);
    assert_eq!(text(&fixture), 1, "it was not counted");
    fixture.config.metrics.peer_clients = false;
    fixture.announce(0, 'p', json!({}));
    assert_eq!(text(&fixture), 0);
}
