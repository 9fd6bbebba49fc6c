//! Expiry times of peers in two bytes, without comparisons of times that wrap around.
//!
//! An array of peers has an [`Epoch`]: a second on the clock of announces, in 32 bits,
//! which are enough for 136 years. Each peer has a [`Mark`]: 15 bits for the seconds from
//! the epoch until it expires, and one bit for whether it has been a seeder. If a peer's
//! expiry time is too far from the epoch, the epoch of the array is advanced; expiry times
//! before the new epoch are set to it. These peers have expired already, so an expired peer
//! stays expired, whatever the clock does and however rarely anything checks.

/// Maximum time for which a peer is kept after an announce: 8 hours.
pub const MAX_LIFETIME_SECONDS: u16 = 28_800;

/// Maximum time in seconds from an epoch to the expiry of a peer.
const SPAN_SECONDS: u32 = (1 << 15) - 1;

/// The bit of a mark that says that the peer has been a seeder.
const HAS_SEEDED: u16 = 1 << 15;

/// Expiry time of a peer, and whether it has been a seeder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    /// The second at which it expires.
    pub(crate) until: u32,
    /// Whether it is or has been a seeder, so that its download has been counted.
    pub(crate) has_seeded: bool,
}

/// A term in its stored form, without alignment.
pub(crate) type Mark = [u8; 2];

/// The second from which the marks of an array count. It is never in the future, except by
/// the difference between the clocks of two workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch([u8; 4]);

impl Term {
    /// A term that starts now and lasts `lifetime` seconds, at most
    /// [`MAX_LIFETIME_SECONDS`].
    #[inline]
    pub(crate) fn new(now: u32, lifetime: u16, has_seeded: bool) -> Self {
        Self {
            until: now.saturating_add(lifetime.min(MAX_LIFETIME_SECONDS).into()),
            has_seeded,
        }
    }

    /// Whether it has expired.
    pub(crate) fn is_past(self, now: u32) -> bool {
        self.until <= now
    }

    /// Remaining seconds; 0 if it has expired.
    pub(crate) fn remaining(self, now: u32) -> u16 {
        let seconds = self.until.saturating_sub(now);
        seconds.min(MAX_LIFETIME_SECONDS.into()) as u16
    }
}

impl Epoch {
    pub(crate) const START: Self = Self([0; 4]);

    /// Decodes a mark of the array.
    #[inline]
    pub(crate) fn term(self, mark: Mark) -> Term {
        let mark = u16::from_ne_bytes(mark);
        Term {
            // This cannot overflow: an epoch is at most a term's expiry time less its
            // lifetime, and expiry times are below 2^32.
            until: self.second().saturating_add(u32::from(mark & !HAS_SEEDED)),
            has_seeded: mark & HAS_SEEDED != 0,
        }
    }

    /// Encodes a term for the array, whose other marks are `marks`: advances the epoch if
    /// necessary.
    #[inline]
    pub(crate) fn mark(&mut self, term: Term, marks: &mut [Mark]) -> Mark {
        let mut seconds = term.until.saturating_sub(self.second());
        if seconds > SPAN_SECONDS {
            self.move_on(term.until, marks);
            seconds = term.until.saturating_sub(self.second());
        }
        let flag = if term.has_seeded { HAS_SEEDED } else { 0 };
        // It fits into 15 bits.
        (seconds as u16 | flag).to_ne_bytes()
    }

    /// Advances the epoch to the earliest possible `now` of a term that expires at `until`.
    /// Terms that have not expired keep their expiry times.
    #[cold]
    fn move_on(&mut self, until: u32, marks: &mut [Mark]) {
        let second = until.saturating_sub(MAX_LIFETIME_SECONDS.into());
        let step = second.saturating_sub(self.second());
        let step = u16::try_from(step).unwrap_or(u16::MAX);
        for mark in marks {
            let old = u16::from_ne_bytes(*mark);
            let seconds = (old & !HAS_SEEDED).saturating_sub(step);
            *mark = (seconds | old & HAS_SEEDED).to_ne_bytes();
        }
        *self = Self(second.to_ne_bytes());
    }

    #[inline]
    fn second(self) -> u32 {
        u32::from_ne_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_come_when_they_are_due() {
        for now in [0, 40_000, 65_536, 1 << 31, u32::MAX - 28_800] {
            for lifetime in [1, 1_200, MAX_LIFETIME_SECONDS] {
                let mut epoch = Epoch::START;
                let term = Term::new(now, lifetime, false);
                let mark = epoch.mark(term, &mut []);
                assert_eq!(epoch.term(mark), term);
                assert_eq!(term.remaining(now), lifetime);
                assert!(!term.is_past(now));

                let last = now + u32::from(lifetime);
                assert!(!term.is_past(last - 1));
                assert!(term.is_past(last));
                assert!(term.is_past(u32::MAX));
                assert_eq!(term.remaining(last), 0);
            }
        }
    }

    #[test]
    fn lifetimes_are_cut_to_the_longest() {
        let term = Term::new(7, u16::MAX, true);
        assert_eq!(term.remaining(7), MAX_LIFETIME_SECONDS);
    }

    #[test]
    fn no_end_is_changed_by_jumps_of_any_length() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let mut now = random.u32(0..100_000);
            let mut epoch = Epoch::START;
            let mut marks = [[0; 2]; 6];
            let mut terms = [Term::new(0, 0, false); 6];
            for step in 0..60 {
                // From a second to 100 days, with all orders of magnitude equally likely.
                now += 1 << random.u32(0..24);
                let lifetime = random.u16(1..=MAX_LIFETIME_SECONDS);
                let term = Term::new(now, lifetime, random.bool());
                let place = random.usize(0..marks.len());
                let mark = epoch.mark(term, &mut marks);
                (terms[place], marks[place]) = (term, mark);
                for (term, mark) in terms.iter().zip(marks) {
                    let stored = epoch.term(mark);
                    assert_eq!(stored.is_past(now), term.is_past(now), "step {step}");
                    assert_eq!(stored.remaining(now), term.remaining(now));
                    assert_eq!(stored.has_seeded, term.has_seeded);
                }
            }
        }
    }
}
