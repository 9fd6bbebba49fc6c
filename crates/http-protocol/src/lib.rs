//! Announces and scrapes over HTTP/1 (BEP 3, 7, 23, 24, 31 and 48), for the
//! tracker's side: bytes in, bytes out.
//!
//! * [`Resource`]: what a request is for, whose head `aquatic_http1` has read.
//! * [`AnnounceRequest`], [`ScrapeRequest`]: what the query of a URL asks, or a
//!   [`QueryFault`] that the client can be told.
//! * [`AnnounceReply`], [`ScrapeReply`], [`write_failure`]: replies, appended to
//!   what is sent.
//!
//! Nothing here does I/O or reads a clock.

#![forbid(unsafe_code)]

mod announce;
mod bencode;
mod query;
mod reply;
mod resource;
mod scrape;

pub use announce::AnnounceRequest;
pub use aquatic_http1::{
    Framing, Head, HeaderBuffer, HttpFault, MAX_REQUEST_LENGTH, Reading, Scheme, Status,
    write_fault, write_page,
};
pub use query::{QueryFault, write_escaped};
pub use reply::{AnnounceReply, Peers, ScrapeReply, write_failure};
pub use resource::{Misplaced, Purpose, Resource};
pub use scrape::{InfoHashes, ScrapeRequest};
