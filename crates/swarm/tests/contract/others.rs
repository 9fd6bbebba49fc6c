//! Changes from other nodes that keep the same swarm.

use std::num::{NonZeroU16, NonZeroUsize};

use aquatic_bittorrent::{AnnounceEvent, PeerChange};
use aquatic_swarm::{Announce, Applied, LimitReached, SwarmLimits};

use crate::fixture::{Fixture, LIFETIME, info_hash, record};

impl<const S: usize, const K: usize, const N: usize> Fixture<S, K, N> {
    fn apply(
        &mut self,
        torrent: u32,
        peer: u32,
        change: PeerChange,
        lifetime_seconds: u16,
    ) -> Result<(), LimitReached> {
        self.swarm.note_lifetime(lifetime_seconds);
        self.swarm.lock(&info_hash(torrent)).apply(&Applied {
            record: record(peer),
            change,
            now_seconds: self.now,
            lifetime_seconds,
        })
    }

    /// What an announce changes.
    fn change(
        &mut self,
        torrent: u32,
        peer: u32,
        left: u32,
        event: AnnounceEvent,
    ) -> Option<PeerChange> {
        let announce = Announce {
            record: record(peer),
            is_seeder: left == 0,
            event,
            wanted: 0,
            now_seconds: self.now,
            lifetime_seconds: LIFETIME,
        };
        let mut locked = self.swarm.lock(&info_hash(torrent));
        locked.announce(&announce, &mut self.random).unwrap().change
    }
}

pub(crate) fn announces_say_what_they_change<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::with(SwarmLimits {
        refresh_below_seconds: NonZeroU16::new(LIFETIME - 100),
        ..SwarmLimits::default()
    });
    let (none, completed, stopped) = (
        AnnounceEvent::None,
        AnnounceEvent::Completed,
        AnnounceEvent::Stopped,
    );
    // Few peers, many, and so many that they have an index.
    for others in [0, 10, 100] {
        for other in 1_000..1_000 + others {
            fixture.leech(1, other);
        }
        assert_eq!(fixture.change(1, 1, 5, none), Some(PeerChange::Leecher));
        fixture.now += 100;
        assert_eq!(fixture.change(1, 1, 5, none), None);
        fixture.now += 1;
        assert_eq!(fixture.change(1, 1, 5, none), Some(PeerChange::Leecher));
        assert_eq!(fixture.change(1, 1, 5, completed), None);
        assert_eq!(fixture.change(1, 1, 0, none), Some(PeerChange::Seeder));
        // It has been a seeder before it said that it has completed.
        assert_eq!(fixture.change(1, 1, 0, completed), None);
        assert_eq!(fixture.change(1, 1, 5, none), Some(PeerChange::Leecher));
        assert_eq!(fixture.change(1, 1, 0, stopped), Some(PeerChange::Stopped));
        assert_eq!(fixture.change(1, 1, 0, stopped), None);
        let change = fixture.change(1, 1, 0, completed);
        assert_eq!(change, Some(PeerChange::Completed));
        assert_eq!(fixture.change(1, 1, 0, completed), None);
        fixture.change(1, 1, 0, stopped);
    }
}

pub(crate) fn others_peers_are_kept_as_long_as_there<
    const S: usize,
    const K: usize,
    const N: usize,
>() {
    let mut fixture = Fixture::<S, K, N>::new();
    let sweep = |fixture: &mut Fixture<S, K, N>, seconds| {
        fixture.now += seconds;
        fixture.sweep(1_000, |_| true);
        fixture.scrape(1)
    };
    let apply = |fixture: &mut Fixture<S, K, N>, change| {
        fixture.apply(1, 1, change, 3 * LIFETIME).unwrap();
    };
    let long = u32::from(LIFETIME);
    apply(&mut fixture, PeerChange::Leecher);
    assert_eq!(sweep(&mut fixture, 2 * long), [0, 1, 0]);
    // A peer that announces here, too, does not expire earlier.
    apply(&mut fixture, PeerChange::Seeder);
    fixture.seed(1, 1);
    assert_eq!(sweep(&mut fixture, 3 * long - 1), [1, 0, 0]);
    assert_eq!(sweep(&mut fixture, 1), [0, 0, 0]);

    apply(&mut fixture, PeerChange::Leecher);
    apply(&mut fixture, PeerChange::Completed);
    // A completion that both trackers are informed of is counted as one download.
    apply(&mut fixture, PeerChange::Completed);
    assert_eq!(
        fixture.change(1, 1, 0, AnnounceEvent::Completed),
        Some(PeerChange::Seeder)
    );
    assert_eq!(fixture.scrape(1), [1, 0, 1]);
    apply(&mut fixture, PeerChange::Stopped);
    apply(&mut fixture, PeerChange::Stopped);
    assert_eq!(fixture.scrape(1), [0, 0, 1]);
    fixture.apply(2, 1, PeerChange::Stopped, LIFETIME).unwrap();
    assert_eq!(fixture.swarm.totals().torrents, 0);
}

/// A peer that expires early because another node has a shorter lifetime does not count
/// as one that has been known here for longer.
pub(crate) fn others_peers_make_no_true_downloads<
    const S: usize,
    const K: usize,
    const N: usize,
>() {
    let max_torrents = 40;
    let mut fixture = Fixture::<S, K, N>::with(SwarmLimits {
        max_torrents: NonZeroUsize::new(max_torrents),
        ..SwarmLimits::default()
    });
    let says = |fixture: &mut Fixture<S, K, N>, torrent, peer, event| {
        fixture.change(torrent, peer, 0, event);
    };
    for torrent in 0..20 {
        // Known for longer than the difference between the two lifetimes.
        fixture.leech(torrent, 1);
        fixture.now += 30 + u32::from(LIFETIME) / 2;
        says(&mut fixture, torrent, 1, AnnounceEvent::Completed);
        says(&mut fixture, torrent, 1, AnnounceEvent::Stopped);
    }
    for torrent in 10_000..15_000 {
        // Two downloads are worth more than one, if they are true.
        for peer in [1, 2] {
            fixture
                .apply(torrent, peer, PeerChange::Leecher, LIFETIME / 2)
                .unwrap();
            says(&mut fixture, torrent, peer, AnnounceEvent::Completed);
        }
        for peer in [3, 4] {
            for change in [PeerChange::Leecher, PeerChange::Completed] {
                fixture.apply(torrent, peer, change, LIFETIME).unwrap();
                fixture.now += 1;
            }
        }
        for peer in 1..=4 {
            says(&mut fixture, torrent, peer, AnnounceEvent::Stopped);
        }
    }
    let kept = (0..20).filter(|&torrent| fixture.scrape(torrent)[2] == 1);
    assert_eq!(kept.count(), 20);
}
