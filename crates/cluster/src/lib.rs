//! What changed in a swarm, told to other nodes.
//!
//! A *node* is a process that keeps the whole swarm in memory and answers from it.
//!
//! * [`Record`]: what became of one peer.
//! * [`Batch`]: records that travel together, under one [`Header`].
//! * [`Outbox`]: where workers leave records, and a link takes batches.
//! * [`Sequences`]: which batches have come before, and which are missing.
//! * [`InFlight`]: which of a node's own records it has to apply again when they
//!   come back in the order that holds for all.
//!
//! * [`local`]: the link between the daemons of one host.
//! * [`engine`]: the link between hosts, over Redis or Valkey, with the feature of that
//!   name.
//!
//! Nothing here knows a swarm or reads a clock, and nothing but links does I/O.

#![forbid(unsafe_code)]

pub mod batch;
#[cfg(feature = "engine")]
pub mod engine;
mod in_flight;
pub mod local;
mod outbox;
mod record;
mod sequences;

pub use batch::{Batch, BatchError, Header, Kind, NodeId, RecordIter, Records};
pub use in_flight::InFlight;
pub use outbox::{Outbox, Taken};
pub use record::{Change, Record};
pub use sequences::{Arrival, Sequences};
