//! One swarm for several daemons: the changes of this one are sent to the others, and theirs
//! are applied here.

use std::cell::RefCell;

use aquatic_bittorrent::{InfoHash, PeerChange};
use aquatic_cluster::Record;
pub use aquatic_cluster::{MaxPeerAge, Outbox};
use arrayvec::ArrayVec;

mod daemons;
#[cfg_attr(not(feature = "redis"), path = "cluster/no_engine.rs")]
mod engine;
mod link;
mod link_metrics;
mod members;
#[cfg(test)]
mod model;

pub(crate) use engine::RecordStream;
pub use engine::{check_config, check_files, destination};
pub(crate) use link::RecordStreamError;
pub use link::{Link, Membership, WebTorrent, note};
pub(crate) use link_metrics::LAG;
pub use link_metrics::{CLUSTER_METRICS, SIGNAL_METRICS};
pub use members::{LeftOut, Members, apply_in_groups};

/// Maximum number of changes that are put into the outbox at once: those of a group of
/// announces.
const MAX_CHANGES: usize = 8;

/// The changes of peers by a group of announces. They are put into the outbox, if it is open,
/// before the shards of the swarm are unlocked.
pub struct Changes<'a, const S: usize> {
    outbox: Option<&'a Outbox>,
    records: RefCell<ArrayVec<Record<S>, MAX_CHANGES>>,
}

impl<'a, const S: usize> Changes<'a, S> {
    /// No changes yet.
    #[inline]
    pub fn new(outbox: Option<&'a Outbox>) -> Self {
        Self {
            outbox,
            records: RefCell::default(),
        }
    }

    /// Adds the change of a peer. Its torrent must be locked.
    #[inline]
    pub fn add(&self, info_hash: &InfoHash, peer: &[u8; S], change: PeerChange) {
        // Checked with the lock held: whoever opens the outbox reads the swarm afterwards,
        // and so finds each change either there or in the outbox.
        if !self.outbox.is_some_and(Outbox::is_open) {
            return;
        }
        let mut records = self.records.borrow_mut();
        if records.is_full() {
            self.flush(&mut records);
        }
        records.push(Record {
            info_hash: *info_hash,
            peer: *peer,
            change,
        });
    }

    /// Puts the changes into the outbox. Their torrents must still be locked.
    #[inline]
    pub fn append(&self) {
        self.flush(&mut self.records.borrow_mut());
    }

    #[inline]
    fn flush(&self, records: &mut ArrayVec<Record<S>, MAX_CHANGES>) {
        if let Some(outbox) = self.outbox
            && !records.is_empty()
        {
            outbox.append(records);
            records.clear();
        }
    }
}
