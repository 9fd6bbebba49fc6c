//! The contract of a swarm, for each kind of peers.

#![allow(
    clippy::unwrap_used,
    reason = "an error is a failed test, in what tests share as well"
)]

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use aquatic_bittorrent::{AnnounceEvent, InfoHash};
use aquatic_swarm::{
    Announce, HashKey, Ipv4Swarm, Ipv6Swarm, LimitReached, SwarmLimits, SwarmTotals, Sweep,
    TorrentWalk, Usage, WebSwarm, snapshot,
};

mod fixture;
mod kinds;
mod others;

use fixture::{Fixture, LIFETIME, info_hash, record, records, stored};
use others::{
    announces_say_what_they_change, others_peers_are_kept_as_long_as_there,
    others_peers_make_no_true_downloads,
};

/// Runs each function named below for all three kinds of peers.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod ipv4 { $(#[test] fn $name() { super::$name::<6, 6, 2>() })* }
        mod ipv6 { $(#[test] fn $name() { super::$name::<18, 18, 1>() })* }
        mod web { $(#[test] fn $name() { super::$name::<28, 20, 1>() })* }
    };
}

contract!(
    lists_others_but_not_the_announcing_peer,
    sends_no_more_than_wanted_and_one_if_one,
    sends_seeders_no_seeders,
    stopped_removes_and_creates_nothing,
    counts_a_download_once,
    counts_one_download_in_a_peers_lifetime,
    keeps_downloads_of_torrents_without_peers,
    bounds_retired_torrents,
    false_downloads_evict_no_true_ones,
    walks_over_all_torrents_in_bounded_steps,
    paused_is_an_ordinary_announce,
    rejects_beyond_the_limits,
    forgets_silent_peers,
    brings_nobody_back_after_a_jump_of_the_clock,
    sweeps_in_bounded_steps,
    forgets_forbidden_torrents,
    survives_a_snapshot,
    restores_downloads_without_peers,
    reports_damaged_blocks,
    holds_a_large_torrent,
    announces_say_what_they_change,
    others_peers_are_kept_as_long_as_there,
    others_peers_make_no_true_downloads,
);

fn lists_others_but_not_the_announcing_peer<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    for peer in 0..100 {
        let reply = fixture.leech(1, peer);
        assert_eq!(reply.peers, records(0..peer));
        assert_eq!((reply.seeders, reply.leechers), (0, peer));
        // Announcing again changes nothing.
        assert_eq!(fixture.leech(1, peer), reply);
    }
    assert_eq!(fixture.scrape(1), [0, 100, 0]);
    assert_eq!(fixture.scrape(2), [0, 0, 0]);
    assert!(fixture.leech(2, 0).peers.is_empty());
    let totals = fixture.swarm.totals();
    assert_eq!((totals.torrents, totals.peers, totals.seeders), (2, 101, 0));
}

fn sends_no_more_than_wanted_and_one_if_one<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    fixture.seed(1, 0);
    let one = fixture.announce(1, 1, 1, AnnounceEvent::Started, 1);
    assert_eq!(one.unwrap().peers, records([0]));
    for peer in 2..200 {
        for wanted in [0, 1, 2, 30] {
            let reply = fixture.announce(1, peer, 1, AnnounceEvent::None, wanted);
            assert_eq!(reply.unwrap().peers.len(), wanted.min(peer as usize));
        }
    }
}

fn sends_seeders_no_seeders<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    for peer in 0..5 {
        fixture.seed(1, peer);
        fixture.leech(1, 10 + peer);
    }
    let reply = fixture.seed(1, 3);
    assert_eq!(reply.peers, records(10..15));
    assert_eq!((reply.seeders, reply.leechers), (4, 5));
    assert_eq!(fixture.leech(1, 10).peers.len(), 9);

    // A leecher becomes a seeder, and a seeder a leecher.
    assert_eq!(fixture.seed(1, 10).peers, records(11..15));
    assert_eq!(fixture.scrape(1), [6, 4, 0]);
    assert_eq!(fixture.leech(1, 0).peers.len(), 9);
    assert_eq!(fixture.scrape(1), [5, 5, 0]);
}

fn stopped_removes_and_creates_nothing<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    let stop = |fixture: &mut Fixture<S, K, N>, torrent, peer| {
        fixture
            .announce(torrent, peer, 1, AnnounceEvent::Stopped, 30)
            .unwrap()
    };
    assert_eq!(stop(&mut fixture, 1, 1).leechers, 0);
    assert_eq!(fixture.swarm.totals(), SwarmTotals::default());

    fixture.leech(1, 1);
    fixture.seed(1, 2);
    let reply = stop(&mut fixture, 1, 1);
    assert_eq!((reply.seeders, reply.leechers), (1, 0));
    assert!(reply.peers.is_empty());
    assert_eq!(fixture.scrape(1), [1, 0, 0]);
    stop(&mut fixture, 1, 2);
    assert_eq!(fixture.swarm.totals(), SwarmTotals::default());
    assert_eq!((fixture.usage.live(), fixture.usage.retired()), (0, 0));
}

fn counts_a_download_once<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    let mut complete = |peer, left| {
        fixture
            .announce(1, peer, left, AnnounceEvent::Completed, 0)
            .unwrap();
        fixture.scrape(1)[2]
    };
    assert_eq!(complete(1, 0), 1);
    assert_eq!(complete(1, 0), 1, "sent again, as its reply was lost");
    assert_eq!(complete(2, 7), 1, "not complete while something is left");
    assert_eq!(complete(2, 0), 2);
    assert_eq!(complete(3, 0), 3);
}

fn counts_one_download_in_a_peers_lifetime<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    // With different numbers of other peers in the torrent.
    for others in [0, 10, 100] {
        for peer in 1_000..1_000 + others {
            fixture.leech(1, peer);
        }
        let peer = others;
        let before = fixture.scrape(1)[2];
        for round in 0..100 {
            fixture.leech(1, peer);
            fixture
                .announce(1, peer, 0, AnnounceEvent::Completed, 0)
                .unwrap();
            assert_eq!(fixture.scrape(1)[2], before + 1, "round {round}");
            if round % 10 == 9 {
                fixture = through_a_snapshot(fixture);
            }
            fixture.now += 60;
        }
        // If the peer leaves and comes back, that is another download.
        fixture
            .announce(1, peer, 0, AnnounceEvent::Stopped, 0)
            .unwrap();
        fixture
            .announce(1, peer, 0, AnnounceEvent::Completed, 0)
            .unwrap();
        assert_eq!(fixture.scrape(1)[2], before + 2);
    }
}

/// The same swarm after a restart, restored from a snapshot.
fn through_a_snapshot<const S: usize, const K: usize, const N: usize>(
    before: Fixture<S, K, N>,
) -> Fixture<S, K, N> {
    let mut after = Fixture::new();
    after.now = before.now;
    for block in before.snapshot() {
        snapshot::restore(&after.swarm, &block, after.now, LIFETIME, true).unwrap();
    }
    after
}

fn keeps_downloads_of_torrents_without_peers<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    fixture
        .announce(1, 1, 0, AnnounceEvent::Completed, 0)
        .unwrap();
    fixture
        .announce(1, 1, 0, AnnounceEvent::Stopped, 0)
        .unwrap();
    assert_eq!(fixture.scrape(1), [0, 0, 1]);
    assert_eq!((fixture.usage.live(), fixture.usage.retired()), (0, 1));

    fixture.leech(1, 2);
    assert_eq!(fixture.scrape(1), [0, 1, 1]);
    assert_eq!((fixture.usage.live(), fixture.usage.retired()), (1, 0));

    fixture.now += u32::from(LIFETIME);
    fixture.sweep(10, |_| true);
    assert_eq!(fixture.scrape(1), [0, 0, 1]);
    assert_eq!((fixture.usage.live(), fixture.usage.retired()), (0, 1));
}

fn bounds_retired_torrents<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::with(SwarmLimits {
        max_torrents: NonZeroUsize::new(3_000),
        ..SwarmLimits::default()
    });
    for torrent in 0..20_000 {
        for event in [AnnounceEvent::Completed, AnnounceEvent::Stopped] {
            fixture.announce(torrent, 1, 0, event, 0).unwrap();
        }
    }
    assert_eq!(fixture.usage.live(), 0);
    let retired = fixture.usage.retired();
    assert!((2_900..=3_000).contains(&retired), "{retired}");
    let kept = (0..20_000).filter(|&torrent| fixture.scrape(torrent)[2] == 1);
    assert_eq!(kept.count(), retired);
}

fn false_downloads_evict_no_true_ones<const S: usize, const K: usize, const N: usize>() {
    for max_torrents in [40, 1_000] {
        let mut fixture = Fixture::<S, K, N>::with(SwarmLimits {
            max_torrents: NonZeroUsize::new(max_torrents),
            ..SwarmLimits::default()
        });
        let says = |fixture: &mut Fixture<S, K, N>, torrent, event| {
            fixture.announce(torrent, 1, 0, event, 0).unwrap();
        };
        let true_ones = max_torrents as u32 / 2;
        for torrent in 0..true_ones {
            fixture.leech(torrent, 1);
            fixture.now += 30;
            says(&mut fixture, torrent, AnnounceEvent::Completed);
            says(&mut fixture, torrent, AnnounceEvent::Stopped);
        }
        for torrent in 10_000..15_000 {
            says(&mut fixture, torrent, AnnounceEvent::Completed);
            says(&mut fixture, torrent, AnnounceEvent::Stopped);
        }
        // False downloads do not displace true ones even if they are claimed again and
        // again, or after a restart.
        for torrent in 10_000..10_100 {
            for _ in 0..10 {
                says(&mut fixture, torrent, AnnounceEvent::Completed);
                says(&mut fixture, torrent, AnnounceEvent::Stopped);
            }
        }
        let blocks = fixture.snapshot();
        for block in blocks.iter().rev() {
            snapshot::restore(&fixture.swarm, block, fixture.now, LIFETIME, true).unwrap();
        }
        let kept = (0..true_ones).filter(|&torrent| fixture.scrape(torrent)[2] == 1);
        assert_eq!(kept.count(), true_ones as usize);
        assert!(fixture.usage.retired() <= max_torrents);
    }
}

fn walks_over_all_torrents_in_bounded_steps<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::with(SwarmLimits {
        // With this limit, all torrents without peers are in one part.
        max_torrents: NonZeroUsize::new(10_000),
        ..SwarmLimits::default()
    });
    for torrent in 0..8_000 {
        for event in [AnnounceEvent::Completed, AnnounceEvent::Stopped] {
            fixture.announce(torrent, 1, 0, event, 0).unwrap();
        }
        fixture.leech(10_000 + torrent, 1);
    }
    let mut seen = Vec::new();
    let mut walk = TorrentWalk::new();
    loop {
        let before = seen.len();
        let goes_on = walk.step(&fixture.swarm, |info_hash, scraped| {
            seen.push((info_hash.0, scraped.leechers, scraped.completed));
        });
        assert!(
            seen.len() - before <= 256,
            "{} at once",
            seen.len() - before
        );
        if !goes_on {
            break;
        }
    }
    seen.sort_unstable();
    seen.dedup_by_key(|(info_hash, ..)| *info_hash);
    assert_eq!(seen.len(), fixture.usage.live() + fixture.usage.retired());

    // A sweep removes torrents in such steps, too.
    let mut sweep = Sweep::new();
    let mut before = fixture.usage.retired();
    loop {
        let done = sweep.step(&fixture.swarm, fixture.now, 100, |_| false);
        let after = fixture.usage.retired();
        assert!(before - after <= 100, "{} in one step", before - after);
        before = after;
        if done {
            break;
        }
    }
    assert_eq!((fixture.usage.live(), fixture.usage.retired()), (0, 0));
}

fn paused_is_an_ordinary_announce<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    fixture.seed(1, 1);
    let reply = fixture
        .announce(1, 2, 1, AnnounceEvent::Paused, 30)
        .unwrap();
    assert_eq!(reply.peers, records([1]));
    assert_eq!(fixture.scrape(1), [1, 1, 0]);
}

fn rejects_beyond_the_limits<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::with(SwarmLimits {
        max_torrents: NonZeroUsize::new(2),
        max_peers_per_torrent: NonZeroU32::new(3),
        max_peers_per_ip: NonZeroU32::new(2),
        ..SwarmLimits::default()
    });
    let announce = |fixture: &mut Fixture<S, K, N>, torrent, peer, event| {
        fixture
            .announce(torrent, peer, 1, event, 30)
            .map(|reply| reply.leechers)
    };
    let none = AnnounceEvent::None;
    assert_eq!(announce(&mut fixture, 1, 1, none), Ok(0));
    assert_eq!(announce(&mut fixture, 2, 1, none), Ok(0));
    let third = announce(&mut fixture, 3, 2, none);
    assert_eq!(third, Err(LimitReached::Torrents));
    assert_eq!(fixture.swarm.totals().torrents, 2);

    assert_eq!(announce(&mut fixture, 1, 2, none), Ok(1));
    assert_eq!(announce(&mut fixture, 1, 3, none), Ok(2));
    let fourth = announce(&mut fixture, 1, 4, none);
    assert_eq!(fourth, Err(LimitReached::PeersPerTorrent));
    // A known peer is not rejected.
    assert_eq!(announce(&mut fixture, 1, 1, none), Ok(2));

    // A peer that leaves makes room.
    assert_eq!(announce(&mut fixture, 2, 1, AnnounceEvent::Stopped), Ok(0));
    assert_eq!(announce(&mut fixture, 3, 1, none), Ok(0));
    assert_eq!(announce(&mut fixture, 3, 1, AnnounceEvent::Stopped), Ok(0));

    // The address of peer 5 has peers at two ports, a third is too many.
    let mut at_port = |torrent, port| {
        let mut record = record::<S>(5);
        record[S - 1] = port;
        if K < S {
            record[4] = port;
        }
        let announce = Announce {
            record,
            is_seeder: false,
            event: none,
            wanted: 0,
            now_seconds: 0,
            lifetime_seconds: LIFETIME,
        };
        let mut locked = fixture.swarm.lock(&info_hash(torrent));
        locked
            .announce(&announce, &mut fixture.random)
            .map(|announced| announced.leechers)
    };
    assert_eq!(at_port(9, 1), Ok(0));
    if K == S {
        assert_eq!(at_port(9, 2), Ok(1));
        assert_eq!(at_port(9, 3), Err(LimitReached::PeersPerIp));
    }
}

fn forgets_silent_peers<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    for peer in 0..100 {
        fixture.leech(1, peer);
        fixture.seed(2 + peer, peer);
    }
    fixture.now += u32::from(LIFETIME) / 2;
    for peer in 0..50 {
        fixture.seed(1, peer);
    }
    fixture.now += u32::from(LIFETIME) / 2 - 1;
    fixture.sweep(7, |_| true);
    assert_eq!(fixture.swarm.totals().peers, 200);

    fixture.now += 1;
    fixture.sweep(7, |_| true);
    assert_eq!(fixture.scrape(1), [50, 0, 0]);
    let totals = fixture.swarm.totals();
    assert_eq!((totals.torrents, totals.peers, totals.seeders), (1, 50, 50));
    assert_eq!(fixture.usage.live(), 1);
}

fn brings_nobody_back_after_a_jump_of_the_clock<const S: usize, const K: usize, const N: usize>() {
    const HOUR: u32 = 3_600;
    let hours = [1, 8, 9, 10, 14, 18, 19, 36, 48, 24 * 100].map(|hours| hours * HOUR);
    for jump in [1, 60, 65_535, 65_536, 65_537].into_iter().chain(hours) {
        // One torrent that is larger than a segment, and small ones.
        let mut fixture = Fixture::<S, K, N>::new();
        for peer in 0..9_000 {
            fixture.leech_quietly(1, peer);
        }
        for torrent in 2..90 {
            for peer in 0..torrent % 70 {
                fixture.leech_quietly(torrent, peer);
            }
        }
        let all = fixture.swarm.totals().peers;
        fixture.now += jump;
        let is_over = jump >= u32::from(LIFETIME);

        // A peer that announces after the jump and before the next sweep stays.
        for peer in (0..9_000).step_by(3) {
            fixture.leech_quietly(1, peer);
        }
        for _ in 0..3 {
            fixture.sweep(300, |_| true);
            let left = fixture.swarm.totals().peers;
            assert_eq!(left, if is_over { 3_000 } else { all }, "jump of {jump} s");
        }

        // These peers expire at the right time.
        fixture.now += u32::from(LIFETIME) - 1;
        fixture.sweep(300, |_| true);
        assert_eq!(fixture.swarm.totals().peers, 3_000);
        fixture.now += 1;
        fixture.sweep(300, |_| true);
        assert_eq!(fixture.swarm.totals(), SwarmTotals::default());
    }
}

fn sweeps_in_bounded_steps<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    for torrent in 0..5_000 {
        fixture.leech(torrent, torrent);
    }
    fixture.now += u32::from(LIFETIME);
    let mut sweep = Sweep::new();
    let mut before = 5_000;
    loop {
        let done = sweep.step(&fixture.swarm, fixture.now, 100, |_| true);
        let after = fixture.swarm.totals().torrents;
        assert!(before - after <= 100, "{} in one step", before - after);
        before = after;
        if done {
            break;
        }
    }
    assert_eq!(before, 0);
}

fn forgets_forbidden_torrents<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    for torrent in 0..100 {
        fixture.leech(torrent, 1);
        fixture
            .announce(torrent, 2, 0, AnnounceEvent::Completed, 0)
            .unwrap();
        if torrent % 3 == 0 {
            for peer in [1, 2] {
                fixture
                    .announce(torrent, peer, 0, AnnounceEvent::Stopped, 0)
                    .unwrap();
            }
        }
    }
    let allowed = |info_hash: &InfoHash| info_hash.0[11].is_multiple_of(2);
    fixture.sweep(1_000, allowed);
    for torrent in 0..100 {
        let expected = match (torrent % 2, torrent % 3) {
            (1, _) => [0, 0, 0],
            (_, 0) => [0, 0, 1],
            _ => [1, 1, 1],
        };
        assert_eq!(fixture.scrape(torrent), expected, "torrent {torrent}");
    }
    assert_eq!((fixture.usage.live(), fixture.usage.retired()), (33, 17));
}

/// Fills a swarm with torrents of many sizes.
fn filled<const S: usize, const K: usize, const N: usize>() -> Fixture<S, K, N> {
    let mut fixture = Fixture::new();
    for torrent in 0..300 {
        for peer in 0..torrent % 90 {
            fixture
                .announce(torrent, peer, peer % 3, AnnounceEvent::Completed, 0)
                .unwrap();
        }
    }
    for event in [AnnounceEvent::Completed, AnnounceEvent::Stopped] {
        fixture.announce(999, 1, 0, event, 0).unwrap();
    }
    fixture
}

fn survives_a_snapshot<const S: usize, const K: usize, const N: usize>() {
    let mut before = filled::<S, K, N>();
    before.now += 1_000;
    before.leech(5, 4);

    let mut after = Fixture::<S, K, N>::new();
    after.now = 7;
    let mut peers = 0;
    for block in before.snapshot() {
        let restored = snapshot::restore(&after.swarm, &block, after.now, LIFETIME, true).unwrap();
        assert_eq!(restored.dropped, 0);
        peers += restored.peers;
    }
    assert_eq!(peers, before.swarm.totals().peers);
    assert_eq!(stored(&after), stored(&before));
    for torrent in 0..1_000 {
        assert_eq!(after.scrape(torrent), before.scrape(torrent));
    }
    assert_eq!(after.scrape(999), [0, 0, 1]);
    assert_eq!(after.leech(50, 77).peers, before.leech(50, 77).peers);

    // Peers had 200 seconds left, except the one that announced last.
    after.now += 199;
    after.sweep(1_000, |_| true);
    assert_eq!(after.scrape(80), before.scrape(80));
    after.now += 1;
    after.sweep(1_000, |_| true);
    assert_eq!(after.scrape(80)[..2], [0, 0]);
    assert_eq!(after.scrape(5)[..2], [0, 1]);
}

fn restores_downloads_without_peers<const S: usize, const K: usize, const N: usize>() {
    let before = filled::<S, K, N>();
    let after = Fixture::<S, K, N>::new();
    for block in before.snapshot() {
        snapshot::restore(&after.swarm, &block, 0, LIFETIME, false).unwrap();
    }
    assert_eq!(after.swarm.totals(), SwarmTotals::default());
    for torrent in 0..1_000 {
        assert_eq!(after.scrape(torrent)[2], before.scrape(torrent)[2]);
    }
}

fn reports_damaged_blocks<const S: usize, const K: usize, const N: usize>() {
    let mut before = Fixture::<S, K, N>::new();
    before.leech(1, 1);
    let block = before.snapshot().remove(0);
    for end in 1..block.len() {
        let after = Fixture::<S, K, N>::new();
        let damaged = snapshot::restore(&after.swarm, &block[..end], 0, LIFETIME, true);
        assert_eq!(damaged, Err(snapshot::DamagedBlock::Truncated(0)));
        assert_eq!(after.swarm.totals(), SwarmTotals::default());
    }
    let mut huge = block;
    huge[24..32].fill(0xff);
    let after = Fixture::<S, K, N>::new();
    assert!(snapshot::restore(&after.swarm, &huge, 0, LIFETIME, true).is_err());
}

fn holds_a_large_torrent<const S: usize, const K: usize, const N: usize>() {
    let mut fixture = Fixture::<S, K, N>::new();
    let count = 40_000;
    for peer in 0..count {
        let reply = fixture.announce(1, peer, peer % 4, AnnounceEvent::Started, 3);
        assert_eq!(reply.unwrap().peers.len(), peer.min(3) as usize);
    }
    assert_eq!(fixture.scrape(1), [count / 4, count / 4 * 3, 0]);

    let after = Fixture::<S, K, N>::new();
    let blocks = fixture.snapshot();
    for block in &blocks {
        snapshot::restore(&after.swarm, block, 0, LIFETIME, true).unwrap();
    }
    assert_eq!(stored(&after), stored(&fixture));

    fixture.now += 600;
    for peer in (0..count).step_by(2) {
        fixture
            .announce(1, peer, 1, AnnounceEvent::None, 0)
            .unwrap();
    }
    fixture.now += 600;
    // In addition to the steps that 1,024 shards take.
    let steps = fixture.sweep(1, |_| true);
    assert!(steps > 1_024 + 70, "{count} peers took {steps} steps");
    assert_eq!(fixture.scrape(1), [0, count / 2, 0]);
}
