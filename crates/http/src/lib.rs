//! `aquatic-http`: a BitTorrent tracker over HTTP and HTTPS (BEP 3, 7, 23, 48).
//!
//! From the outside in:
//!
//! * [`HttpDaemon`]: the daemon, which `service` runs.
//! * [`config`], [`settings`]: the configuration as written, and as validated.
//! * `old_keys`: how configurations of earlier releases are read.
//! * `connection`: requests in the bytes of connections, which `stream` drives.
//! * [`tracker`]: replies to requests, without I/O.
//! * `full_scrape`: the reply with the counts of all torrents, a part at a time.
//! * `counters`: metrics.
//! * [`simulation`]: the protocol of workers, for tests without sockets.

#![forbid(unsafe_code)]

pub mod config;
mod connection;
mod counters;
mod daemon;
mod doctor;
mod full_scrape;
mod old_keys;
pub mod settings;
pub mod simulation;
pub mod tracker;

pub use daemon::HttpDaemon;
