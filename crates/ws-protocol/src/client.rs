//! The client's side, as load tests and tests need it.
//!
//! * [`write_upgrade_request`], [`UpgradeReading`]: the handshake.
//! * [`write_text`], [`write_ping`], [`write_pong`], [`write_close`]: frames with
//!   a mask. They are read by a [`MessageReader`](crate::MessageReader), from
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

/// Appends a request for WebSocket at `target`, a path, of `host`, a name or
/// address with its port. `nonce` is to be chosen at random.
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

/// What answers a request for WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeReading {
    /// The start of an answer.
    Incomplete,
    /// Frames follow.
    Upgraded {
        /// The bytes of the answer.
        length: usize,
    },
    /// Another status than 101, which is this one.
    Rejected(u16),
    /// No HTTP, or not an answer to this request.
    Malformed,
}

impl UpgradeReading {
    /// Reads the answer to a request with `nonce` at the start of `bytes`.
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

/// Appends a message of text that `write` appends. `mask` is to be chosen at
/// random.
#[inline]
pub fn write_text(out: &mut Vec<u8>, mask: [u8; 4], write: impl FnOnce(&mut Vec<u8>)) {
    write_frame(out, Kind::Text, Some(mask), write);
}

/// Appends a ping. Of `payload`, at most 125 bytes are sent.
pub fn write_ping(out: &mut Vec<u8>, mask: [u8; 4], payload: &[u8]) {
    write_control(out, Kind::Ping, Some(mask), payload);
}

/// Appends the answer to a ping with this payload.
pub fn write_pong(out: &mut Vec<u8>, mask: [u8; 4], payload: &[u8]) {
    write_control(out, Kind::Pong, Some(mask), payload);
}

/// Appends the last frame. Of `reason`, what fits is sent.
pub fn write_close(out: &mut Vec<u8>, mask: [u8; 4], code: CloseCode, reason: &str) {
    write_close_frame(out, Some(mask), code, reason);
}

#[cfg(test)]
mod tests;
