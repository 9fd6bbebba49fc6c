//! `aquatic-http`: a BitTorrent tracker over HTTP and HTTPS (BEP 3, 7, 23, 48).
//!
//! From the outside in:
//!
//! * [`HttpDaemon`]: what the process edge drives.
//! * [`config`], [`settings`]: what the operator writes, and what it means.
//! * `connection`: requests in the bytes of connections, which `stream` drives.
//! * [`tracker`]: what is answered; no socket in sight.
//! * `counters`: what is told on the metrics page.
//! * [`simulation`]: what workers speak, for tests without sockets.

#![forbid(unsafe_code)]

pub mod config;
mod connection;
mod counters;
mod daemon;
pub mod settings;
pub mod simulation;
pub mod tracker;

pub use daemon::HttpDaemon;
