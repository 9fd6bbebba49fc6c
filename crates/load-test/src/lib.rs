//! Load tests for BitTorrent trackers, for those who run or write one.
//!
//! * [`udp`]: BEP 15 over UDP.
//! * [`http`]: BEP 3 over HTTP and HTTPS.
//! * [`ws`]: WebTorrent over WebSocket, with TLS or without.
//! * [`stream`]: connections, which all but the first have in common.
//! * [`command_line`], [`config`]: what all load tests do with their command
//!   line and configuration.
//! * [`population`]: who announces what; [`sources`]: from where.
//! * [`lead`]: the main thread leads the workers from phase to phase
//!   ([`control`]), and adds up what they have counted ([`tally`],
//!   [`counters`]).
//! * [`bare`]: what the floors of benchmarks have in common.
//! * [`report`]: what a run has found.
//! * [`process`]: what the tracker's process costs.
//!
//! Only ever test a tracker of your own: to anybody else's, these programs are
//! an attack.

#![forbid(unsafe_code)]

pub mod bare;
pub mod command_line;
mod config;
mod control;
mod counters;
pub mod http;
mod latency;
mod lead;
mod mix;
mod pace;
mod population;
pub mod process;
mod progress;
mod report;
mod run_settings;
mod share;
mod sources;
mod stream;
mod tally;
pub mod udp;
pub mod ws;

/// Values of a configuration.
pub use aquatic_service::config::numbers;
pub use latency::Latency;
pub use population::info_hash;
pub use report::{Connections, Fill, ProcessUse, Report, Requests};
