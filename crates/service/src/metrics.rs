//! Figures about the running service, over HTTP: `/metrics` for Prometheus,
//! `/stats.json`, and `/health`.
//!
//! * [`Figures`]: what is measured, in both forms.
//! * [`clients`]: announces by client software.
//! * [`add_swarm_figures`]: what swarms hold.
//! * [`Counter`]: what workers count with.
//! * `server`: a small HTTP server for a loopback address.
//! * `process`: the figures that every daemon has.

pub mod clients;
mod counter;
mod figures;
pub(crate) mod process;
pub(crate) mod server;
mod swarm;

pub use counter::Counter;
pub use figures::{Figures, Value};
pub use swarm::add_swarm_figures;
