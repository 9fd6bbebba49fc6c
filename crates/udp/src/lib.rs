//! `aquatic-udp`: a BitTorrent tracker over UDP (BEP 15).
//!
//! From the outside in:
//!
//! * [`UdpDaemon`]: what the process edge drives.
//! * [`config`], [`limits`], [`settings`]: what the operator writes, in which ranges,
//!   and what it means.
//! * `worker`: the event loop, on sockets of its own.
//! * `datagrams`: batches of datagrams, in and out.
//! * [`tracker`]: what is answered; no socket in sight.
//! * `scrape_export`, `snapshot`: beside the requests.
//! * `counters`: what is told on the metrics page.

pub mod config;
mod counters;
mod daemon;
mod datagrams;
pub mod limits;
mod scrape_export;
pub mod settings;
mod snapshot;
pub mod tracker;
mod worker;

pub use daemon::UdpDaemon;
pub use datagrams::MAX_REPLY_LENGTH;
