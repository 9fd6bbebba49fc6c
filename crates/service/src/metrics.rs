//! Metrics about the running service, over HTTP: `/metrics` for Prometheus,
//! `/stats.json`, and `/health`.
//!
//! * [`Metrics`]: what is measured, in both forms.
//! * [`Counter`]: what workers count with.
//! * `server`: a small HTTP server for a loopback address.
//! * `process`: the metrics that every daemon has.

mod counter;
mod exposition;
pub(crate) mod process;
pub(crate) mod server;

pub use counter::Counter;
pub use exposition::{Metrics, Value};
