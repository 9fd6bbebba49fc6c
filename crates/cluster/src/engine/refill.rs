//! Batches with the peers that a node has, for streams that have lost them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aquatic_bittorrent::InfoHash;

use super::downloads::COMPARE_COUNT;
use super::{EngineSettings, Shared};
use crate::batch::{self, Header, Kind};
use crate::record::Record;
use crate::shared_swarms::{Held, SharedSwarms};

/// Peers whose remaining times differ by less than this, in seconds, are sent in one batch.
/// Their times are rounded up, so other nodes keep them longer by less than this.
const GROUP_SECONDS: u16 = 10;

/// Number of peers and torrents that are read at a time. With fewer, batches would not be full.
const PEERS_PER_STEP: usize = 100_000;

/// Maximum number of blocks of the swarms that a step walks through. Those of a node whose
/// peers are nearly all connected to others have hardly any.
const BLOCKS_PER_STEP: usize = 64;

/// Minimum time between the first two refills, in milliseconds; it doubles with each further
/// one. An engine that is too small for the streams seems to lose them again and again.
const MIN_INTERVAL_MILLISECONDS: u64 = 30_000;

/// Maximum of that time. If there was no refill for so long, it starts with the minimum
/// again.
const MAX_INTERVAL_MILLISECONDS: u64 = 20 * 60_000;

/// Iterates over the peers of a node when a refill is requested.
pub(super) struct Refill<S: SharedSwarms> {
    swarms: Arc<S>,
    walk: Option<S::Walk>,
    /// The number of requests when the last refill began.
    requests: u64,
    last_at: u64,
    interval: u64,
    /// Peers that were read, and downloads that have to be compared with the engine's. A
    /// buffer that is reused.
    held: Held,
    pub(super) batches: Vec<Found>,
}

/// A batch of peers of this node, without its header.
#[derive(Debug)]
pub(super) struct Found {
    kind: Kind,
    max_peer_age_seconds: u16,
    closed_at_milliseconds: u64,
    pub(super) bytes: Vec<u8>,
    /// Number of batches that had been received before its peers were read.
    pub(super) received: u64,
}

impl<S: SharedSwarms> Refill<S> {
    pub(super) fn new(swarms: Arc<S>) -> Self {
        Self {
            swarms,
            walk: None,
            requests: 0,
            last_at: 0,
            interval: 0,
            held: Held::default(),
            batches: Vec::new(),
        }
    }

    /// Appends some more of the peers, if a refill is requested or in progress.
    pub(super) fn step(
        &mut self,
        shared: &Shared,
        engine_now: u64,
        now: u64,
        batches: &mut Vec<Found>,
    ) {
        let walk = match &mut self.walk {
            Some(walk) => walk,
            None => {
                let requests = shared.refills.load(Ordering::Relaxed);
                if requests == self.requests {
                    return;
                }
                let Some(interval) = next_interval(self.interval, now.saturating_sub(self.last_at))
                else {
                    return;
                };
                self.requests = requests;
                self.last_at = now;
                self.interval = interval;
                self.walk.insert(self.swarms.begin())
            }
        };
        if !self.held.downloads.is_empty() {
            // They are compared first.
            return;
        }
        let received = shared.in_flight().batches_received();
        self.held.clear();
        let mut is_complete = false;
        for _ in 0..BLOCKS_PER_STEP {
            if is_complete || self.held.len() >= PEERS_PER_STEP {
                break;
            }
            is_complete = !self.swarms.next_held(walk, &mut self.held);
        }
        if is_complete {
            self.walk = None;
        }
        let times = Times {
            engine_now,
            max_peer_age_seconds: shared.settings.max_peer_age.seconds(),
            received,
        };
        group(Kind::Ipv4, &self.held.ipv4, &times, batches);
        group(Kind::Ipv6, &self.held.ipv6, &times, batches);
        group(Kind::WebTorrent, &self.held.web_torrent, &times, batches);
    }
}

impl<S: SharedSwarms> Refill<S> {
    /// Some torrents of one kind whose downloads have to be compared with the engine's, when
    /// everything that was counted before was published.
    pub(super) fn downloads(&self) -> Option<(Kind, Vec<(InfoHash, u32)>)> {
        let (kind, ..) = *self.held.downloads.last()?;
        let some = self.held.downloads.iter().rev().take(COMPARE_COUNT);
        let some = some.take_while(|it| it.0 == kind);
        Some((kind, some.map(|&(_, hash, count)| (hash, count)).collect()))
    }

    /// Removes so many of them.
    pub(super) fn remove_downloads(&mut self, count: usize) {
        let downloads = &mut self.held.downloads;
        downloads.truncate(downloads.len().saturating_sub(count));
    }
}

/// The minimum time from this refill to the next; `None` if it is too early for this one.
fn next_interval(interval: u64, since_last: u64) -> Option<u64> {
    if since_last < interval {
        return None;
    }
    Some(match since_last < MAX_INTERVAL_MILLISECONDS {
        true => (interval * 2).clamp(MIN_INTERVAL_MILLISECONDS, MAX_INTERVAL_MILLISECONDS),
        false => MIN_INTERVAL_MILLISECONDS,
    })
}

impl Found {
    /// Its header, without the sequence number.
    pub(super) fn header_of(&self, settings: &EngineSettings) -> Header {
        Header {
            kind: self.kind,
            max_peer_age_seconds: self.max_peer_age_seconds,
            node: settings.node,
            sequence: 0,
            closed_at_milliseconds: self.closed_at_milliseconds,
        }
    }
}

struct Times {
    engine_now: u64,
    max_peer_age_seconds: u16,
    received: u64,
}

impl Times {
    /// An empty batch for peers with this remaining time, as if it had been closed when they
    /// announced. If the time is longer than `max_peer_age` of this node, they are from
    /// another node with a longer one, and the header says that instead.
    fn batch(&self, kind: Kind, remaining_seconds: u16) -> Found {
        let max_peer_age_seconds = self.max_peer_age_seconds.max(remaining_seconds);
        let age = u64::from(max_peer_age_seconds - remaining_seconds) * 1000;
        let mut bytes = Vec::new();
        batch::start(&mut bytes);
        Found {
            kind,
            max_peer_age_seconds,
            closed_at_milliseconds: self.engine_now.saturating_sub(age),
            bytes,
            received: self.received,
        }
    }
}

fn group<const S: usize>(
    kind: Kind,
    held: &[(Record<S>, u16)],
    times: &Times,
    batches: &mut Vec<Found>,
) {
    let full = batch::HEADER_LENGTH + kind.max_records() * kind.record_length();
    let mut open: HashMap<u16, Found> = HashMap::new();
    for (record, remaining) in held {
        let remaining = remaining
            .div_ceil(GROUP_SECONDS)
            .saturating_mul(GROUP_SECONDS);
        let found = open
            .entry(remaining)
            .or_insert_with(|| times.batch(kind, remaining));
        record.write(&mut found.bytes);
        if found.bytes.len() >= full {
            batches.extend(open.remove(&remaining));
        }
    }
    batches.extend(open.into_values());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, NodeId, Records};
    use crate::record::PeerChange;

    fn record(number: u16) -> Record<6> {
        let [high, low] = number.to_be_bytes();
        Record {
            info_hash: InfoHash([1; 20]),
            peer: [10, 0, high, low, 0, 1],
            change: PeerChange::Seeder,
        }
    }

    #[test]
    fn peers_keep_their_remaining_time() {
        const NOW: u64 = 10_000_000;
        let held: Vec<_> = (0..3000).map(|it| (record(it), it / 2)).collect();
        let times = Times {
            engine_now: NOW,
            max_peer_age_seconds: 1200,
            received: 7,
        };
        let mut batches = Vec::new();
        group(Kind::Ipv4, &held, &times, &mut batches);
        let mut seen = 0;
        for found in &mut batches {
            let header = Header {
                kind: found.kind,
                max_peer_age_seconds: found.max_peer_age_seconds,
                node: NodeId([1; 8]),
                sequence: 1,
                closed_at_milliseconds: found.closed_at_milliseconds,
            };
            header.write(&mut found.bytes);
            assert_eq!(found.received, 7);
            let batch = Batch::parse(&found.bytes).expect("a batch");
            let Records::Ipv4(records) = batch.records() else {
                panic!("another kind");
            };
            let remaining = header.remaining_seconds(NOW);
            for found in records {
                let [_, _, high, low, ..] = found.peer;
                let expected = u16::from_be_bytes([high, low]) / 2;
                assert!((expected..expected + GROUP_SECONDS).contains(&remaining));
                seen += 1;
            }
        }
        assert_eq!(seen, 3000);
    }

    #[test]
    fn refills_become_rare() {
        const LONGEST: u64 = MAX_INTERVAL_MILLISECONDS;
        let mut interval = next_interval(0, 0).expect("the first one");
        assert_eq!(interval, MIN_INTERVAL_MILLISECONDS);
        while interval < LONGEST {
            assert_eq!(next_interval(interval, interval - 1), None);
            let next = next_interval(interval, interval).expect("long enough");
            assert!(next > interval);
            interval = next;
        }
        assert_eq!(interval, LONGEST);
        assert_eq!(
            next_interval(LONGEST, LONGEST),
            Some(MIN_INTERVAL_MILLISECONDS)
        );
        assert_eq!(
            next_interval(60_000, LONGEST),
            Some(MIN_INTERVAL_MILLISECONDS)
        );
    }

    #[test]
    fn many_peers_with_the_same_time_fill_batches() {
        let held: Vec<_> = (0..3000).map(|it| (record(it), 5)).collect();
        let times = Times {
            engine_now: 0,
            max_peer_age_seconds: 1200,
            received: 0,
        };
        let mut batches = Vec::new();
        group(Kind::Ipv4, &held, &times, &mut batches);
        let lengths = batches.iter().map(|it| it.bytes.len());
        assert_eq!(batches.len(), 3);
        assert!(lengths.max() <= Some(batch::MAX_BATCH_LENGTH));
    }
}
