//! HTTP/1 (RFC 9112) for servers: parses heads of requests and writes replies, without I/O.
//!
//! * [`Reading`]: parses the head of a request at the start of a connection's input, in
//!   however many pieces it arrives: the result is a [`Head`], or an [`HttpFault`] if it is
//!   malformed.
//! * [`Reply`], [`write_page`], [`write_fault`]: replies, which are appended to the output.
//!   Their [`Framing`] depends on the request.
//!
//! Bodies of requests are not read. The user of this crate interprets paths and writes the
//! content of replies. Nothing here does I/O or reads a clock.

#![forbid(unsafe_code)]

mod fault;
mod head;
mod reply;
mod streamed;
mod target;

pub use fault::HttpFault;
pub use head::{Head, HeaderBuffer, MAX_HEADERS, MAX_REQUEST_LENGTH, Method, Reading, Version};
pub use reply::{Framing, Reply, Status, write_fault, write_page};
pub use streamed::Streamed;
pub use target::{Origin, Scheme, Target};
