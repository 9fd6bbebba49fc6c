//! Invariants for all messages of WebTorrent.

use aquatic_ws_protocol::client::{Reply, write_request};
use aquatic_ws_protocol::{Failure, MaxItems, Rejected, Request, RequestFault, RequestFaultKind};
use serde_json::Value;
use serde_json::value::RawValue;

const MAX: MaxItems = MaxItems {
    offers: 10,
    scrape_torrents: 10,
};

/// More than the length of any error: two values of the message, and the reason.
const MAX_FAILURE_BYTES: usize = 1_200;

/// Values that are nested deeper are refused.
const MAX_DEPTH: usize = 128;

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(message) = str::from_utf8(bytes) else {
        return;
    };
    let parsed = Request::parse(message, MAX);
    check_is_json(&parsed, message);
    match parsed {
        Ok(request) => check_request(&request, message),
        Err(fault) => check_fault(&fault),
    }
    // The load test ignores what it cannot use from other trackers.
    let _ = Reply::parse(message);
}

/// What is an object of JSON is so for serde_json, and the fields are those that it finds.
fn check_is_json(parsed: &Result<Request<'_>, RequestFault>, message: &str) {
    let fault = parsed.as_ref().err().map(|fault| fault.kind);
    let is_object = fault != Some(RequestFaultKind::NotJson);
    let raw = serde_json::from_str::<&RawValue>(message);
    let expected = raw.is_ok_and(|raw| raw.get().starts_with('{'));
    let brackets = message.matches(['[', '{']).count();
    assert!(
        is_object == expected || expected && brackets > MAX_DEPTH,
        "{message}"
    );
    // It does not read halves of surrogate pairs, large numbers, and deep values.
    let Ok(Value::Object(object)) = serde_json::from_str(message) else {
        return;
    };
    let bytes = |name| object.get(name).and_then(bytes_of);
    match parsed {
        Ok(Request::Announce(announce)) => {
            assert_eq!(Some(announce.info_hash.0), bytes("info_hash"));
            assert_eq!(Some(announce.peer_id.0), bytes("peer_id"));
            let offers = object.get("offers").and_then(Value::as_array);
            let offers = offers.into_iter().flatten().take(MAX.offers);
            for (offer, expected) in announce.offers.iter().zip(offers.clone()) {
                assert_eq!(Some(offer.id.0), bytes_of(&expected["offer_id"]));
                let description: Value =
                    serde_json::from_str(offer.description.json()).expect("JSON");
                assert_eq!(description, expected["offer"]);
            }
            assert_eq!(announce.offers.len(), offers.count());
            if let Some(Value::Number(left)) = object.get("left")
                && let Some(left) = left.as_i64()
            {
                assert_eq!(announce.left, u64::try_from(left).ok());
            }
        }
        Ok(Request::Answer(answer)) => {
            assert_eq!(Some(answer.to_peer_id.0), bytes("to_peer_id"));
            assert_eq!(Some(answer.offer_id.0), bytes("offer_id"));
        }
        Ok(Request::Scrape(scrape)) => {
            let expected = match &object["info_hash"] {
                Value::Array(list) => list.iter().filter_map(bytes_of).collect(),
                one => Vec::from_iter(bytes_of(one)),
            };
            let found: Vec<_> = scrape.info_hashes.iter().map(|it| it.0).collect();
            assert!(expected.starts_with(&found));
            assert!(found.len() == expected.len() || found.len() == MAX.scrape_torrents);
        }
        Err(fault) => {
            let has_bytes = bytes("info_hash").is_some();
            assert!(fault.kind != RequestFaultKind::InfoHash || !has_bytes);
            let has_bytes = bytes("peer_id").is_some();
            assert!(fault.kind != RequestFaultKind::PeerId || !has_bytes);
        }
    }
}

/// A string of 20 characters below 256.
fn bytes_of(value: &Value) -> Option<[u8; 20]> {
    let bytes: Option<Vec<u8>> = value
        .as_str()?
        .chars()
        .map(|it| it.try_into().ok())
        .collect();
    bytes?.try_into().ok()
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
