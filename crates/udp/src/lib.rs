//! `aquatic-udp`: a BitTorrent tracker over UDP (BEP 15).
//!
//! From the outside in:
//!
//! * [`UdpDaemon`]: the daemon, which `service` runs.
//! * [`config`], [`settings`]: the configuration as written, and as validated.
//! * `old_keys`: how configurations of earlier releases are read.
//! * `worker`: the event loop of a worker, with its own sockets.
//! * [`tracker`]: replies to requests, without I/O.
//! * `counters`: metrics.

#![forbid(unsafe_code)]

pub mod config;
mod counters;
mod daemon;
mod doctor;
mod old_keys;
pub mod settings;
pub mod tracker;
mod worker;

pub use daemon::UdpDaemon;
pub use tracker::MAX_REPLY_LENGTH;
