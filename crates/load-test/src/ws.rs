//! The load test of WebTorrent trackers: `aquatic-ws-load-test`.
//!
//! [`Config`] is what the user wrote, [`Settings`] is valid by type, [`run()`]
//! does the test and returns a [`Report`]. Workers
//! ([`stream`](crate::stream)) announce over many connections, and answer the
//! offers that the tracker relays to them ([`dialogue`]). An offer's id says
//! when it was sent ([`offer_id`]), so whoever gets it knows how long it took.
//!
//! [`bare`] is the least that a server can do, as a floor for benchmarks.

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
