//! Figures about the running service, over HTTP: `/metrics` for Prometheus,
//! `/stats.json`, and `/health`.
//!
//! * [`Figures`]: what is measured, in both forms.
//! * [`Counter`]: what workers count with.
//! * `server`: a small HTTP server for a loopback address.
//! * `process`: the figures that every daemon has.

mod counter;
mod figures;
pub(crate) mod process;
pub(crate) mod server;

pub use counter::Counter;
pub use figures::{Figures, Value};
