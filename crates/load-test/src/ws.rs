//! The load test of WebTorrent trackers: `aquatic-ws-load-test`.
//!
//! [`Config`] is the configuration as written, [`Settings`] is validated, [`run()`]
//! performs the test and returns a [`Report`]. Workers ([`stream`](crate::stream)) announce
//! over many connections, and answer the offers that the tracker relays to them
//! ([`dialogue`]). The id of an offer contains the time when it was sent ([`offer_id`]), so
//! its receiver can measure the latency.
//!
//! [`bare`] is a minimal server, as a baseline for benchmarks.

pub mod bare;
mod config;
mod dialogue;
mod offer_id;
mod run;
mod settings;

pub use crate::config::{EventsConfig, NetworkConfig};
pub use crate::population::{Popularity, PopulationConfig};
pub use crate::report::Report;
pub use crate::stream::{TlsConfig, TransportConfig};
pub use config::{Config, RequestsConfig};
pub use run::{WsLoadTest, run};
pub use settings::Settings;
