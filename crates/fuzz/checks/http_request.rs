//! What must hold for all bytes on a connection of the HTTP tracker.

use aquatic_http_protocol::{
    AnnounceRequest, Framing, Head, MAX_REQUEST_LENGTH, Reading, Resource, ScrapeRequest,
    write_failure, write_fault,
};

/// Panics when something that must hold does not.
pub(crate) fn check(bytes: &[u8]) {
    // One request after the other, as long as there are any.
    let mut rest = bytes;
    loop {
        let reading = Reading::of(rest, Some("x-real-ip"));
        check_pieces(rest, reading);
        match reading {
            Reading::Incomplete => {
                assert!(rest.len() < MAX_REQUEST_LENGTH);
                return;
            }
            Reading::Fault(fault) => {
                let mut out = Vec::new();
                write_fault(&mut out, fault);
                assert!(out.starts_with(b"HTTP/1.1 4"));
                return;
            }
            Reading::Complete { head, length } => {
                assert!(0 < length && length <= rest.len().min(MAX_REQUEST_LENGTH));
                check_request(&head);
                rest = &rest[length..];
            }
        }
    }
}

/// The first bytes say the same as all, or that they are not enough.
fn check_pieces(bytes: &[u8], whole: Reading<'_>) {
    // Not at every byte, which would take too long; but the fuzzer chooses.
    let step = bytes.len() / 16 + 1;
    for end in (0..bytes.len()).step_by(step) {
        let reading = Reading::of(&bytes[..end], Some("X-Real-IP"));
        assert!(reading == Reading::Incomplete || reading == whole);
    }
}

fn check_request(head: &Head<'_>) {
    let fault = match head.resource {
        Resource::Announce(query) => match AnnounceRequest::parse(query) {
            Ok(announce) => {
                assert_eq!(announce.is_seeder(), announce.left == Some(0));
                return;
            }
            Err(fault) => fault,
        },
        Resource::Scrape(query) => match ScrapeRequest::parse(query) {
            Ok(scrape) => {
                let count = scrape.info_hashes().count();
                assert!(0 < count && count <= query.len() / 20);
                return;
            }
            Err(fault) => fault,
        },
        _ => return,
    };
    let mut out = Vec::new();
    let framing = Framing::of(head, true);
    write_failure(&mut out, framing, &fault.to_string(), None);
    assert_eq!(out.ends_with(b"\r\n\r\n"), head.is_head);
}
