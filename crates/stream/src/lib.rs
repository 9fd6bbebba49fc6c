//! What the daemons that speak over TCP share: connections, from accepting to
//! closing, with TLS in between or not.
//!
//! A daemon implements [`Protocol`]: bytes in, bytes out. Everything else about
//! a connection happens here.
//!
//! * [`Protocol`], [`Exchange`], [`Progress`], [`Interruption`]: the seam.
//! * [`Peer`], [`ConnectionId`]: who is at the other end.

#![forbid(unsafe_code)]

mod protocol;

pub use protocol::{ConnectionId, Exchange, Interruption, Next, Peer, Progress, Protocol};
