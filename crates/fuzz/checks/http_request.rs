//! Invariants for all requests to the HTTP tracker.

use aquatic_http_protocol::{
    AnnounceRequest, Framing, Head, HeaderBuffer, Reading, Resource, ScrapeRequest, write_failure,
};

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let mut headers = HeaderBuffer::new();
    if let Reading::Complete { head, .. } = Reading::of(bytes, &mut headers) {
        check_request(&head);
    }
}

fn check_request(head: &Head<'_>) {
    let fault = match Resource::of(head) {
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
    assert_eq!(out.ends_with(b"\r\n\r\n"), framing.is_head);
}
