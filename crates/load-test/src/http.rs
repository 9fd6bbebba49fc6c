//! The load test of trackers over HTTP and HTTPS: `aquatic-http-load-test`.
//!
//! [`Config`] is what the user wrote, [`Settings`] is valid by type, [`run()`]
//! does the test and returns a [`Report`]. Workers
//! ([`stream`](crate::stream)) send requests as real clients write them
//! ([`style`]) over many connections, and check every reply ([`reply`],
//! [`bencode`]); [`dialogue`] joins the two.
//!
//! [`bare`] is the least that a server can do, as a floor for benchmarks.

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
