//! WebTorrent over WebSocket, without I/O.
//!
//! A connection begins with an HTTP request, followed by frames (RFC 6455) whose messages
//! are JSON:
//!
//! * [`Resource`]: whether the request, whose head was parsed by `aquatic_http1`, is a
//!   WebSocket upgrade ([`Upgrade`]) or asks for a page. [`write_upgrade`],
//!   [`write_upgrade_fault`], [`write_page`]: the replies.
//! * [`MessageReader`]: reads frames, unmasks them in place, and assembles fragments.
//! * [`write_text`], [`write_ping`], [`write_pong`], [`write_close`]: frames, which are
//!   appended to the output.
//! * [`Request`]: a message of a client, or a [`RequestFault`] for the reply.
//! * [`AnnounceReply`], [`ScrapeReply`], [`RelayedOffer`], [`RelayedAnswer`], [`Failure`]:
//!   messages of the tracker; the last one repeats fields of the request ([`Sent`]).
//! * [`client`]: the client side, for load tests.

#![forbid(unsafe_code)]

pub mod client;
mod frame;
mod handshake;
mod json;
mod reply;
mod request;
mod text;

pub use aquatic_http1::{
    Framing, Head, HeaderBuffer, HttpFault, MAX_REQUEST_LENGTH, Reading, Scheme, Status,
    write_fault, write_page,
};
pub use frame::{
    CloseCode, Event, FrameFault, MAX_CONTROL_PAYLOAD, MAX_FRAME_HEADER, MessageReader, Received,
    Sender, SizeLimits, write_close, write_ping, write_pong, write_text,
};
pub use handshake::{
    Page, Resource, Upgrade, UpgradeFault, accept_key, write_upgrade, write_upgrade_fault,
};
pub use reply::{AnnounceReply, Failure, Rejected, RelayedAnswer, RelayedOffer, ScrapeReply};
pub use request::{
    Action, Announce, Answer, MaxItems, Offer, OfferId, Request, RequestFault, RequestFaultKind,
    Scrape, Sent, SessionDescription,
};
