//! The load test of BEP 15 trackers: `aquatic-udp-load-test`.
//!
//! [`Config`] is what the user wrote, [`Settings`] is valid by type, [`run()`]
//! does the test and returns a [`Report`]. Workers ([`worker`]) send batches of
//! datagrams ([`aquatic_datagrams`]) from their sources ([`source`]) and match replies
//! to requests by transaction id ([`window`]).

mod compose;
mod config;
mod run;
mod settings;
mod source;
mod window;
mod worker;

pub use crate::config::{EventsConfig, NetworkConfig};
pub use crate::population::{Popularity, PopulationConfig};
pub use crate::report::Report;
pub use config::{Config, RequestsConfig, TransportConfig};
pub use run::{UdpLoadTest, run};
pub use settings::Settings;
