//! A simulated month of the trackers, in one process, within a minute: time and network
//! are simulated, randomness comes from a seed, and replies are compared with a simple
//! model.
//!
//! * [`calendar`]: simulated time, with times in which the machine is suspended.
//! * [`model`]: the peers that a tracker must have, and those that it may have.
//! * [`plan`]: seed and length of a run, and how to repeat a failed one.
//! * [`memory`]: memory that the trackers have allocated.
//! * [`life`]: events apart from requests: housekeeping, reloads, restarts.
//! * [`month`]: the course of a month, which is the same for all trackers.
//! * [`network`]: connections in memory.
//! * [`universe`]: the torrents.
//!
//! The tests drive the trackers: `udp` with groups of datagrams, `http` and `ws` with
//! connections of `stream` over a transport in memory.

pub mod calendar;
pub mod life;
pub mod memory;
pub mod model;
pub mod month;
pub mod network;
pub mod plan;
pub mod universe;
