//! The load test of BEP 15 trackers: `aquatic-udp-load-test`.
//!
//! [`Config`] is what the user wrote, [`Settings`] is valid by type, [`run()`]
//! does the test and returns a [`Report`]. Workers ([`worker`]) send batches of
//! datagrams ([`datagrams`]) from their sources ([`source`]) and match replies
//! to requests by transaction id ([`window`]); the main thread leads them from
//! phase to phase ([`control`]). Who announces what is arithmetic
//! ([`population`]).

mod compose;
mod config;
mod control;
mod counters;
mod datagrams;
mod latency;
mod mix;
mod pace;
mod population;
mod report;
mod run;
mod settings;
mod source;
mod sources;
mod window;
mod worker;

pub use config::{Config, NetworkConfig, Popularity, PopulationConfig, RequestsConfig};
pub use latency::Latency;
pub use report::{Fill, ProcessUse, Report, Requests};
pub use run::run;
pub use settings::Settings;
