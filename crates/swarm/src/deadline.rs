//! When a peer is forgotten, in two bytes, and no comparison of times wraps
//! around.
//!
//! A run of peers has an [`Epoch`]: a second on the clock of announces, in 32
//! bits, which last for 136 years. Each peer has a [`Mark`]: the seconds from
//! the epoch to its end in 15 bits, and whether it has been a seeder in one. A
//! peer whose end is too far from the epoch moves the epoch on, for all of the
//! run; ends that lie before the new epoch are set to it. They have come
//! already, so a peer that is to be forgotten stays so, whatever the clock does
//! and however seldom anybody looks.

/// The longest that a peer may be kept after an announce: 8 hours.
pub const MAX_LIFETIME_SECONDS: u16 = 28_800;

/// The most seconds from an epoch to the end of a peer.
const SPAN_SECONDS: u32 = (1 << 15) - 1;

/// The bit of a mark that says that the peer has been a seeder.
const HAS_SEEDED: u16 = 1 << 15;

/// What is known of a peer besides its record and its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    /// The second at which it is to be forgotten.
    pub(crate) until: u32,
    /// Whether it is a seeder or has been one, so that it has had its download.
    pub(crate) has_seeded: bool,
}

/// A term as it is stored, without alignment.
pub(crate) type Mark = [u8; 2];

/// The second from which the marks of a run count. It never lies in the future,
/// but for what the clocks of two workers differ by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch([u8; 4]);

impl Term {
    /// A term that begins now and lasts `lifetime` seconds, at most
    /// [`MAX_LIFETIME_SECONDS`].
    #[inline]
    pub(crate) fn new(now: u32, lifetime: u16, has_seeded: bool) -> Self {
        Self {
            until: now.saturating_add(lifetime.min(MAX_LIFETIME_SECONDS).into()),
            has_seeded,
        }
    }

    /// Whether the end has come.
    pub(crate) fn is_past(self, now: u32) -> bool {
        self.until <= now
    }

    /// Seconds left until the end, none if it has come.
    pub(crate) fn remaining(self, now: u32) -> u16 {
        let seconds = self.until.saturating_sub(now);
        seconds.min(MAX_LIFETIME_SECONDS.into()) as u16
    }
}

impl Epoch {
    pub(crate) const START: Self = Self([0; 4]);

    /// What a mark of the run says.
    #[inline]
    pub(crate) fn term(self, mark: Mark) -> Term {
        let mark = u16::from_ne_bytes(mark);
        Term {
            // An epoch is at most the end of a term, less its lifetime; and
            // ends stay below 2^32.
            until: self.second().saturating_add(u32::from(mark & !HAS_SEEDED)),
            has_seeded: mark & HAS_SEEDED != 0,
        }
    }

    /// The mark of a term in the run, whose marks are `marks`: the epoch is
    /// moved on for it if it must be.
    #[inline]
    pub(crate) fn mark(&mut self, term: Term, marks: &mut [Mark]) -> Mark {
        let mut seconds = term.until.saturating_sub(self.second());
        if seconds > SPAN_SECONDS {
            self.move_on(term.until, marks);
            seconds = term.until.saturating_sub(self.second());
        }
        let flag = if term.has_seeded { HAS_SEEDED } else { 0 };
        // Cut to 15 bits, and it is not more.
        (seconds as u16 | flag).to_ne_bytes()
    }

    /// Moves the epoch to the earliest that `now` can be when a term ends at
    /// `until`. Every term that has not come to its end keeps it.
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
                // From a second to 100 days, each length as likely as each other.
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
