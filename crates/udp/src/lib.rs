//! `aquatic-udp`: a BitTorrent tracker over UDP (BEP 15).
//!
//! From the outside in:
//!
//! * [`UdpDaemon`]: the daemon, which `service` runs.
//! * [`config`], [`settings`]: the configuration as written, and as validated.
//! * `worker`: the event loop of a worker, with its own sockets.
//! * [`tracker`]: replies to requests, without I/O.
//! * `scrape_export`: a file with the counts of all torrents.
//! * `counters`: metrics.

#![forbid(unsafe_code)]

pub mod config;
mod counters;
mod daemon;
mod scrape_export;
pub mod settings;
pub mod tracker;
mod worker;

pub use daemon::UdpDaemon;
pub use tracker::MAX_REPLY_LENGTH;
