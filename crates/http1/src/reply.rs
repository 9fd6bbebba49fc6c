//! Replies to clients.
//!
//! Each reply is appended to `out`, with its exact length.

use crate::{Head, HttpFault, Method, Version};

/// The framing of a reply, which depends on the request, not on the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Whether the body is omitted, because the method is HEAD.
    pub is_head: bool,
    /// Whether the connection will be closed.
    pub closes: bool,
    /// Whether the reply must say that the connection stays open.
    pub says_keep_alive: bool,
}

impl Framing {
    /// The framing if the request could not be parsed: the connection is closed.
    pub const CLOSING: Self = Self {
        is_head: false,
        closes: true,
        says_keep_alive: false,
    };

    /// The framing of the reply to a request. The connection stays open if `stays` and the
    /// client allows it.
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

    /// Appends the status line and headers except those about the length.
    #[inline]
    pub(crate) fn write_head(self, out: &mut Vec<u8>, status: Status, headers: &str) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.line().as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(headers.as_bytes());
        if self.closes {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if self.says_keep_alive {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(status.headers().as_bytes());
    }
}

/// The status of a reply (RFC 9110).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200: also for failures of a tracker, because clients only read their reason then.
    Ok,
    /// 400: malformed request, or contradictory headers.
    BadRequest,
    /// 403: access denied.
    Forbidden,
    /// 404: unknown path.
    NotFound,
    /// 405: method other than GET and HEAD.
    MethodNotAllowed,
    /// 408: the request was not complete in time.
    RequestTimeout,
    /// 426: only WebSocket is supported here.
    UpgradeRequired,
    /// 429: the client has too many connections.
    TooManyRequests,
    /// 431: the headers, or the whole request, are too long.
    HeadersTooLarge,
    /// 503: an error of the server.
    Unavailable,
}

impl Status {
    /// The status line after the version.
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

    /// Headers that are required with this status (RFC 9110, 15.5.6 and 15.5.22; RFC 6455,
    /// 4.4).
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

/// Appends the reply to a malformed request. The connection must be closed afterwards.
pub fn write_fault(out: &mut Vec<u8>, fault: HttpFault) {
    write_page(out, Framing::CLOSING, fault.status(), &format!("{fault}\n"));
}

/// A reply whose body is being written.
#[derive(Debug)]
pub struct Reply<'b> {
    out: &'b mut Vec<u8>,
    /// Offset of the content length in `out`.
    length_at: usize,
    /// Offset of the body in `out`.
    body_at: usize,
    is_head: bool,
}

/// Placeholder for the length until it is known: most bodies have 100 to 999 bytes.
const LENGTH: &[u8] = b"000";

impl<'b> Reply<'b> {
    /// Appends the status line and headers: `headers`, each with its line end, and those
    /// that depend on the framing and the status.
    #[inline]
    pub fn begin(out: &'b mut Vec<u8>, framing: Framing, status: Status, headers: &str) -> Self {
        framing.write_head(out, status, headers);
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

    /// The output, to append the body to. Existing bytes must not be changed.
    #[inline]
    pub fn body(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Writes the length of the body.
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
