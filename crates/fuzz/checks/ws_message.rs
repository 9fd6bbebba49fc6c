//! Invariants for all messages of WebTorrent.

use aquatic_ws_protocol::client::{Reply, write_request};
use aquatic_ws_protocol::{Failure, MaxItems, Rejected, Request, RequestFault};

const MAX: MaxItems = MaxItems {
    offers: 10,
    scrape_torrents: 10,
};

/// More than the length of any error: two values of the message, and the reason.
const MAX_FAILURE_BYTES: usize = 1_200;

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(message) = str::from_utf8(bytes) else {
        return;
    };
    match Request::parse(message, MAX) {
        Ok(request) => check_request(&request, message),
        Err(fault) => check_fault(&fault),
    }
    // The load test ignores what it cannot use from other trackers.
    let _ = Reply::parse(message);
}

/// A parsed message can be written, and is parsed as the same.
fn check_request(request: &Request<'_>, message: &str) {
    match request {
        Request::Announce(announce) => {
            assert!(announce.offers.len() <= MAX.offers);
            for offer in &announce.offers {
                check_relayed(offer.description.json(), message);
            }
        }
        Request::Answer(answer) => check_relayed(answer.description.json(), message),
        Request::Scrape(scrape) => assert!(scrape.info_hashes.len() <= MAX.scrape_torrents),
    }
    let mut out = Vec::new();
    write_request(&mut out, request);
    let written = str::from_utf8(&out).expect("JSON");
    assert_eq!(Request::parse(written, MAX).as_ref(), Ok(request));
}

/// A relayed description is an object, and is part of the message.
fn check_relayed(json: &str, message: &str) {
    assert!(json.starts_with('{') && json.ends_with('}'));
    assert!(message.contains(json));
}

/// A client can read the reason, and which request was rejected.
fn check_fault(fault: &RequestFault) {
    let reason = fault.to_string();
    let failure = Failure {
        rejected: Rejected::Message(&fault.sent),
        reason: &reason,
    };
    let mut out = Vec::new();
    failure.write(&mut out);
    assert!(out.len() <= MAX_FAILURE_BYTES, "{}", out.len());
    let reply = Reply::parse(str::from_utf8(&out).expect("JSON"));
    let Reply::Failure {
        action,
        reason: read,
        ..
    } = reply.expect("a reply")
    else {
        panic!("no failure");
    };
    assert_eq!(read, reason);
    // Without an action, it is an announce.
    assert!(fault.action.is_none() || action == fault.action);
}
