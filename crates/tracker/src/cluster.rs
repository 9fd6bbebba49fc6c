//! The swarms of several daemons as one: what changes here is told to others, and what
//! others tell is applied here.

use std::cell::RefCell;

use aquatic_bittorrent::{InfoHash, PeerChange};
pub use aquatic_cluster::Outbox;
use aquatic_cluster::Record;
use arrayvec::ArrayVec;

mod daemons;
#[cfg_attr(not(feature = "redis"), path = "cluster/no_engine.rs")]
mod engine;
mod link;
mod link_metrics;
mod members;
#[cfg(test)]
mod model;

pub use engine::check_config;
pub use link::{Link, Membership, note};
pub use members::Members;

/// The most changes that are left in the outbox at once: those of a group of announces.
const MAX_CHANGES: usize = 8;

/// What announces of a group have changed. It goes to the outbox, if there is one that
/// wants it, before the shards of the swarm are unlocked.
pub struct Changes<'a, const S: usize> {
    outbox: Option<&'a Outbox>,
    records: RefCell<ArrayVec<Record<S>, MAX_CHANGES>>,
}

impl<'a, const S: usize> Changes<'a, S> {
    /// None so far.
    #[inline]
    pub fn new(outbox: Option<&'a Outbox>) -> Self {
        Self {
            outbox,
            records: RefCell::default(),
        }
    }

    /// Adds what has become of a peer, while its torrent is locked.
    #[inline]
    pub fn add(&self, info_hash: &InfoHash, peer: &[u8; S], change: PeerChange) {
        // Not before the lock: the outbox may have been opened since, by one who then
        // reads the swarm.
        if !self.outbox.is_some_and(Outbox::is_open) {
            return;
        }
        let mut records = self.records.borrow_mut();
        if records.is_full() {
            self.leave(&mut records);
        }
        records.push(Record {
            info_hash: *info_hash,
            peer: *peer,
            change,
        });
    }

    /// Leaves all of them, while their torrents are still locked, in the outbox.
    #[inline]
    pub fn append(&self) {
        self.leave(&mut self.records.borrow_mut());
    }

    #[inline]
    fn leave(&self, records: &mut ArrayVec<Record<S>, MAX_CHANGES>) {
        if let Some(outbox) = self.outbox
            && !records.is_empty()
        {
            outbox.append(records);
            records.clear();
        }
    }
}
