//! Invariants for any bytes on a connection with HTTP.

use aquatic_http1::{
    Framing, Head, HeaderBuffer, MAX_REQUEST_LENGTH, Method, Reading, Status, write_fault,
    write_page,
};

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    // Reads one request after the other.
    let mut rest = bytes;
    loop {
        let mut headers = HeaderBuffer::new();
        let reading = Reading::of(rest, &mut headers);
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
                check_head(&head);
                rest = &rest[length..];
            }
        }
    }
}

/// A prefix of the input is incomplete, or gives the same result as all of it.
fn check_pieces(bytes: &[u8], whole: Reading<'_>) {
    // Not after every byte, which would take too long: the fuzzer chooses where.
    let step = bytes.len() / 16 + 1;
    for end in (0..bytes.len()).step_by(step) {
        let mut headers = HeaderBuffer::new();
        let reading = Reading::of(&bytes[..end], &mut headers);
        assert!(reading == Reading::Incomplete || reading == whole);
    }
}

fn check_head(head: &Head<'_>) {
    assert!(head.host.is_none_or(|host| (1..=261).contains(&host.len())));
    assert!(!(head.has_body && head.keeps_alive));
    assert!(!head.target.path.contains(&b'?'));
    assert!(head.target.origin.is_none() || head.scheme().is_some());
    assert!(!head.has_token("connection", "close") || !head.keeps_alive);
    let mut out = Vec::new();
    let framing = Framing::of(head, true);
    write_page(&mut out, framing, Status::Ok, "page\n");
    assert_eq!(out.ends_with(b"\r\n\r\n"), head.method == Method::Head);
    assert_ne!(out.ends_with(b"page\n"), head.method == Method::Head);
}
