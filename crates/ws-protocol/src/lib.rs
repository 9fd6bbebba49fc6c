//! WebTorrent over WebSocket, without I/O: bytes in, bytes out.
//!
//! A connection begins with a request of HTTP, then carries frames (RFC 6455)
//! whose messages are JSON:
//!
//! * [`Reading`]: finds the request in the bytes of a connection, and says
//!   whether it asks for WebSocket ([`Upgrade`]) or for a page.
//!   [`write_upgrade`], [`write_page`], [`write_fault`]: the answers.
//! * [`MessageReader`]: finds frames in the bytes that follow, takes their masks
//!   off in place, and puts fragments together.
//! * [`write_text`], [`write_ping`], [`write_pong`], [`write_close`]: frames,
//!   appended to what is sent.
//! * [`Request`]: what a client says in a message, or a [`RequestFault`] that it
//!   can be told.
//! * [`AnnounceReply`], [`ScrapeReply`], [`RelayedOffer`], [`RelayedAnswer`],
//!   [`Failure`]: what it is told; the last says again what was [`Sent`].
//! * [`client`]: the other side, for load tests.

#![forbid(unsafe_code)]

pub mod client;
mod frame;
mod handshake;
mod reply;
mod request;
mod text;

pub use frame::{
    CloseCode, Event, FrameFault, MAX_CONTROL_PAYLOAD, MAX_FRAME_HEADER, MessageReader, Received,
    Sender, write_close, write_ping, write_pong, write_text,
};
pub use handshake::{
    HttpFault, MAX_HEADERS, MAX_REQUEST_LENGTH, Page, Reading, Resource, Status, Upgrade,
    UpgradeFault, accept_key, write_fault, write_page, write_upgrade, write_upgrade_fault,
};
pub use reply::{AnnounceReply, Failure, Refused, RelayedAnswer, RelayedOffer, ScrapeReply};
pub use request::{
    Action, Announce, Answer, Limits, Offer, OfferId, Request, RequestFault, RequestFaultKind,
    Scrape, Sent, SessionDescription,
};
