//! HTTP/1 (RFC 9112) for the side of a server: the head of a request in, a reply
//! out, both as bytes.
//!
//! * [`Reading`]: finds the head of a request in the bytes of a connection, in
//!   however many pieces they arrive: a [`Head`], or an [`HttpFault`] if the bytes
//!   are no HTTP.
//! * [`Reply`], [`write_page`], [`write_fault`]: replies, appended to what is sent.
//!   How they are framed follows from the request: [`Framing`].
//!
//! Bodies of requests are not read. What a path means is for the user of this
//! crate to say, and how it is answered. Nothing here does I/O or reads a clock.

#![forbid(unsafe_code)]

mod fault;
mod head;
mod reply;
mod target;

pub use fault::HttpFault;
pub use head::{Head, HeaderBuffer, MAX_HEADERS, MAX_REQUEST_LENGTH, Method, Reading, Version};
pub use reply::{Framing, Reply, Status, write_fault, write_page};
pub use target::{Origin, Scheme, Target};
