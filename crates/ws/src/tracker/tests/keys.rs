//! Messages to a tracker with keys.

use aquatic_policy::keys::{KeyLine, KeySet, KeySetBuilder};

use super::*;

const ALICE: &str = "0123456789abcdef0123456789abcdef";

fn set(ring: &KeyRing, lines: &[String]) -> KeySet {
    let mut builder = KeySetBuilder::new(ring.hasher());
    for (number, line) in (1..).zip(lines) {
        let line = KeyLine::parse(line.as_bytes()).unwrap().unwrap();
        builder.add(number, &line).unwrap();
    }
    builder.finish().unwrap()
}

/// A tracker at which Alice has a key until second 100.
fn keyed() -> (Fixture, KeyRing) {
    let ring = KeyRing::with_secret([9; 16]);
    let mut fixture = Fixture::new();
    let set = set(&ring, &[format!("{ALICE} 1970-01-01T00:01:40Z alice")]);
    fixture.tracker.set_keys(Some(Arc::new(ring.keys(set))));
    (fixture, ring)
}

/// Opens a connection to this path.
fn open(fixture: &mut Fixture, ring: &KeyRing, connection: u64, path: &str) {
    let key = ring.digest(&UrlKey::of_path_and_query(path.as_bytes()));
    let session = Session::new(Ipv4Addr::LOCALHOST.into(), Address(connection));
    fixture.sessions.insert(connection, session.with_key(key));
}

/// Announces and scrapes; returns the reason if both are rejected.
fn rejected(fixture: &mut Fixture, connection: u64) -> Option<RejectReason> {
    let (announced, reply) = fixture.say(connection, &announce('p', json!({})));
    let scrape = json!({"action": "scrape", "info_hash": HASH});
    let (scraped, other_reply) = fixture.say(connection, &scrape);
    assert_eq!(announced.rejected, scraped.rejected);
    for reply in [reply, other_reply].map(Option::unwrap) {
        let text = announced.rejected.map(|reason| json!(reason.text()));
        assert_eq!(reply.get("failure reason"), text.as_ref());
        assert!(!reply.to_string().contains(ALICE));
    }
    announced.rejected
}

#[test]
fn all_messages_of_a_connection_have_its_key() {
    let (mut fixture, ring) = keyed();
    for (connection, path) in (1..).zip([
        format!("/{ALICE}"),
        format!("/{ALICE}/announce"),
        format!("/announce/{ALICE}"),
        format!("/?passkey={ALICE}"),
    ]) {
        open(&mut fixture, &ring, connection, &path);
        assert_eq!(rejected(&mut fixture, connection), None, "{path}");
        fixture.announce(connection, 'p', json!({"event": "stopped"}));
    }
    for (connection, path, reason) in [
        (11, "/", RejectReason::MissingKey),
        (12, "/x", RejectReason::UnknownKey),
        (
            13,
            "/ffffffffffffffffffffffffffffffff",
            RejectReason::UnknownKey,
        ),
    ] {
        open(&mut fixture, &ring, connection, path);
        assert_eq!(rejected(&mut fixture, connection), Some(reason), "{path}");
    }
}

#[test]
fn a_key_that_expires_or_is_revoked_is_noticed() {
    let (mut fixture, ring) = keyed();
    open(&mut fixture, &ring, 1, &format!("/{ALICE}"));
    ring.set_time(99);
    assert_eq!(rejected(&mut fixture, 1), None);
    ring.set_time(100);
    assert_eq!(rejected(&mut fixture, 1), Some(RejectReason::ExpiredKey));
    let renewed = set(&ring, &[ALICE.to_owned()]);
    fixture.tracker.set_keys(Some(Arc::new(ring.keys(renewed))));
    assert_eq!(rejected(&mut fixture, 1), None);
    let revoked = set(&ring, &[]);
    fixture.tracker.set_keys(Some(Arc::new(ring.keys(revoked))));
    assert_eq!(rejected(&mut fixture, 1), Some(RejectReason::UnknownKey));
    fixture.tracker.set_keys(None);
    assert_eq!(rejected(&mut fixture, 1), None);
}
