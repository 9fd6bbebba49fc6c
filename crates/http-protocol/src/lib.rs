//! Announces and scrapes over HTTP/1 (BEP 3, 7, 23, 24, 31 and 48), as received and sent by
//! a tracker.
//!
//! * [`Resource`]: the resource of a request whose head was parsed by `aquatic_http1`.
//! * [`AnnounceRequest`], [`ScrapeRequest`]: the parsed query of a URL; errors are a
//!   [`QueryFault`] for the client. [`Claims`]: what an announce says about addresses.
//! * [`AnnounceReply`], [`ScrapeReply`], [`write_failure`]: replies, which are appended to
//!   the output. [`FullScrapeWriter`]: one that is written in parts.
//!
//! Nothing here does I/O or reads a clock.

#![forbid(unsafe_code)]

mod announce;
mod bencode;
mod claims;
mod query;
mod reply;
mod resource;
mod scrape;

pub use announce::{AnnounceRequest, Transferred};
pub use aquatic_http1::{
    Framing, Head, HeaderBuffer, HttpFault, MAX_REQUEST_LENGTH, Reading, Scheme, Status, Streamed,
    write_fault, write_page,
};
pub use claims::{Claim, Claims};
pub use query::{QueryFault, write_escaped};
pub use reply::{AnnounceReply, FullScrapeWriter, Peers, RetryIn, ScrapeReply, write_failure};
pub use resource::{Misplaced, Purpose, Resource, Site};
pub use scrape::{InfoHashes, ScrapeRequest};
