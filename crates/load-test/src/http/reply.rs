//! Parses replies of a server.

use httparse::{EMPTY_HEADER, Header, Response, Status};

/// The result of parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// An incomplete reply.
    Part,
    /// A complete reply, without bytes after it.
    Whole(Reply<'a>),
    /// Malformed data.
    Malformed,
}

/// A reply to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// The server allows another request on the connection.
    pub(crate) keeps_open: bool,
}

/// Parses the reply to a request; there is only one because requests are not pipelined.
/// `ended` if the server has closed the connection.
pub(crate) fn parse(bytes: &[u8], ended: bool) -> Received<'_> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    let head_length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if !ended && bytes.len() <= MAX_HEAD_BYTES => return Received::Part,
        Ok(Status::Partial) | Err(_) => return Received::Malformed,
    };
    let body = &bytes[head_length..];
    let Some(head) = Head::of(&response) else {
        return Received::Malformed;
    };
    // Without a length, the body ends with the connection (RFC 9112, 6.3).
    let length = match head.content_length {
        Some(length) => length,
        None if ended => body.len(),
        None => usize::MAX,
    };
    if length > MAX_BODY_BYTES && (head.content_length.is_some() || body.len() > MAX_BODY_BYTES) {
        return Received::Malformed;
    }
    match body.len().cmp(&length) {
        std::cmp::Ordering::Less if ended => Received::Malformed,
        std::cmp::Ordering::Less => Received::Part,
        std::cmp::Ordering::Greater => Received::Malformed,
        std::cmp::Ordering::Equal => Received::Whole(Reply {
            status: head.status,
            body,
            keeps_open: head.keeps_open && head.content_length.is_some(),
        }),
    }
}

/// More than any tracker sends.
const MAX_HEADERS: usize = 64;

/// Maximum length of a head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Far above any sensible number of peers.
const MAX_BODY_BYTES: usize = 4 << 20;

struct Head {
    status: u16,
    content_length: Option<usize>,
    keeps_open: bool,
}

impl Head {
    /// The relevant headers; `None` if they are invalid.
    fn of(response: &Response<'_, '_>) -> Option<Self> {
        let mut this = Self {
            status: response.code?,
            content_length: None,
            // Before HTTP/1.1, each request had its own connection.
            keeps_open: response.version == Some(1),
        };
        for &Header { name, value } in &*response.headers {
            if name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(value).ok()?;
                this.content_length = Some(text.parse().ok()?);
            } else if name.eq_ignore_ascii_case("connection") {
                this.keeps_open = !value.eq_ignore_ascii_case(b"close")
                    && (this.keeps_open || value.eq_ignore_ascii_case(b"keep-alive"));
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                // No tracker does that, and clients do not have to support it.
                return None;
            }
        }
        Some(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nde";

    fn whole(bytes: &[u8], ended: bool) -> Reply<'_> {
        match parse(bytes, ended) {
            Received::Whole(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reply_may_arrive_in_pieces() {
        for length in 0..REPLY.len() {
            assert_eq!(parse(&REPLY[..length], false), Received::Part);
            assert_eq!(parse(&REPLY[..length], true), Received::Malformed);
        }
        let reply = whole(REPLY, false);
        assert_eq!((reply.status, reply.body), (200, &b"de"[..]));
        assert!(reply.keeps_open);
    }

    #[test]
    fn the_reply_contains_whether_the_connection_is_kept() {
        let keeps = |head: &str| {
            let bytes = format!("{head}\r\nContent-Length: 0\r\n\r\n").into_bytes();
            whole(&bytes, false).keeps_open
        };
        assert!(keeps("HTTP/1.1 404 Not Found"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nconnection: Close"));
        assert!(!keeps("HTTP/1.0 200 OK"));
        assert!(keeps("HTTP/1.0 200 OK\r\nConnection: Keep-Alive"));
    }

    #[test]
    fn without_a_length_the_end_decides() {
        let bytes = b"HTTP/1.1 200 OK\r\n\r\nde";
        assert_eq!(parse(bytes, false), Received::Part);
        let reply = whole(bytes, true);
        assert_eq!(reply.body, b"de");
        assert!(!reply.keeps_open);
    }

    #[test]
    fn what_is_not_a_reply_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD_BYTES));
        let replies: [&[u8]; 9] = [
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 2x0 OK\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nde",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            long.as_bytes(),
        ];
        for bytes in replies {
            assert_eq!(parse(bytes, false), Received::Malformed, "{bytes:?}");
        }
        let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
        assert_eq!(parse(huge, false), Received::Malformed);
    }
}
