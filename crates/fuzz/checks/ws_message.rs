//! What must hold for all messages of WebTorrent.

use aquatic_ws_protocol::client::{Reply, write_request};
use aquatic_ws_protocol::{Failure, Limits, Request, RequestFault};

const LIMITS: Limits = Limits {
    offers: 10,
    scrape_torrents: 10,
};

/// Panics when something that must hold does not.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(message) = str::from_utf8(bytes) else {
        return;
    };
    match Request::parse(message, LIMITS) {
        Ok(request) => check_request(&request, message),
        Err(fault) => check_fault(fault),
    }
    // What another tracker says is of no use to a load test, but no harm.
    let _ = Reply::parse(message);
}

/// What is read can be written, and says the same.
fn check_request(request: &Request<'_>, message: &str) {
    match request {
        Request::Announce(announce) => {
            assert!(announce.offers.len() <= LIMITS.offers);
            for offer in &announce.offers {
                check_relayed(offer.description.json(), message);
            }
        }
        Request::Answer(answer) => check_relayed(answer.description.json(), message),
        Request::Scrape(scrape) => assert!(scrape.info_hashes.len() <= LIMITS.scrape_torrents),
    }
    let mut out = Vec::new();
    write_request(&mut out, request);
    let written = str::from_utf8(&out).expect("JSON");
    assert_eq!(Request::parse(written, LIMITS).as_ref(), Ok(request));
}

/// What is passed on is an object, and stands in the message.
fn check_relayed(json: &str, message: &str) {
    assert!(json.starts_with('{') && json.ends_with('}'));
    assert!(message.contains(json));
}

/// A client can read why not.
fn check_fault(fault: RequestFault) {
    let reason = fault.to_string();
    let failure = Failure {
        action: fault.action,
        info_hash: fault.info_hash,
        reason: &reason,
    };
    let mut out = Vec::new();
    failure.write(&mut out);
    let reply = Reply::parse(str::from_utf8(&out).expect("JSON"));
    let expected = Reply::Failure {
        action: fault.action,
        info_hash: fault.info_hash,
        reason: reason.as_str().into(),
    };
    assert_eq!(reply.expect("a reply"), expected);
}
