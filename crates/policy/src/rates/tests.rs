//! Buckets, compared with exact ones.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn ipv4(number: u32) -> IpAddr {
    Ipv4Addr::from(number).into()
}

/// A source that is none of those under test.
const ANOTHER: u32 = 99_999;

/// Exact buckets, with times that do not wrap around.
#[derive(Default)]
struct Model(HashMap<IpAddr, u64>);

impl Model {
    fn take(&mut self, source: IpAddr, now_milliseconds: u64, limit: &Limit) -> bool {
        let now = now_milliseconds * u64::from(TICKS_PER_MILLISECOND);
        let full_at = self.0.entry(source).or_default();
        let wanted = (*full_at).max(now) + u64::from(limit.interval);
        let is_within = wanted <= now + u64::from(limit.capacity);
        if is_within {
            *full_at = wanted;
        }
        is_within
    }
}

#[test]
fn a_source_gets_its_burst_and_then_its_rate() {
    let limit = Limit::new(50, 2);
    for start in [0, 1_000, u32::MAX - 500, u32::MAX / TICKS_PER_MILLISECOND] {
        let limiter = Limiter::new([1; 16]);
        let source = ipv4(7);
        let take = |now: u32| limiter.allows(&limit, source, start.wrapping_add(now));
        let at_once = (0..1_000).filter(|_| take(0)).count();
        assert_eq!(at_once, 100);
        let second = (0..1_000).filter(|millisecond| take(*millisecond)).count();
        assert_eq!(
            second, 49,
            "those of the second, less the one due at its end"
        );
        // After silence, it has its burst again.
        assert_eq!((0..1_000).filter(|_| take(4_000)).count(), 100);
    }
}

#[test]
fn a_lower_limit_forgives_nothing() {
    let (long, short) = (Limit::new(1, 600), Limit::new(1, 10));
    let limiter = Limiter::new([1; 16]);
    assert_eq!(
        (0..1_000)
            .filter(|_| limiter.allows(&long, ipv4(1), 0))
            .count(),
        600
    );
    assert!(!limiter.allows(&short, ipv4(1), 0));
    assert!(!limiter.allows(&long, ipv4(1), 0));
    // What was used is restored at the rate.
    assert!(!limiter.allows(&short, ipv4(1), 500_000));
    assert!(limiter.allows(&short, ipv4(1), 591_000));
}

#[test]
fn a_network_of_ipv6_is_one_source() {
    let limit = Limit::new(1, 1);
    let limiter = Limiter::new([1; 16]);
    let address = |text: &str| text.parse::<Ipv6Addr>().unwrap().into();
    assert!(limiter.allows(&limit, address("2001:db8::1"), 0));
    assert!(!limiter.allows(&limit, address("2001:db8::ffff:1"), 0));
    assert!(limiter.allows(&limit, address("2001:db8:0:1::1"), 0));
    assert!(limiter.allows(&limit, ipv4(1), 0));
    assert!(!limiter.allows(&limit, address("::ffff:0.0.0.1"), 0));
}

#[test]
fn a_source_has_different_buckets() {
    let (limiter, buckets) = (Limiter::new([2; 16]), Buckets::new(0));
    let mut seen = BTreeSet::new();
    for number in 0..20_000 {
        let (_, mut places) = buckets.places(limiter.hash(ipv4(number)));
        places.sort_unstable();
        assert!(places[0] < places[1] && places[1] < places[2], "{places:?}");
        assert!(places[2] < BUCKETS_PER_LINE);
        seen.insert(places);
    }
    // All sets of three.
    assert_eq!(seen.len(), 560);
}

/// The bound that the manual names.
#[test]
fn a_thousand_hostile_sources_hardly_affect_others() {
    let limit = Limit::new(10, 10);
    let mut affected = 0;
    for secret in 0..10 {
        let limiter = Limiter::new([secret; 16]);
        for hostile in 0..1_000 {
            while limiter.allows(&limit, ipv4(hostile), 0) {}
        }
        let polite = (1_000_000..1_020_000).map(ipv4);
        affected += polite.filter(|it| !limiter.allows(&limit, *it, 0)).count();
    }
    // Of 200,000; the expectation is 0.011 %.
    assert!(affected < 80, "{affected}");
}

#[test]
fn limits_are_within_their_range() {
    assert_eq!(Limit::new(0, 0), Limit::new(1, 1));
    assert_eq!(
        Limit::new(u32::MAX, u32::MAX),
        Limit::new(MAX_PER_SECOND, MAX_BURST_SECONDS)
    );
    // A capacity that is no small part of the clock's period could not be told from a
    // time that has passed.
    let longest = Limit::new(1, MAX_BURST_SECONDS);
    assert!(longest.capacity < u32::MAX / 16);
    assert!(Limit::new(MAX_PER_SECOND, 1).interval >= 25);
}

proptest! {
    /// Nobody gets more than an exact bucket allows, and those who are alone get as much.
    #[test]
    fn buckets_are_like_exact_ones(
        secret in any::<[u8; 16]>(),
        start in any::<u32>(),
        per_second in 1..200_u32,
        burst_seconds in 1..20_u32,
        sources in 1..40_u32,
        steps in proptest::collection::vec((any::<u32>(), 0..60_u32, 1..50_u32), 1..400),
    ) {
        let limit = Limit::new(per_second, burst_seconds);
        let (limiter, buckets) = (Limiter::new(secret), Buckets::new(0));
        let mut model = Model::default();
        let shares = |source: IpAddr| {
            let line = |source| std::ptr::from_ref(buckets.places(limiter.hash(source)).0);
            let others = (0..sources).chain([ANOTHER]).map(ipv4).filter(|other| *other != source);
            others.into_iter().any(|other| line(other) == line(source))
        };
        let mut now = 0;
        for (source, pause, requests) in steps {
            let source = ipv4(source % sources);
            now += u64::from(pause) * u64::from(pause);
            if pause == 59 {
                // Most of the period in which times wrap around, with a request per hour.
                for _ in 0..4 {
                    now += u64::from(REFRESH_MILLISECONDS);
                    limiter.allows(&limit, ipv4(ANOTHER), start.wrapping_add(now as u32));
                }
            }
            for _ in 0..requests {
                let milliseconds = start.wrapping_add(now as u32);
                let is_taken = limiter.allows(&limit, source, milliseconds);
                if is_taken {
                    let expected = model.take(source, now, &limit);
                    prop_assert!(expected, "more than an exact bucket allows");
                } else if !shares(source) {
                    prop_assert!(!model.take(source, now, &limit), "too few");
                }
            }
        }
    }

    /// Whatever is in the buckets, a source that is alone has its rate after a burst.
    #[test]
    fn old_times_do_no_lasting_harm(
        old in any::<[u32; BUCKETS_PER_LINE]>(),
        now in any::<u32>(),
        number in any::<u32>(),
    ) {
        let limit = Limit::new(100, 5);
        let limiter = Limiter::new([3; 16]);
        let buckets = limiter.buckets.get_or_init(|| Buckets::new(now));
        let (line, _) = buckets.places(limiter.hash(ipv4(number)));
        for (bucket, old) in line.0.iter().zip(old) {
            bucket.store(old, Relaxed);
        }
        let later = now.wrapping_add(5_000);
        let count = (0..1_000).filter(|_| limiter.allows(&limit, ipv4(number), later)).count();
        prop_assert!(count <= 500);
        let much_later = later.wrapping_add(5_000);
        let count = (0..1_000).filter(|_| limiter.allows(&limit, ipv4(number), much_later)).count();
        prop_assert_eq!(count, 500);
    }
}
