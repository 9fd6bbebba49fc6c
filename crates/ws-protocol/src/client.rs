//! The client side, for load tests and tests.
//!
//! * [`write_upgrade_request`], [`UpgradeReading`]: the handshake.
//! * [`write_text`], [`write_ping`], [`write_pong`], [`write_close`]: masked frames. Frames
//!   of servers are read by a [`MessageReader`](crate::MessageReader), with
//!   [`Sender::Server`](crate::Sender::Server).
//! * [`write_request`], [`Reply`]: messages.

use aquatic_http1::MAX_HEADERS;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use httparse::{EMPTY_HEADER, Status};

use crate::frame::{Kind, write_close_frame, write_control, write_frame};
use crate::{CloseCode, accept_key};

mod reply;
mod request;

pub use reply::{Reply, ReplyFault, ScrapedTorrent};
pub use request::write_request;

/// Appends an upgrade request to the path `target` of `host`, a name or address with its
/// port. `nonce` must be random.
pub fn write_upgrade_request(out: &mut Vec<u8>, host: &str, target: &str, nonce: [u8; 16]) {
    let request = format!(
        "GET {target} HTTP/1.1\r\n\
         Host: {host}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {}\r\n\r\n",
        BASE64.encode(nonce)
    );
    out.extend_from_slice(request.as_bytes());
}

/// The parsed reply to an upgrade request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeReading {
    /// It is incomplete.
    Incomplete,
    /// The connection was upgraded; frames follow.
    Upgraded {
        /// Length of the reply.
        length: usize,
    },
    /// The status is this one, not 101.
    Rejected(u16),
    /// It is not HTTP, or not a reply to this request.
    Malformed,
}

impl UpgradeReading {
    /// Parses the reply to a request with `nonce` at the start of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8], nonce: [u8; 16]) -> Self {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Self::Incomplete,
            Err(_) => return Self::Malformed,
        };
        match response.code {
            Some(101) => {}
            Some(other) => return Self::Rejected(other),
            None => return Self::Malformed,
        }
        let accept = accept_key(BASE64.encode(nonce).as_bytes());
        let is_answer = response.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("sec-websocket-accept")
                && header.value.trim_ascii() == accept
        });
        if is_answer {
            Self::Upgraded { length }
        } else {
            Self::Malformed
        }
    }
}

/// Appends a text message; `write` appends its content. `mask` must be random.
#[inline]
pub fn write_text(out: &mut Vec<u8>, mask: [u8; 4], write: impl FnOnce(&mut Vec<u8>)) {
    write_frame(out, Kind::Text, Some(mask), write);
}

/// Appends a ping. At most 125 bytes of `payload` are sent.
pub fn write_ping(out: &mut Vec<u8>, mask: [u8; 4], payload: &[u8]) {
    write_control(out, Kind::Ping, Some(mask), payload);
}

/// Appends a pong with this payload.
pub fn write_pong(out: &mut Vec<u8>, mask: [u8; 4], payload: &[u8]) {
    write_control(out, Kind::Pong, Some(mask), payload);
}

/// Appends a close frame. `reason` is truncated if it is too long.
pub fn write_close(out: &mut Vec<u8>, mask: [u8; 4], code: CloseCode, reason: &str) {
    write_close_frame(out, Some(mask), code, reason);
}

#[cfg(test)]
mod tests;
