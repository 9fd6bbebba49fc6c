//! What load tests over TCP share: workers that send requests over many
//! connections ([`worker`], [`connection`]), with TLS or without ([`tls`]).
//!
//! A protocol is a [`Dialogue`]: what to say, and what answers mean.

mod connection;
mod dialogue;
mod run;
mod settings;
mod slot;
mod tls;
mod token;
mod worker;

pub(crate) use dialogue::{Dialogue, Heard, Reply, Taken};
pub(crate) use run::run;
pub use settings::TransportConfig;
pub(crate) use settings::TransportSettings;
pub(crate) use slot::{Request, Seat};
pub use tls::TlsConfig;
