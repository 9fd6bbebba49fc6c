//! Requests to a tracker with keys.

use aquatic_policy::keys::{KeyLine, KeySetBuilder};
use aquatic_tracker::keys::KeyRing;

use super::*;

const ALICE: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "ffffffffffffffffffffffffffffffff";

/// A tracker at which Alice has a key until second 100.
fn keyed() -> (Fixture, KeyRing) {
    let ring = KeyRing::with_secret([9; 16]);
    let mut builder = KeySetBuilder::new(ring.hasher());
    let line = format!("{ALICE} 1970-01-01T00:01:40Z alice");
    let line = KeyLine::parse(line.as_bytes()).unwrap().unwrap();
    builder.add(1, &line).unwrap();
    let mut fixture = fixture();
    fixture.settings.keys = Some(Arc::new(ring.keys(builder.finish().unwrap())));
    (fixture, ring)
}

fn announce_at(path: &str, passkey: &str) -> String {
    let hash = "a".repeat(20);
    format!("{path}?{passkey}&info_hash={hash}&peer_id={hash}&port=256")
}

#[test]
fn a_key_is_found_where_sites_put_it() {
    let (mut fixture, _) = keyed();
    let passkey = format!("passkey={ALICE}");
    for (path, passkey) in [
        (format!("/{ALICE}/announce"), ""),
        (format!("/announce/{ALICE}"), ""),
        ("/announce".to_owned(), &*passkey),
    ] {
        let (outcome, body) = fixture.get("10.0.0.1", &announce_at(&path, passkey));
        assert_eq!(outcome, Outcome::served(RequestKind::Announce), "{body}");
        let scrape = announce_at(&path.replace("announce", "scrape"), passkey);
        let (outcome, body) = fixture.get("10.0.0.1", &scrape);
        assert_eq!(outcome, Outcome::served(RequestKind::Scrape), "{body}");
    }
    let health = fixture.get("10.0.0.1", "/health").0;
    assert_eq!(health, Outcome::served(RequestKind::Page));
}

#[test]
fn nobody_else_is_served() {
    let (mut fixture, ring) = keyed();
    let mut check = |path: &str, reason: RejectReason| {
        for (action, kind) in [
            ("announce", RequestKind::Announce),
            ("scrape", RequestKind::Scrape),
        ] {
            let target = announce_at(&path.replace("announce", action), "");
            let (outcome, body) = fixture.get("10.0.0.1", &target);
            assert_eq!(outcome, Outcome::rejected(kind, reason), "{path}: {body}");
            assert!(body.ends_with("8:retry in5:nevere"), "{body}");
            assert!(body.contains(reason.text()), "{body}");
            assert!(!body.contains(ALICE) && !body.contains(OTHER), "{body}");
        }
    };
    check("/announce", RejectReason::MissingKey);
    check(&format!("/{OTHER}/announce"), RejectReason::UnknownKey);
    check("/x/announce", RejectReason::UnknownKey);
    check("/announce/", RejectReason::UnknownKey);
    ring.set_time(99);
    let served = Outcome::served(RequestKind::Announce);
    let target = announce_at(&format!("/{ALICE}/announce"), "");
    assert_eq!(fixture.get("10.0.0.1", &target).0, served);
    ring.set_time(100);
    let expired = Outcome::rejected(RequestKind::Announce, RejectReason::ExpiredKey);
    assert_eq!(fixture.get("10.0.0.1", &target).0, expired);
    assert_eq!(fixture.scrape('a'), (0, 0, 1));
}

#[test]
fn a_wrong_url_is_corrected_without_its_key() {
    let (mut fixture, _) = keyed();
    for path in [
        format!("/{ALICE}/announce.php"),
        format!("/a/{ALICE}/announce"),
        "/".to_owned(),
    ] {
        let (outcome, body) = fixture.get("10.0.0.1", &announce_at(&path, ""));
        let rejected = Outcome::rejected(RequestKind::Announce, RejectReason::WrongUrl);
        assert_eq!(outcome, rejected, "{body}");
        let right = "tracker.test/KEY/announce, with your key in place of KEY";
        assert!(body.contains(right) && !body.contains(ALICE), "{body}");
    }
    let (_, page) = fixture.get("10.0.0.1", "/");
    assert!(page.contains("http://tracker.test/KEY/announce"), "{page}");
}

#[test]
fn without_keys_such_paths_are_wrong() {
    let mut fixture = fixture();
    let (outcome, body) = fixture.get("10.0.0.1", &announce_at(&format!("/{ALICE}/announce"), ""));
    let rejected = Outcome::rejected(RequestKind::Announce, RejectReason::WrongUrl);
    assert_eq!(outcome, rejected, "{body}");
    assert!(!body.contains(ALICE), "{body}");
    let passkey = announce_at("/announce", &format!("passkey={ALICE}"));
    let served = Outcome::served(RequestKind::Announce);
    assert_eq!(fixture.get("10.0.0.1", &passkey).0, served);
}
