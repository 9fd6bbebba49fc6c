//! The counts of all torrents, sorted and written a part at a time.
//!
//! bencode wants keys in order (BEP 3), and torrents have none. So the reply is made in
//! *passes*: each goes over all torrents and keeps the first of them behind those that were
//! written already, in a heap, and then writes these: [`MIN_PASS`] of them, or more so that
//! [`PASSES`] passes suffice. Beyond a mebibyte, this takes 4 bytes for each torrent that the
//! tracker has, some twentieth of what that takes itself. A step does not depend on their
//! number.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use aquatic_bittorrent::InfoHash;
use aquatic_http_protocol::{FullScrapeWriter, Streamed};
use aquatic_swarm::{Scraped, Swarms, TorrentWalk};

use crate::tracker::State;

/// Number of passes over a large number of torrents.
const PASSES: usize = 16;

/// Minimum number of torrents that are kept at a time: a mebibyte.
const MIN_PASS: usize = 32_768;

/// Maximum number of torrents that are put in order, or written, in one step.
const TORRENTS_PER_STEP: usize = 512;

/// Maximum number of steps of the walk over all torrents in one step, each with a lock.
const WALKS_PER_STEP: usize = 8;

/// Maximum number of full scrapes that are answered at a time, by all workers.
pub(crate) const MAX_FULL_SCRAPES: usize = 4;

/// How many full scrapes are being answered.
#[derive(Debug, Default)]
pub(crate) struct FullScrapes(AtomicUsize);

/// One of the full scrapes that are answered; it ends when this is dropped.
#[derive(Debug)]
struct Place(Arc<FullScrapes>);

impl Place {
    /// A place, if one is free.
    fn take(all: &Arc<FullScrapes>) -> Option<Self> {
        let more = |count| (count < MAX_FULL_SCRAPES).then_some(count + 1);
        all.0.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self(Arc::clone(all)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// A reply to a full scrape that is under way.
#[derive(Debug)]
pub struct FullScrape {
    writer: FullScrapeWriter,
    /// The swarm: 0 for IPv4, 1 for IPv6.
    number: usize,
    /// The last torrent that was written.
    after: Option<InfoHash>,
    /// The number of torrents that a pass keeps, once it is known.
    kept: Option<usize>,
    phase: Phase,
    /// Torrents that a step of the walk has found.
    found: Vec<Torrent>,
    _place: Place,
}

#[derive(Debug)]
enum Phase {
    /// Finds the next torrents.
    Collecting(TorrentWalk, BinaryHeap<Torrent>),
    /// Puts them in order: the last one comes first.
    Ordering {
        rest: BinaryHeap<Torrent>,
        ordered: Vec<Torrent>,
        is_last: bool,
    },
    /// Writes them.
    Writing {
        ordered: Vec<Torrent>,
        is_last: bool,
    },
}

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// More is to be written.
    More,
    /// The reply is complete.
    End,
}

/// A torrent, ordered by its info hash.
#[derive(Debug, Clone, Copy)]
struct Torrent {
    info_hash: InfoHash,
    counts: Scraped,
}

impl Ord for Torrent {
    fn cmp(&self, other: &Self) -> Ordering {
        self.info_hash.cmp(&other.info_hash)
    }
}

impl PartialOrd for Torrent {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Torrent {
    fn eq(&self, other: &Self) -> bool {
        self.info_hash == other.info_hash
    }
}

impl Eq for Torrent {}

impl FullScrape {
    /// Appends the beginning of the reply to a client that asks over IPv4 or IPv6; `None` if
    /// too many are answered already.
    pub(crate) fn begin(
        all: &Arc<FullScrapes>,
        is_ipv4: bool,
        streamed: Streamed,
        out: &mut Vec<u8>,
    ) -> Option<Self> {
        let place = Place::take(all)?;
        Some(Self {
            writer: FullScrapeWriter::begin(streamed, out),
            number: usize::from(!is_ipv4),
            after: None,
            kept: None,
            phase: Phase::collecting(),
            found: Vec::new(),
            _place: place,
        })
    }

    /// Whether the connection is closed after the reply.
    pub(crate) fn closes(&self) -> bool {
        self.writer.streamed().framing.closes
    }

    /// Does a little more of the work, and appends the part of the reply that it results in,
    /// if any.
    pub(crate) fn step(&mut self, state: &State, out: &mut Vec<u8>) -> Step {
        self.phase = match mem::replace(&mut self.phase, Phase::collecting()) {
            Phase::Collecting(walk, heap) => self.collect(state, walk, heap),
            Phase::Ordering {
                rest,
                ordered,
                is_last,
            } => order(rest, ordered, is_last),
            Phase::Writing { ordered, is_last } => {
                let rest = self.write(ordered, out);
                match (rest.is_empty(), is_last) {
                    (false, _) => Phase::Writing {
                        ordered: rest,
                        is_last,
                    },
                    (true, false) => Phase::collecting(),
                    (true, true) => {
                        self.writer.finish(out);
                        return Step::End;
                    }
                }
            }
        };
        Step::More
    }

    /// Walks over some more torrents. What they are compared with is outside of the lock.
    fn collect(
        &mut self,
        state: &State,
        mut walk: TorrentWalk,
        mut heap: BinaryHeap<Torrent>,
    ) -> Phase {
        let list = state.lists.access_list.current();
        let kept = *self.kept.get_or_insert_with(|| {
            let usage = state.swarms.usage();
            let torrents = usage.live() + usage.retired();
            MIN_PASS.max(torrents.div_ceil(PASSES))
        });
        for _ in 0..WALKS_PER_STEP {
            let after = self.after;
            let found = &mut self.found;
            let goes_on = state
                .swarms
                .walk(self.number, &mut walk, |info_hash, counts| {
                    if after.is_none_or(|after| *info_hash > after) {
                        found.push(Torrent {
                            info_hash: *info_hash,
                            counts,
                        });
                    }
                });
            for torrent in self.found.drain(..) {
                if heap.len() == kept && heap.peek().is_some_and(|last| torrent >= *last) {
                    continue;
                }
                if list.allows(&torrent.info_hash) {
                    if heap.len() == kept {
                        heap.pop();
                    }
                    heap.push(torrent);
                }
            }
            if !goes_on {
                return Phase::Ordering {
                    is_last: heap.len() < kept,
                    ordered: Vec::with_capacity(heap.len()),
                    rest: heap,
                };
            }
        }
        Phase::Collecting(walk, heap)
    }

    /// Writes some torrents from the end of the list, and returns the rest.
    fn write(&mut self, mut ordered: Vec<Torrent>, out: &mut Vec<u8>) -> Vec<Torrent> {
        let rest = ordered.len().saturating_sub(TORRENTS_PER_STEP);
        let torrents = ordered[rest..].iter().rev();
        self.writer.append(
            out,
            torrents.map(|Torrent { info_hash, counts }| {
                let Scraped {
                    seeders,
                    leechers,
                    completed,
                } = *counts;
                (info_hash, [seeders, completed, leechers])
            }),
        );
        self.after = ordered.get(rest).map(|last| last.info_hash).or(self.after);
        ordered.truncate(rest);
        ordered
    }
}

impl Phase {
    /// The beginning of a pass.
    fn collecting() -> Self {
        Self::Collecting(TorrentWalk::new(), BinaryHeap::new())
    }
}

/// Moves some torrents to the list in descending order. One that moved while the swarm
/// changed, and was found twice, is listed once.
fn order(mut rest: BinaryHeap<Torrent>, mut ordered: Vec<Torrent>, is_last: bool) -> Phase {
    for _ in 0..TORRENTS_PER_STEP {
        let Some(torrent) = rest.pop() else {
            return Phase::Writing { ordered, is_last };
        };
        if ordered.last() != Some(&torrent) {
            ordered.push(torrent);
        }
    }
    Phase::Ordering {
        rest,
        ordered,
        is_last,
    }
}

#[cfg(test)]
mod tests;
