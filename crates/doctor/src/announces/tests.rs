//! How answers are judged.

use super::*;
use crate::finding::State;
use crate::subject;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|it| ip(it)).collect()
}

#[test]
fn targets_are_random() {
    let target = || {
        let url = Url::parse("udp://127.0.0.1:1").unwrap();
        Target::new(url, "127.0.0.1:1".parse().unwrap(), false).unwrap()
    };
    let (one, other) = (target(), target());
    assert_ne!(one.info_hash, other.info_hash);
    for Target { peers, .. } in [one, other] {
        assert_ne!(peers[0].port, peers[1].port);
        assert_ne!(peers[0].id, peers[1].id);
        assert!(peers[0].port >= 0x8000 && peers[1].port >= 0x8000);
    }
}

#[test]
fn addresses_of_clients_are_judged() {
    let own = set(&["127.0.0.1", "203.0.113.5", "10.0.0.5"]);
    let state = |seen, local: &str, to: &str| judge_address(seen, ip(local), ip(to), &own).state;
    let seen = |address: &str| Seen::As(ip(address));
    assert_eq!(
        state(seen("203.0.113.5"), "203.0.113.5", "203.0.113.5"),
        State::Ok
    );
    assert_eq!(
        state(seen("127.0.0.1"), "127.0.0.1", "127.0.0.1"),
        State::Ok
    );
    // NAT returns packets from the inside with the public address as their source.
    assert_eq!(
        state(seen("198.51.100.1"), "10.0.0.5", "198.51.100.1"),
        State::Ok
    );
    assert_eq!(
        state(seen("127.0.0.1"), "203.0.113.5", "203.0.113.5"),
        State::Wrong
    );
    assert_eq!(
        state(seen("10.0.0.5"), "203.0.113.5", "203.0.113.5"),
        State::Wrong
    );
    assert_eq!(
        state(seen("10.0.0.1"), "10.0.0.5", "198.51.100.1"),
        State::Warning
    );
    assert_eq!(
        state(Seen::NotListed, "10.0.0.5", "10.0.0.5"),
        State::Warning
    );
    assert_eq!(
        state(Seen::Untold, "10.0.0.5", "10.0.0.5"),
        State::Unchecked
    );
}

#[test]
fn the_health_that_a_tracker_tells_is_judged() {
    let state = |status, text| judge_health(status, text, String::new()).state;
    assert_eq!(state(200, "ok"), State::Ok);
    assert_eq!(
        state(200, "ok, but snapshots cannot be written"),
        State::Warning
    );
    assert_eq!(state(503, "a worker does not respond"), State::Wrong);
}

#[test]
fn exactly_those_who_were_accepted_leave() {
    let url = Url::parse("udp://127.0.0.1:1").unwrap();
    let target = Target::new(url, "127.0.0.1:1".parse().unwrap(), false).unwrap();
    let [first, second] = target.peers;
    let silence = || Err(Trouble::Unreachable("no answer".to_owned()));
    let refusal = |reason: &str| Ok(Err(reason.to_owned()));
    let told = [SocketAddr::new(ip("192.0.2.1"), first.port)];
    let accepted = || Ok(Ok(told.to_vec()));
    type Reply = Result<Result<Vec<SocketAddr>, String>, Trouble>;
    // The replies to both announces, and the peers that announce `stopped`.
    const REFUSALS: Refusals = Refusals {
        forbidden: "forbidden",
        needs_key: "no key",
        rate_limit: "too many",
    };
    let cases: [([Reply; 2], &[Peer]); 8] = [
        ([silence(), accepted()], &[]),
        ([refusal("forbidden"), accepted()], &[]),
        ([refusal("no key"), accepted()], &[]),
        ([refusal("too many"), accepted()], &[]),
        ([accepted(), refusal("too many")], &[first]),
        ([accepted(), silence()], &[first]),
        ([accepted(), refusal("full")], &[first]),
        ([accepted(), accepted()], &[first, second]),
    ];
    let results = cases.map(|([to_first, to_second], expected)| {
        let mut left = Vec::new();
        let result = announce_both(&target, REFUSALS, |peer, event| {
            if event == Event::Stopped {
                left.push(peer);
                return silence();
            }
            assert_eq!(left, []);
            if peer == first {
                to_first.clone()
            } else {
                to_second.clone()
            }
        });
        assert_eq!(left, expected, "{result:?}");
        result
    });
    let refused = Trouble::Refused("it refused an announce: full".to_owned());
    let unreachable = Trouble::Unreachable("no answer".to_owned());
    assert_eq!(
        results,
        [
            Err(unreachable.clone()),
            Ok(Answer::Forbidden),
            Ok(Answer::NeedsKey),
            Ok(Answer::RateLimited),
            Ok(Answer::RateLimited),
            Err(unreachable),
            Err(refused),
            Ok(Answer::Accepted(Seen::As(ip("192.0.2.1")))),
        ]
    );
}

#[test]
fn advice_depends_on_the_kind_of_trouble() {
    let about = |kind: fn(String) -> Trouble, reason: &str| advice(&kind(reason.to_owned()));
    assert!(about(Trouble::Unreachable, "timed out").contains("firewall"));
    let limit = "it refused an announce: no answer to a header without a certificate";
    for kind in [Trouble::Refused, Trouble::Other] {
        let advice = about(kind, limit);
        assert!(!advice.contains("firewall"), "{advice}");
        assert!(!advice.contains("the certificate"), "{advice}");
    }
    assert!(about(Trouble::Certificate, "expired").contains("certificate"));
    assert!(about(Trouble::ProxyHeader, "none").contains("proxy_set_header"));
}

#[test]
fn a_refusal_as_configured_is_right() {
    let mut subject = subject::sample();
    assert_eq!(
        accepted(&subject, "", Answer::Forbidden).state,
        State::Warning
    );
    if let Some(configured) = &mut subject.configured {
        configured.access_list = AccessListMode::Allow;
    }
    assert_eq!(accepted(&subject, "", Answer::Forbidden).state, State::Ok);
    assert_eq!(
        accepted(&subject, "", Answer::NeedsKey).state,
        State::Warning
    );
    if let Some(configured) = &mut subject.configured {
        configured.particulars.has_keys = true;
    }
    assert_eq!(accepted(&subject, "", Answer::NeedsKey).state, State::Ok);
}
