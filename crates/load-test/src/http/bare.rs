//! A minimal HTTP server, as a baseline for benchmarks of trackers.
//!
//! A reply is as long as a tracker's, but always the same: it only detects the end of a
//! request, and whether the connection should be closed. It validates nothing and keeps no
//! state. The two programs that use this differ in their event loop.

use std::sync::LazyLock;

/// Number of bytes that are read with one call, and maximum length of a request.
pub const READ_BYTES: usize = 16 * 1024;

/// What to do after a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Read more: the request is incomplete.
    ReadOn,
    /// Send this and wait for the next request.
    Keep(&'static [u8]),
    /// Send this and close.
    Close(&'static [u8]),
}

/// Answers one request, given everything that was read of it.
pub fn answer(request: &[u8]) -> Answer {
    if !request.ends_with(b"\r\n\r\n") {
        return Answer::ReadOn;
    }
    let reply: &'static [u8] = if request.starts_with(b"GET /s") {
        &SCRAPE_REPLY
    } else {
        &ANNOUNCE_REPLY
    };
    // The load test writes this header last and in this form.
    if request.ends_with(b"Connection: close\r\n\r\n") {
        Answer::Close(reply)
    } else {
        Answer::Keep(reply)
    }
}

/// With 30 peers of 6 bytes.
static ANNOUNCE_REPLY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut body = b"d8:completei15e10:downloadedi0e10:incompletei15e8:intervali900e\
                     12:min intervali900e5:peers180:"
        .to_vec();
    body.extend([1; 180]);
    body.push(b'e');
    with_head(&body)
});

/// With one torrent.
static SCRAPE_REPLY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    with_head(b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi0e10:incompletei0eeee")
});

fn with_head(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::bencode;
    use crate::http::reply::{self, Received};

    #[test]
    fn requests_are_answered_when_they_are_over() {
        assert_eq!(answer(b"GET /announce?x HTTP/1.1\r\n"), Answer::ReadOn);
        let closed = answer(b"GET /announce?x HTTP/1.1\r\nConnection: close\r\n\r\n");
        let kept = answer(b"GET /scrape?x HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(closed, Answer::Close(&ANNOUNCE_REPLY));
        assert_eq!(kept, Answer::Keep(&SCRAPE_REPLY));
    }

    #[test]
    fn the_replies_are_a_trackers() {
        for (bytes, peers) in [(&ANNOUNCE_REPLY, 30), (&SCRAPE_REPLY, 0)] {
            let Received::Whole(reply) = reply::parse(bytes, false) else {
                panic!("no reply");
            };
            let body = bencode::parse(reply.body).unwrap();
            assert_eq!(body.peers, peers);
            assert_eq!(body.has_interval, peers > 0);
            assert_eq!(body.has_files, peers == 0);
        }
    }
}
