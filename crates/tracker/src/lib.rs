//! What the aquatic daemons are alike as trackers, whatever protocol they speak.
//!
//! Plain structs and functions, which a daemon puts together itself:
//!
//! * [`State`]: what its workers share, and the checks that all daemons make.
//! * [`RejectReason`]: why a request is not served, in metrics and in words.
//! * [`RequestKind`], [`Outcome`], [`RequestCounters`]: what requests ask for, and
//!   what becomes of them.
//! * [`Housekeeping`]: forgets peers and torrents, a little at a time.
//! * [`snapshot`]: what outlives a restart.
//! * [`add_swarm_metrics`], [`Clients`]: what swarms hold, and who announces.
//! * [`status()`]: the line of `systemctl status`.

#![forbid(unsafe_code)]

mod clients;
mod housekeeping;
mod reject;
mod requests;
pub mod snapshot;
mod state;
mod status;
mod totals;

pub use clients::{ClientCounts, Clients};
pub use housekeeping::Housekeeping;
pub use reject::{RejectReason, reject_with_page};
pub use requests::{FAMILIES, Outcome, RequestCounters, RequestKind, RequestMetrics};
pub use state::{State, random};
pub use status::{listening, status};
pub use totals::add_swarm_metrics;
