//! Metrics about the running service, over HTTP: `/`, the status page for people,
//! `/metrics` for Prometheus, `/stats.json`, and `/health`.
//!
//! * [`Metric`]: the definition of a metric, for the page and its reference.
//! * [`Metrics`]: a list of metrics with their values, in all formats.
//! * [`Counter`], [`DurationHistogram`]: what workers count in.
//! * [`Plot`]: what is plotted of the last hour, which `history` keeps.
//! * [`Overview`]: what the status page shows of a daemon, which `page` makes.
//! * `server`: a small HTTP server for a loopback address.
//! * `process`: metrics that every daemon has.

mod counter;
mod definition;
mod exposition;
mod histogram;
mod history;
mod page;
pub(crate) mod process;
pub(crate) mod server;

pub use counter::Counter;
pub use definition::{Kind, Metric};
pub use exposition::{Metrics, TextFormat, Value};
pub use histogram::{DurationHistogram, Durations};
pub use history::Plot;
pub use page::{Certificate, Overview, Table};
pub use process::{METRICS as OF_EVERY_DAEMON, RESIDENT_MEMORY};
