//! Announces and scrapes over HTTP/1 (BEP 3, 7, 23, 24, 31 and 48), for the
//! tracker's side: bytes in, bytes out.
//!
//! * [`Reading`]: finds a request in the bytes of a connection, in however many
//!   pieces they arrive, and says who asks for what: a [`Head`], or an
//!   [`HttpFault`] if the bytes are no HTTP.
//! * [`AnnounceRequest`], [`ScrapeRequest`]: what the query of a URL asks, or a
//!   [`QueryFault`] that the client can be told.
//! * [`AnnounceReply`], [`ScrapeReply`], [`write_failure`], [`write_text`],
//!   [`write_fault`]: replies, appended to what is sent.
//!
//! Nothing here does I/O or reads a clock.

#![forbid(unsafe_code)]

mod announce;
mod head;
mod query;
mod reply;
mod scrape;

pub use announce::AnnounceRequest;
pub use head::{
    Head, HttpFault, MAX_HEADERS, MAX_REQUEST_LENGTH, Purpose, Reading, Resource, Scheme, Version,
};
pub use query::{QueryFault, write_escaped};
pub use reply::{
    AnnounceReply, Framing, Peers, RetryIn, ScrapeReply, Status, write_failure, write_fault,
    write_text,
};
pub use scrape::{InfoHashes, ScrapeRequest};
