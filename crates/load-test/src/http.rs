//! The load test of trackers over HTTP and HTTPS: `aquatic-http-load-test`.
//!
//! [`Config`] is the configuration as written, [`Settings`] is validated, [`run()`]
//! performs the test and returns a [`Report`]. Workers ([`stream`](crate::stream)) send
//! requests like those of real clients ([`style`]) over many connections, and check every
//! reply ([`reply`], [`bencode`]); [`dialogue`] connects the two.
//!
//! [`bare`] is a minimal server, as a baseline for benchmarks.

pub mod bare;
mod bencode;
mod config;
mod dialogue;
mod reply;
mod run;
mod settings;
mod style;

pub use crate::config::{EventsConfig, NetworkConfig};
pub use crate::population::{Popularity, PopulationConfig};
pub use crate::report::Report;
pub use crate::stream::{TlsConfig, TransportConfig};
pub use config::{ClientStyle, Config, RequestsConfig};
pub use run::{HttpLoadTest, run};
pub use settings::Settings;
