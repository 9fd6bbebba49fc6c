//! The load test of trackers over HTTP and HTTPS: `aquatic-http-load-test`.
//!
//! [`Config`] is what the user wrote, [`Settings`] is valid by type, [`run()`]
//! does the test and returns a [`Report`]. Workers ([`worker`]) send requests
//! as real clients write them ([`style`]) over many connections
//! ([`connection`]), each from one of their sources ([`source`]), and check
//! every reply ([`reply`], [`bencode`]).
//!
//! [`bare`] is the least that a server can do, as a floor for benchmarks.

pub mod bare;
mod bencode;
mod config;
mod connection;
mod reply;
mod run;
mod settings;
mod slot;
mod source;
mod style;
mod tls;
mod worker;

pub use crate::population::{Popularity, PopulationConfig};
pub use crate::report::Report;
pub use config::{ClientStyle, Config, NetworkConfig, RequestsConfig, TlsConfig};
pub use run::{HttpLoadTest, run};
pub use settings::Settings;
