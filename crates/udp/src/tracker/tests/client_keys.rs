//! Requests to a tracker with keys.

use aquatic_policy::keys::{KeyLine, KeySetBuilder};
use aquatic_tracker::keys::KeyRing;

use super::*;

const ALICE: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "ffffffffffffffffffffffffffffffff";
const SOURCE: &str = "10.0.0.1:5";

/// A tracker at which Alice has a key until second 100, and what it answers there.
struct Keyed {
    fixture: Fixture,
    ring: KeyRing,
    id: ConnectionId,
}

fn keyed() -> Keyed {
    let ring = KeyRing::with_secret([9; 16]);
    let mut builder = KeySetBuilder::new(ring.hasher());
    let line = format!("{ALICE} 1970-01-01T00:01:40Z alice");
    let line = KeyLine::parse(line.as_bytes()).unwrap().unwrap();
    builder.add(1, &line).unwrap();
    let mut fixture = Fixture::new(SwarmLimits::default());
    let keys = ring.keys(builder.finish().unwrap());
    fixture.tracker.set_client_keys(Some(Arc::new(keys)));
    let id = fixture.connection_id(SOURCE);
    Keyed { fixture, ring, id }
}

impl Keyed {
    /// The reason why an announce with these options is rejected, if it is.
    fn rejected(&mut self, options: &[u8]) -> Option<RejectReason> {
        let request = announce_with(self.id, ALLOWED, 6881, None, options);
        let (outcome, response) = self.fixture.ask(SOURCE, &request);
        match (outcome.rejected, response) {
            (None, Some(Response::Announce(_))) => None,
            (Some(reason), Some(Response::Error(error))) => {
                assert_eq!(error.message, reason.text().as_bytes());
                Some(reason)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// URL data in pieces of at most so many bytes, after so many NOPs each.
fn options(url: &str, size: usize, nops: usize) -> Vec<u8> {
    let mut options = Vec::new();
    for piece in url.as_bytes().chunks(size) {
        options.extend(std::iter::repeat_n(1, nops));
        options.extend([2, piece.len() as u8]);
        options.extend_from_slice(piece);
    }
    options
}

#[test]
fn a_key_is_found_in_the_options() {
    let mut keyed = keyed();
    for url in [
        format!("/{ALICE}/announce"),
        format!("/announce/{ALICE}"),
        format!("/announce?x={}&passkey={ALICE}", "y".repeat(200)),
    ] {
        for (size, nops) in [(255, 0), (255, 3), (16, 1), (1, 2)] {
            assert_eq!(keyed.rejected(&options(&url, size, nops)), None, "{url}");
        }
        let mut padded = options(&url, 255, 0);
        padded.extend([0; 20]);
        assert_eq!(keyed.rejected(&padded), None, "{url}");
    }
}

#[test]
fn nobody_else_is_served() {
    let mut keyed = keyed();
    let missing = Some(RejectReason::MissingKey);
    assert_eq!(keyed.rejected(b""), missing);
    assert_eq!(keyed.rejected(&options("/announce", 255, 0)), missing);
    // The end of options comes first.
    let after_end = [&[0][..], &options(&format!("/{ALICE}/announce"), 255, 0)].concat();
    assert_eq!(keyed.rejected(&after_end), missing);
    let unknown = Some(RejectReason::UnknownKey);
    let other = options(&format!("/{OTHER}/announce"), 255, 0);
    assert_eq!(keyed.rejected(&other), unknown);
    let alice = options(&format!("/{ALICE}/announce"), 255, 0);
    assert_eq!(keyed.rejected(&alice[..alice.len() - 1]), missing);
    keyed.ring.set_time(99);
    assert_eq!(keyed.rejected(&alice), None);
    keyed.ring.set_time(100);
    assert_eq!(keyed.rejected(&alice), Some(RejectReason::ExpiredKey));
    keyed.fixture.tracker.set_client_keys(None);
    assert_eq!(keyed.rejected(b""), None);
}

#[test]
fn a_key_is_checked_after_the_connection_id_and_before_the_access_list() {
    let mut keyed = keyed();
    let other = ConnectionId([7; 8]);
    let alice = options(&format!("/{ALICE}/announce"), 255, 0);
    for options in [&alice[..], b""] {
        let request = announce_with(other, ALLOWED, 6881, None, options);
        let (outcome, response) = keyed.fixture.ask(SOURCE, &request);
        assert_eq!(outcome.rejected, Some(RejectReason::BadConnectionId));
        assert!(response.is_none());
    }
    let id = keyed.id;
    let mut rejected = |options: &[u8]| {
        let request = announce_with(id, FORBIDDEN, 6881, None, options);
        keyed.fixture.ask(SOURCE, &request).0.rejected
    };
    assert_eq!(rejected(b""), Some(RejectReason::MissingKey));
    assert_eq!(rejected(&alice), Some(RejectReason::Forbidden));
}

#[test]
fn scrapes_have_no_key() {
    let mut keyed = keyed();
    let request = scrape(keyed.id, &[ALLOWED]);
    let (outcome, response) = keyed.fixture.ask(SOURCE, &request);
    assert_eq!(outcome.rejected, Some(RejectReason::MissingKey));
    assert_eq!(outcome.kind, RequestKind::Scrape);
    match response {
        Some(Response::Error(error)) => assert_eq!(error.message, NO_SCRAPES.as_bytes()),
        other => panic!("{other:?}"),
    }
}
