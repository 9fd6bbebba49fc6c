//! `aquatic-udp`: a BitTorrent tracker over UDP (BEP 15).
//!
//! From the outside in:
//!
//! * [`UdpDaemon`]: what the process edge drives.
//! * [`config`], [`settings`]: what the operator writes, and what it means.
//! * `worker`: the event loop, on sockets of its own.
//! * [`tracker`]: what is answered; no socket in sight.
//! * `scrape_export`: beside the requests.
//! * `counters`: what is told on the metrics page.

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
