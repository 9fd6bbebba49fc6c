//! How a connection begins: with a request of HTTP, which asks for WebSocket
//! (RFC 6455, 4) or for a page.

use aquatic_http1::{Framing, Head, Method, Status, Version, write_page};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1_smol::Sha1;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// WebSocket, at whatever path. To be answered by [`write_upgrade`], if the
    /// origin may.
    Upgrade(Upgrade<'a>),
    /// WebSocket, in a way that cannot be. To be answered by
    /// [`write_upgrade_fault`].
    BadUpgrade(UpgradeFault),
    /// Something else. To be answered by a page of text, and no other request
    /// comes after it.
    Page(Page),
}

/// A request for WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// To be sent back as `Sec-WebSocket-Accept`.
    pub accept: [u8; 28],
    /// What a browser says of the page that asks, such as
    /// `https://example.org`. Programs say what they like, or nothing.
    pub origin: Option<&'a [u8]>,
}

/// What people and other programs look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/`, a page for people.
    Index,
    /// `/health`, a page for programs that watch the tracker.
    Health,
    /// `/announce` or `/scrape`, as if the tracker spoke HTTP.
    Tracker,
    /// Another path.
    Unknown,
    /// Another method than GET and HEAD.
    OtherMethod,
}

/// Why a request for WebSocket is rejected. The texts are meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeFault {
    /// Before HTTP/1.1, connections could not be upgraded.
    #[error("WebSocket needs HTTP/1.1")]
    Version10,
    /// Only `Upgrade` says so, which concerns the next server only.
    #[error(
        "the header Connection does not say Upgrade; a proxy in between may have to be told to \
         pass it on"
    )]
    Connection,
    /// Another version of the protocol than RFC 6455.
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    /// No key, or one that does not stand for 16 bytes.
    #[error("the header Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// A body, whose bytes would be taken for frames.
    #[error("a request for WebSocket must not have a body")]
    Body,
}

impl<'a> Resource<'a> {
    /// What a request asks for.
    #[must_use]
    pub fn of(head: &Head<'a>) -> Self {
        match head.method {
            Method::Get if head.has_token("upgrade", "websocket") => match check_upgrade(head) {
                Ok(accept) => Self::Upgrade(Upgrade {
                    accept,
                    origin: head.value("origin"),
                }),
                Err(fault) => Self::BadUpgrade(fault),
            },
            Method::Get | Method::Head => Self::Page(Page::at(head.target.path)),
            Method::Other => Self::Page(Page::OtherMethod),
        }
    }
}

impl Page {
    fn at(path: &[u8]) -> Self {
        match path {
            b"/" | b"" => Self::Index,
            b"/health" => Self::Health,
            b"/announce" | b"/scrape" => Self::Tracker,
            _ => Self::Unknown,
        }
    }
}

/// What the key of a request is to be answered with (RFC 6455, 4.2.1).
fn check_upgrade(head: &Head<'_>) -> Result<[u8; 28], UpgradeFault> {
    if head.version == Version::Http10 {
        return Err(UpgradeFault::Version10);
    }
    // RFC 9110, 7.8: "A client cannot begin using an upgraded protocol on the
    // connection until it has completely sent the request message". Bodies are
    // not read here.
    if head.has_body {
        return Err(UpgradeFault::Body);
    }
    if !head.has_token("connection", "upgrade") {
        return Err(UpgradeFault::Connection);
    }
    if !head.has_token("sec-websocket-version", "13") {
        return Err(UpgradeFault::Version);
    }
    let key = head.value("sec-websocket-key").ok_or(UpgradeFault::Key)?;
    // Room for the padding as well, as the decoder estimates.
    let mut decoded = [0; 18];
    match BASE64.decode_slice(key, &mut decoded) {
        Ok(16) => Ok(accept_key(key)),
        _ => Err(UpgradeFault::Key),
    }
}

/// What a server makes of a key, in base64 (RFC 6455, 4.2.2): that it has read
/// it as one of WebSocket.
#[must_use]
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    let written = BASE64.encode_slice(hash.digest().bytes(), &mut accept);
    debug_assert_eq!(written.ok(), Some(accept.len()));
    accept
}

/// Appends the answer after which frames may be sent, with what the key of the
/// [`Upgrade`] is answered with.
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
    write_page(out, Framing::CLOSING, status, &format!("{fault}\n"));
}

#[cfg(test)]
mod tests;
