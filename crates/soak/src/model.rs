//! A model of which peers the tracker must have, and which it may still have.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::calendar::Calendar;

/// A peer in the model.
#[derive(Debug, Clone, Copy)]
struct Peer {
    /// When the peer expires, in seconds of the calendar.
    deadline: u64,
    is_seeder: bool,
    /// Whether the tracker must have it. It may have been rejected, or left out.
    is_certain: bool,
}

/// The peers of one address family, by the test's numbers of torrent and peer.
#[derive(Debug)]
pub struct Model<P> {
    torrents: BTreeMap<u64, BTreeMap<P, Peer>>,
    /// For how long an expired peer may still be stored, in seconds in which the
    /// tracker was running.
    grace: u64,
}

/// Bounds of a number of peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The peers that must be stored.
    pub least: usize,
    /// Further peers that may be stored.
    pub most: usize,
}

impl Bounds {
    /// Asserts that a number is within the bounds.
    ///
    /// # Panics
    /// If it is not within the bounds.
    #[track_caller]
    pub fn assert(&self, number: usize, what: &dyn Debug) {
        assert!(
            (self.least..=self.most).contains(&number),
            "{number} is not within {self:?}: {what:?}"
        );
    }

    /// Like [`assert`](Self::assert), for a number that may or may not include the peer
    /// that sent the request.
    ///
    /// # Panics
    /// If it is not within the bounds.
    #[track_caller]
    pub fn assert_about(&self, number: usize, what: &dyn Debug) {
        let bounds = Self {
            most: self.most + 1,
            ..*self
        };
        bounds.assert(number, what);
    }
}

/// The counts of a torrent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Seeders.
    pub seeders: Bounds,
    /// Leechers.
    pub leechers: Bounds,
}

impl<P: Ord + Copy + Debug> Model<P> {
    /// An empty model. `interval` is that of the housekeeping: a peer may expire just after a
    /// sweep has passed its torrent, and the next sweep may take longer if there are more
    /// torrents.
    #[must_use]
    pub fn new(interval: u64) -> Self {
        Self {
            torrents: BTreeMap::new(),
            grace: interval * 5 / 2 + 10,
        }
    }

    /// A peer announces, and is stored until `deadline`.
    pub fn announce(&mut self, torrent: u64, peer: P, is_seeder: bool, deadline: u64) {
        let peers = self.torrents.entry(torrent).or_default();
        peers.insert(
            peer,
            Peer {
                deadline,
                is_seeder,
                is_certain: true,
            },
        );
    }

    /// A peer stops.
    pub fn stop(&mut self, torrent: u64, peer: P) {
        if let Some(peers) = self.torrents.get_mut(&torrent) {
            peers.remove(&peer);
            if peers.is_empty() {
                self.torrents.remove(&torrent);
            }
        }
    }

    /// A torrent is forbidden by the access list.
    pub fn remove(&mut self, is_gone: impl Fn(u64) -> bool) {
        self.torrents.retain(|torrent, _| !is_gone(*torrent));
    }

    /// All peers are removed.
    pub fn clear(&mut self) {
        self.torrents.clear();
    }

    /// All peers are restored after this number of seconds. Each has as much time left as
    /// before, but is stored until `latest` at the latest.
    pub fn restore(&mut self, away: u64, latest: u64) {
        for peer in self.torrents.values_mut().flat_map(BTreeMap::values_mut) {
            peer.deadline = (peer.deadline + away).min(latest);
        }
    }

    /// Each peer may be stored, but does not have to be.
    pub fn doubt(&mut self) {
        for peer in self.torrents.values_mut().flat_map(BTreeMap::values_mut) {
            peer.is_certain = false;
        }
    }

    /// Removes the peers that can no longer be stored.
    pub fn tidy(&mut self, calendar: &Calendar) {
        let grace = self.grace;
        self.torrents.retain(|_, peers| {
            peers.retain(|_, peer| peer.may_be_there(calendar, grace));
            !peers.is_empty()
        });
    }

    /// Whether a tracker may return this peer.
    #[must_use]
    pub fn may_have(&self, torrent: u64, peer: &P, calendar: &Calendar) -> bool {
        let peers = self.torrents.get(&torrent);
        let peer = peers.and_then(|peers| peers.get(peer));
        peer.is_some_and(|peer| peer.may_be_there(calendar, self.grace))
    }

    /// Whether a peer that has not stopped has announced as a seeder.
    #[must_use]
    pub fn is_seeder(&self, torrent: u64, peer: &P) -> bool {
        let peers = self.torrents.get(&torrent);
        peers
            .and_then(|peers| peers.get(peer))
            .is_some_and(|peer| peer.is_seeder)
    }

    /// The counts of a torrent, except one peer.
    #[must_use]
    pub fn counts(&self, torrent: u64, without: Option<&P>, calendar: &Calendar) -> Counts {
        let mut counts = Counts::default();
        for (key, peer) in self.torrents.get(&torrent).into_iter().flatten() {
            if Some(key) != without {
                peer.add_to(&mut counts, calendar, self.grace);
            }
        }
        counts
    }

    /// The number of peers in all torrents.
    #[must_use]
    pub fn peers(&self, calendar: &Calendar) -> Bounds {
        let mut counts = Counts::default();
        for peer in self.torrents.values().flat_map(BTreeMap::values) {
            peer.add_to(&mut counts, calendar, self.grace);
        }
        Bounds {
            least: counts.seeders.least + counts.leechers.least,
            most: counts.seeders.most + counts.leechers.most,
        }
    }

    /// A random peer as `(torrent, peer)`, if there is any.
    #[must_use]
    pub fn any(&self, near: u64) -> Option<(u64, P)> {
        let (torrent, peers) = self
            .torrents
            .range(near..)
            .next()
            .or_else(|| self.torrents.iter().next())?;
        let peer = peers.keys().next()?;
        Some((*torrent, *peer))
    }
}

impl Peer {
    fn is_due(&self, calendar: &Calendar) -> bool {
        self.deadline <= calendar.seconds()
    }

    fn may_be_there(&self, calendar: &Calendar, grace: u64) -> bool {
        !self.is_due(calendar) || calendar.awake_since(self.deadline) <= grace
    }

    fn add_to(&self, counts: &mut Counts, calendar: &Calendar, grace: u64) {
        if !self.may_be_there(calendar, grace) {
            return;
        }
        let bounds = if self.is_seeder {
            &mut counts.seeders
        } else {
            &mut counts.leechers
        };
        bounds.most += 1;
        // A second may pass between the model's answer and the request.
        bounds.least += usize::from(self.is_certain && self.deadline > calendar.seconds() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_certain_then_possible_then_gone() {
        let mut calendar = Calendar::new();
        let mut model = Model::new(20);
        model.announce(1, 'a', true, 100);
        model.announce(1, 'b', false, 200);
        let counts = |model: &Model<char>, calendar: &Calendar| {
            let counts = model.counts(1, Some(&'b'), calendar);
            (counts.seeders.least, counts.seeders.most)
        };
        assert_eq!(counts(&model, &calendar), (1, 1));
        for _ in 0..100 {
            calendar.pass();
        }
        assert_eq!(counts(&model, &calendar), (0, 1));
        // The tracker was not running meanwhile.
        calendar.leap(10_000);
        assert_eq!(counts(&model, &calendar), (0, 1));
        for _ in 0..61 {
            calendar.pass();
        }
        assert_eq!(counts(&model, &calendar), (0, 0));
        assert!(!model.may_have(1, &'b', &calendar));
        model.tidy(&calendar);
        assert_eq!(model.peers(&calendar), Bounds::default());
        assert_eq!(model.any(0), None);
    }
}
