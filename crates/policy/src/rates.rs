//! How many requests a source may make: token buckets of a fixed number.
//!
//! A source is an IPv4 address or an IPv6 /64 network. Libraries for this, such as governor,
//! keep a bucket for each source in a map, which strangers can make grow, because a source
//! of UDP datagrams is whatever they write into them. Here, the number of buckets is fixed,
//! each is used by many sources, and none is ever evicted:
//!
//! * A source has [`BUCKETS_PER_SOURCE`] buckets of one cache line. A secret hash says
//!   which, so nobody can tell with whom somebody shares them.
//! * Each bucket counts the requests of all its sources, so what the emptiest of a source's
//!   buckets has counted is never less than what the source has used, and is more only as
//!   far as others have used all three. (This is a count-min sketch with conservative
//!   update, one for each cache line.)
//! * A rejected request counts nothing, so a source that keeps asking gets its rate.
//!
//! Instead of tokens, a bucket has the time at which it will be full (the generic cell rate
//! algorithm, ITU-T I.371), so nothing has to be refilled.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use aquatic_bittorrent::source_network;
use siphasher::sip::SipHasher13;

/// Number of buckets that a source has.
pub const BUCKETS_PER_SOURCE: usize = 3;

/// Number of cache lines: a mebibyte in all. To use up the buckets of all sources with random
/// source addresses takes as many requests as a third of all buckets allow together: with 10
/// requests a second each, 874,000 a second.
const LINES: usize = 1 << 14;

const BUCKETS_PER_LINE: usize = 16;

/// Times are kept in ticks, modulo 2^32, which are almost five hours.
const TICKS_PER_MILLISECOND: u32 = 250;

/// How often the times of full buckets are advanced, before they seem to be in the future.
const REFRESH_MILLISECONDS: u32 = 3_600_000;

const TICKS_PER_SECOND: u32 = 1_000 * TICKS_PER_MILLISECOND;

/// Maximum number of requests per second of a [`Limit`], beyond which ticks would be too long
/// to tell them apart.
pub const MAX_PER_SECOND: u32 = 10_000;

/// Maximum number of seconds in which a [`Limit`] that was used up is restored.
pub const MAX_BURST_SECONDS: u32 = 600;

const MAX_CAPACITY: u32 = MAX_BURST_SECONDS * TICKS_PER_SECOND;

/// How many requests a source may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The time for one request.
    interval: u32,
    /// The time in which a bucket that is used up becomes full.
    capacity: u32,
}

impl Limit {
    /// So many requests per second in the long run, and, after silence, those of
    /// `burst_seconds` at once. Greater values than [`MAX_PER_SECOND`] and
    /// [`MAX_BURST_SECONDS`], and 0, are replaced by the nearest ones.
    pub fn new(per_second: u32, burst_seconds: u32) -> Self {
        let interval = TICKS_PER_SECOND / per_second.clamp(1, MAX_PER_SECOND);
        let seconds = burst_seconds.clamp(1, MAX_BURST_SECONDS);
        Self {
            interval,
            capacity: seconds * TICKS_PER_SECOND,
        }
    }
}

/// Applies limits to one kind of request; all workers share it.
pub struct Limiter {
    secret: [u8; 16],
    /// Made when there is a limit for the first time.
    buckets: OnceLock<Buckets>,
}

struct Buckets {
    lines: Box<[Line]>,
    /// When the times of full buckets were advanced, in milliseconds.
    refreshed_at: AtomicU32,
}

/// For each bucket, when it will be full: a time that has passed if it is, and at most the
/// capacity of a [`Limit`] ahead of now otherwise.
#[repr(align(64))]
struct Line([AtomicU32; BUCKETS_PER_LINE]);

impl Limiter {
    /// Nobody has made requests yet. `secret` comes from the system's random numbers.
    pub fn new(secret: [u8; 16]) -> Self {
        Self {
            secret,
            buckets: OnceLock::new(),
        }
    }

    /// Whether a request from `source` is within the limit; it then counts. The clock may
    /// have any offset, and is read in milliseconds modulo 2^32.
    ///
    /// When two workers count requests in the same bucket at the same moment, one of these
    /// may be lost: that is too rare to matter, and cheaper than to prevent it. Once per hour,
    /// a call takes a quarter of a millisecond longer.
    #[inline]
    pub fn allows(&self, limit: &Limit, source: IpAddr, now_milliseconds: u32) -> bool {
        let buckets = self.buckets.get_or_init(|| Buckets::new(now_milliseconds));
        buckets.refresh_if_due(now_milliseconds);
        let now = now_milliseconds.wrapping_mul(TICKS_PER_MILLISECOND);
        let (line, places) = buckets.places(self.hash(source));
        let own = places.map(|place| &line.0[place]);
        let used = own.map(|bucket| {
            let left = bucket.load(Relaxed).wrapping_sub(now);
            // Otherwise it was full some time ago. A limit may have been lowered since.
            if left <= MAX_CAPACITY {
                left.min(limit.capacity)
            } else {
                0
            }
        });
        let least = used.into_iter().min().unwrap_or(0);
        let wanted = least + limit.interval;
        if wanted > limit.capacity {
            return false;
        }
        for (bucket, used) in own.into_iter().zip(used) {
            if used < wanted {
                bucket.store(now.wrapping_add(wanted), Relaxed);
            }
        }
        true
    }

    #[inline]
    fn hash(&self, source: IpAddr) -> u64 {
        let hasher = SipHasher13::new_with_key(&self.secret);
        match source_network(source) {
            IpAddr::V4(address) => hasher.hash(&address.octets()),
            IpAddr::V6(address) => hasher.hash(&address.octets()),
        }
    }
}

impl Buckets {
    /// Full ones.
    #[cold]
    fn new(now_milliseconds: u32) -> Self {
        let now = now_milliseconds.wrapping_mul(TICKS_PER_MILLISECOND);
        let line = || Line(std::array::from_fn(|_| AtomicU32::new(now)));
        Self {
            lines: (0..LINES).map(|_| line()).collect(),
            refreshed_at: AtomicU32::new(now_milliseconds),
        }
    }

    #[inline]
    fn refresh_if_due(&self, now_milliseconds: u32) {
        let passed = now_milliseconds.wrapping_sub(self.refreshed_at.load(Relaxed));
        if passed >= REFRESH_MILLISECONDS {
            self.refresh(now_milliseconds);
        }
    }

    /// Advances the times of full buckets.
    #[cold]
    fn refresh(&self, now_milliseconds: u32) {
        // No other worker does the same.
        self.refreshed_at.store(now_milliseconds, Relaxed);
        let now = now_milliseconds.wrapping_mul(TICKS_PER_MILLISECOND);
        for bucket in self.lines.iter().flat_map(|line| &line.0) {
            if bucket.load(Relaxed).wrapping_sub(now) > MAX_CAPACITY {
                bucket.store(now, Relaxed);
            }
        }
    }

    /// The cache line of a source with this hash, and different buckets of it.
    #[inline]
    fn places(&self, hash: u64) -> (&Line, [usize; BUCKETS_PER_SOURCE]) {
        // The parts of the hash are evenly distributed numbers below the other factor.
        let part = |shift: u32, below: u64| ((((hash >> shift) & 0xffff) * below) >> 16) as usize;
        let first = part(0, 16);
        let second = part(16, 15);
        let third = part(32, 14);
        // Numbers from 1 to 15, which differ.
        let (second, third) = (second + 1, third + 1 + usize::from(third >= second));
        let line = &self.lines[(hash >> 48) as usize % LINES];
        (line, [first, first ^ second, first ^ third])
    }
}

#[cfg(test)]
mod tests;
