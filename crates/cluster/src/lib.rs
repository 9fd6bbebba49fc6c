//! Sends the changes of a swarm to other nodes, and receives theirs.
//!
//! A *node* is a process that keeps the whole swarm in memory and answers from it.
//!
//! * [`Record`]: one change of one peer.
//! * [`Batch`]: records that are sent together, with one [`Header`].
//! * [`Outbox`]: the queue in which workers put records, and from which a link takes
//!   batches.
//! * [`Signal`], [`SignalBatch`]: offers and answers for WebTorrent peers of other nodes.
//!   [`SignalOutbox`]: the queue of those that are to be sent.
//! * [`Sequences`]: detects repeated and missing batches by their sequence numbers.
//! * [`InFlight`]: says which of its own records a node has to apply again when it reads
//!   them back in the common order of all nodes.
//!
//! * [`local`]: the link between the daemons of one host.
//! * [`engine`]: the link between hosts, over Redis or Valkey, with the feature of that
//!   name.
//!
//! Nothing here depends on a swarm or reads a clock, and only links do I/O.

#![forbid(unsafe_code)]

pub mod batch;
mod counts;
#[cfg(feature = "engine")]
pub mod engine;
mod in_flight;
pub mod local;
mod max_peer_age;
mod outbox;
mod record;
mod sequences;
mod shared_swarms;
pub mod signal;
mod signal_outbox;

pub use batch::{Batch, BatchError, Header, Kind, NodeId, RecordIter, Records};
pub use counts::LinkCounts;
pub use in_flight::InFlight;
pub use max_peer_age::MaxPeerAge;
pub use outbox::{Outbox, Taken};
pub use record::{PeerChange, Record};
pub use sequences::{Arrival, Sequences};
pub use shared_swarms::{Held, SharedSwarms};
pub use signal::{Signal, SignalBatch, SignalError, SignalKind};
pub use signal_outbox::{NotQueued, SignalOutbox};
