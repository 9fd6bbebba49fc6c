//! The first request of a connection: a WebSocket handshake (RFC 6455, 4), or HTTP for a
//! page.

use aquatic_http1::{Framing, Head, Method, Status, Version, write_page};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1_smol::Sha1;

/// The resource of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A WebSocket upgrade, with any path. To be answered by [`write_upgrade`], if the
    /// origin is allowed.
    Upgrade(Upgrade<'a>),
    /// An invalid WebSocket upgrade. To be answered by [`write_upgrade_fault`].
    BadUpgrade(UpgradeFault),
    /// A page. To be answered by a text; no other request may follow.
    Page(Page),
}

/// A valid upgrade request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// The value of `Sec-WebSocket-Accept` in the reply.
    pub accept: [u8; 28],
    /// The origin of the page, as sent by a browser, such as `https://example.org`. Other
    /// clients may send any origin, or none.
    pub origin: Option<&'a [u8]>,
}

/// A page for humans and other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/`, a page for humans.
    Index,
    /// `/health`, a page for health checks.
    Health,
    /// `/announce` or `/scrape`, as of an HTTP tracker.
    Tracker,
    /// Another path.
    Unknown,
    /// A method other than GET and HEAD.
    OtherMethod,
}

/// Why an upgrade request is rejected. The texts are meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeFault {
    /// It is HTTP/1.0, which has no upgrades.
    #[error("WebSocket needs HTTP/1.1")]
    Version10,
    /// There is a header `Upgrade`, but `Connection` does not list it.
    #[error(
        "the header Connection does not say Upgrade; a proxy in between may have to be told to \
         pass it on"
    )]
    Connection,
    /// Its WebSocket version is not that of RFC 6455.
    #[error("only version 13 of WebSocket is supported")]
    Version,
    /// It has no key, or the key does not encode 16 bytes.
    #[error("the header Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// It has a body, which would be taken for frames.
    #[error("a request for WebSocket must not have a body")]
    Body,
}

impl<'a> Resource<'a> {
    /// Determines the resource of a request.
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

/// Validates an upgrade request; returns the value for `Sec-WebSocket-Accept` (RFC 6455,
/// 4.2.1).
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
    // The decoder requires space for the padding as well.
    let mut decoded = [0; 18];
    match BASE64.decode_slice(key, &mut decoded) {
        Ok(16) => Ok(accept_key(key)),
        _ => Err(UpgradeFault::Key),
    }
}

/// The value of `Sec-WebSocket-Accept` for a key (RFC 6455, 4.2.2), which proves that the
/// server supports WebSocket.
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

/// Appends the reply that accepts an upgrade, with the `accept` value of the [`Upgrade`].
/// Frames follow.
///
/// Extensions and subprotocols are declined by not mentioning them (RFC 6455, 4.2.2).
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

/// Appends the reply that rejects an upgrade. The connection must be closed afterwards.
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
