//! Metrics about the running service, over HTTP: `/metrics` for Prometheus,
//! `/stats.json`, and `/health`.
//!
//! * [`Metrics`]: a list of metrics, with both formats.
//! * [`Counter`]: the counters of workers.
//! * `server`: a small HTTP server for a loopback address.
//! * `process`: metrics that every daemon has.

mod counter;
mod exposition;
pub(crate) mod process;
pub(crate) mod server;

pub use counter::Counter;
pub use exposition::{Metrics, Value};
