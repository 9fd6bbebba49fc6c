//! `aquatic-ws`: a WebTorrent tracker over WebSocket.
//!
//! From the outside in:
//!
//! * [`WsDaemon`]: the daemon, which `service` runs.
//! * [`config`], [`settings`]: the configuration as written, and as validated.
//! * `old_keys`: how configurations of earlier releases are read.
//! * `connection`: messages in the bytes of connections, which `stream` drives.
//! * `relay`: how offers and answers reach other connections.
//! * `nodes`: peers that are connected to other nodes of a cluster.
//! * `incoming`: offers and answers from these nodes.
//! * [`tracker`]: what is answered and relayed, without I/O.
//! * `counters`: metrics.
//! * [`simulation`]: the protocol of workers, for tests without sockets.

#![forbid(unsafe_code)]

pub mod config;
mod connection;
mod counters;
mod daemon;
mod doctor;
mod incoming;
mod nodes;
mod old_keys;
mod origin;
mod relay;
pub mod settings;
pub mod simulation;
pub mod tracker;

pub use daemon::WsDaemon;
