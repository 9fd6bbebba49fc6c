//! What clients are sent.
//!
//! Each reply is appended to `out`, with an exact length and nothing to spare.

use crate::{Head, HttpFault, Method, Version};

/// How a reply is framed: what depends on the request and not on the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Whether the body is left out, because only headers are wanted.
    pub is_head: bool,
    /// Whether the connection will be closed.
    pub closes: bool,
    /// Whether the client has to be told that the connection stays open.
    pub says_keep_alive: bool,
}

impl Framing {
    /// How to answer when nothing is known of the client, and nothing more
    /// wanted.
    pub const CLOSING: Self = Self {
        is_head: false,
        closes: true,
        says_keep_alive: false,
    };

    /// How to answer a request over a connection that stays open if `stays`
    /// and the client lets it.
    #[inline]
    #[must_use]
    pub fn of(head: &Head<'_>, stays: bool) -> Self {
        let closes = !(stays && head.keeps_alive);
        Self {
            is_head: head.method == Method::Head,
            closes,
            says_keep_alive: !closes && head.version == Version::Http10,
        }
    }
}

/// How a request was answered, of the codes of RFC 9110.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200: also when a tracker refuses, because clients read the reason then.
    Ok,
    /// 400: no HTTP, or headers that make no sense together.
    BadRequest,
    /// 403: who asks may not.
    Forbidden,
    /// 404: no such path.
    NotFound,
    /// 405: neither GET nor HEAD.
    MethodNotAllowed,
    /// 408: the request did not become complete in time.
    RequestTimeout,
    /// 426: only WebSocket can be spoken here.
    UpgradeRequired,
    /// 429: the client has as many connections as it may.
    TooManyRequests,
    /// 431: headers, or the whole request, beyond the bounds.
    HeadersTooLarge,
    /// 503: something is wrong with the server.
    Unavailable,
}

impl Status {
    /// As it stands after the version.
    #[inline]
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::UpgradeRequired => "426 Upgrade Required",
            Self::TooManyRequests => "429 Too Many Requests",
            Self::HeadersTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    /// The headers that say what would be right (RFC 9110, 15.5.6 and 15.5.22; RFC
    /// 6455, 4.4).
    #[inline]
    fn headers(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "Allow: GET, HEAD\r\n",
            Self::UpgradeRequired => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            _ => "",
        }
    }
}

/// Appends a page of plain text.
pub fn write_page(out: &mut Vec<u8>, framing: Framing, status: Status, text: &str) {
    let mut reply = Reply::begin(out, framing, status, "Content-Type: text/plain\r\n");
    reply.body().extend_from_slice(text.as_bytes());
    reply.finish();
}

/// Appends the answer to what is no request. The connection is to be closed.
pub fn write_fault(out: &mut Vec<u8>, fault: HttpFault) {
    write_page(out, Framing::CLOSING, fault.status(), &format!("{fault}\n"));
}

/// A reply of which the body is being written.
#[derive(Debug)]
pub struct Reply<'b> {
    out: &'b mut Vec<u8>,
    /// Where the length of the body stands.
    length_at: usize,
    /// Where the body begins.
    body_at: usize,
    is_head: bool,
}

/// Holds the place of the length until it is known: most bodies have from 100
/// to 999 bytes.
const LENGTH: &[u8] = b"000";

impl<'b> Reply<'b> {
    /// Appends the headers: beside those that follow from the framing and the
    /// status, `headers`, each of which ends its line.
    #[inline]
    pub fn begin(out: &'b mut Vec<u8>, framing: Framing, status: Status, headers: &str) -> Self {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.line().as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(headers.as_bytes());
        if framing.closes {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if framing.says_keep_alive {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(status.headers().as_bytes());
        out.extend_from_slice(b"Content-Length: ");
        let length_at = out.len();
        out.extend_from_slice(LENGTH);
        out.extend_from_slice(b"\r\n\r\n");
        Self {
            length_at,
            body_at: out.len(),
            is_head: framing.is_head,
            out,
        }
    }

    /// To append the body to. What is there already is to be left alone.
    #[inline]
    pub fn body(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Writes the length of what was appended to the body.
    #[inline]
    pub fn finish(self) {
        let Self {
            out,
            length_at,
            body_at,
            is_head,
        } = self;
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(out.len() - body_at).as_bytes();
        if is_head {
            out.truncate(body_at);
        }
        let place = length_at..length_at + LENGTH.len();
        if digits.len() == LENGTH.len() {
            out[place].copy_from_slice(digits);
        } else {
            out.splice(place, digits.iter().copied());
        }
    }
}

#[cfg(test)]
mod tests;
