//! What the trackers go through in a month, in one process, within a minute: time
//! and network are simulated, randomness comes from a seed, and what is answered is
//! compared with a plain model.
//!
//! * [`calendar`]: simulated time, in which the machine is also suspended.
//! * [`model`]: who must be known, and who may still be.
//! * [`plan`]: seed and length of a run, and how to repeat one that failed.
//! * [`memory`]: what the trackers have allocated.
//! * [`life`]: what a tracker goes through beside its requests: housekeeping,
//!   reloads, snapshots.
//! * [`month`]: how a month passes, which is the same for all.
//! * [`network`]: connections in memory.
//! * [`universe`]: which torrents and peers there are.
//!
//! The tests drive the trackers: `udp` by groups of datagrams, `http` and `ws` by
//! the connections of `stream` over a transport in memory.

pub mod calendar;
pub mod life;
pub mod memory;
pub mod model;
pub mod month;
pub mod network;
pub mod plan;
pub mod universe;
