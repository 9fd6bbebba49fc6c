//! Answers over HTTP.

use crate::text::write_number;

use super::{HttpFault, UpgradeFault};

/// How a request was answered, of the codes of RFC 9110.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200.
    Ok,
    /// 400: no HTTP, or a request for WebSocket that is malformed.
    BadRequest,
    /// 403: an origin that is not allowed.
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
    /// 503: the tracker cannot answer now.
    Unavailable,
}

/// Appends the answer after which frames may be sent, with what the key of the
/// [`Upgrade`](super::Upgrade) is answered with.
///
/// Extensions and protocols that were offered are declined by saying nothing of
/// them (RFC 6455, 4.2.2).
pub fn write_upgrade(out: &mut Vec<u8>, accept: [u8; 28]) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\n\
          Upgrade: websocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Appends a page of plain text. The connection is to be closed.
pub fn write_page(out: &mut Vec<u8>, status: Status, text: &str, is_head: bool) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.line().as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: text/plain\r\nConnection: close\r\n");
    match status {
        Status::MethodNotAllowed => out.extend_from_slice(b"Allow: GET, HEAD\r\n"),
        // RFC 6455, 4.4, and RFC 9110, 15.5.22.
        Status::UpgradeRequired => {
            out.extend_from_slice(b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        }
        _ => {}
    }
    out.extend_from_slice(b"Content-Length: ");
    // The texts are our own, and short.
    write_number(out, text.len() as u32);
    out.extend_from_slice(b"\r\n\r\n");
    if !is_head {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends the answer to what is no request. The connection is to be closed.
pub fn write_fault(out: &mut Vec<u8>, fault: HttpFault) {
    let status = match fault {
        HttpFault::NotHttp | HttpFault::Tls | HttpFault::Header | HttpFault::Host => {
            Status::BadRequest
        }
        HttpFault::TooManyHeaders | HttpFault::TooLong => Status::HeadersTooLarge,
    };
    write_page(out, status, &format!("{fault}\n"), false);
}

/// Appends the answer to a request for WebSocket that cannot be. The connection
/// is to be closed.
pub fn write_upgrade_fault(out: &mut Vec<u8>, fault: UpgradeFault) {
    let status = match fault {
        UpgradeFault::Version10
        | UpgradeFault::Connection
        | UpgradeFault::Key
        | UpgradeFault::Body => Status::BadRequest,
        UpgradeFault::Version => Status::UpgradeRequired,
    };
    write_page(out, status, &format!("{fault}\n"), false);
}

impl Status {
    /// As it stands after the version.
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
}
