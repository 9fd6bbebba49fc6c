//! When deadlines of connections have to be checked: a timer wheel of coarse ticks.

use std::time::{Duration, Instant};

use crate::ConnectionId;

/// The precision of deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// Slots of the wheel, one per tick. A deadline more than 128 s ahead is checked earlier,
/// and again. A power of two.
const SLOTS: usize = 512;

/// Ticks over which the hand moves in one call: three days, so that it catches up after
/// any jump of the clock, and connections are served in between.
const TICKS_PER_CALL: usize = 1 << 20;

/// Capacity, in connections, that an empty slot of the wheel keeps.
const SPARE_ENTRIES: usize = 64;

/// A time in ticks since the wheel was made. It would take 34 years to wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    /// A tick that is never reached.
    pub(crate) const NEVER: Self = Self(u32::MAX);

    /// The first tick that begins no earlier than this span after any moment of this tick.
    /// It never wraps: times too far ahead are [`Self::NEVER`].
    pub(crate) fn after(self, wait: Ticks) -> Self {
        Self(self.0.saturating_add(wait.0).saturating_add(1))
    }
}

/// A span of time in ticks, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticks(u32);

impl Ticks {
    /// The shortest.
    pub(crate) const ONE: Self = Self(1);

    /// When a connection is first checked: after two seconds.
    pub(crate) const FIRST_CHECK: Self = Self(8);
}

impl From<Duration> for Ticks {
    fn from(time: Duration) -> Self {
        let ticks = time.as_millis().div_ceil(TICK.as_millis());
        Self(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

/// Which connections are to be checked at which tick.
///
/// Deadlines are stored with the connections, and can be postponed without a change here: if
/// the deadline has not passed at the check, the connection is put back.
pub(crate) struct Wheel {
    start: Instant,
    /// The current tick.
    current: Tick,
    /// The tick up to which all connections were returned.
    hand: Tick,
    slots: Box<[Vec<ConnectionId>; SLOTS]>,
}

impl Wheel {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            start: now,
            current: Tick(0),
            hand: Tick(0),
            slots: Box::new([const { Vec::new() }; SLOTS]),
        }
    }

    /// Sets the current time. Returns whether that is another tick.
    pub(crate) fn advance(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.start);
        let ticks = since.as_millis() / TICK.as_millis();
        let current = Tick(u32::try_from(ticks).unwrap_or(u32::MAX));
        let is_new = current != self.current;
        self.current = current;
        is_new
    }

    /// The current tick.
    pub(crate) fn current(&self) -> Tick {
        self.current
    }

    /// Puts a connection into the wheel, to be returned at this tick, or earlier if that is
    /// far ahead. Returns the tick.
    pub(crate) fn insert(&mut self, id: ConnectionId, due: Tick) -> Tick {
        let nearest = self.hand.0.saturating_add(1);
        let farthest = self.hand.0.saturating_add(SLOTS as u32 - 1);
        let tick = due.0.clamp(nearest, farthest);
        self.slots[tick as usize % SLOTS].push(id);
        Tick(tick)
    }

    /// The next connection to check, with the tick it was put at; `None` when nothing is
    /// due, or the hand has moved far enough for now.
    pub(crate) fn next(&mut self) -> Option<(ConnectionId, Tick)> {
        for _ in 0..TICKS_PER_CALL {
            if self.hand >= self.current {
                break;
            }
            let next = Tick(self.hand.0 + 1);
            let slot = &mut self.slots[next.0 as usize % SLOTS];
            if let Some(id) = slot.pop() {
                return Some((id, next));
            }
            // Frees memory after a burst of connections.
            slot.shrink_to(SPARE_ENTRIES);
            self.hand = next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::churn::Random;

    fn id(slot: u32) -> ConnectionId {
        ConnectionId {
            slot,
            generation: 0,
        }
    }

    #[test]
    fn connections_are_returned_when_they_are_due_and_not_before() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let soon = wheel.current().after(Duration::from_millis(251).into());
        assert_eq!(soon, Tick(3));
        assert_eq!(wheel.insert(id(1), soon), soon);
        let later = wheel.current().after(Duration::from_secs(10).into());
        assert_eq!(wheel.insert(id(2), later), later);
        assert_eq!(wheel.insert(id(3), later), later);

        wheel.advance(start + Duration::from_millis(749));
        assert_eq!(wheel.next(), None);
        wheel.advance(start + Duration::from_millis(750));
        assert_eq!(wheel.next(), Some((id(1), soon)));
        assert_eq!(wheel.next(), None);

        wheel.advance(start + Duration::from_secs(11));
        let mut both = [wheel.next(), wheel.next()];
        both.sort_by_key(|it| it.map(|(id, _)| id.slot));
        assert_eq!(both, [Some((id(2), later)), Some((id(3), later))]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn what_is_far_away_is_checked_in_between() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let due = wheel.current().after(Duration::from_secs(1_000).into());
        let first = wheel.insert(id(1), due);
        assert!(first < due);
        wheel.advance(start + Duration::from_secs(200));
        assert_eq!(wheel.next(), Some((id(1), first)));
        // A check may put a connection back, never before the hand.
        let second = wheel.insert(id(1), due);
        assert!(first < second);
        let again = wheel.insert(id(2), Tick(0));
        assert!(again > Tick(0));
    }

    #[test]
    fn each_is_returned_once_at_its_tick_however_long_it_goes_on() {
        let start = Instant::now();
        let mut now = start;
        let mut wheel = Wheel::new(start);
        let mut random = Random(1);
        // Which connections are to be returned when.
        let mut model: BTreeSet<(u32, u32)> = BTreeSet::new();
        let mut returned = 0_u64;
        for step in 0..400_000_u32 {
            // Up to 2,000 are in the wheel, near and far.
            if model.len() < 2_000 {
                let wait = [1, 3, 40, 511, 512, 700, 100_000][random.below(7)];
                let due = wheel.current().after(Ticks(random.below(wait) as u32));
                let put = wheel.insert(id(step), due);
                assert!(put <= due.max(Tick(wheel.hand.0 + 1)));
                model.insert((put.0, step));
            }
            if random.below(4) == 0 {
                now += TICK * random.below(3) as u32;
            }
            // The clock has jumped: by hours, or by days.
            if random.below(20_000) == 0 {
                now += Duration::from_secs([3_600, 864_000][random.below(2)]);
            }
            wheel.advance(now);
            // Now and then not all are checked.
            for _ in 0..random.below(50) {
                let Some((connection, tick)) = wheel.next() else {
                    break;
                };
                assert!(tick <= wheel.current());
                assert!(model.remove(&(tick.0, connection.slot)), "{connection:?}");
                assert!(model.first().is_none_or(|(first, _)| *first >= tick.0));
                returned += 1;
            }
        }
        while wheel.hand < wheel.current {
            while let Some((connection, tick)) = wheel.next() {
                assert!(model.remove(&(tick.0, connection.slot)));
            }
        }
        assert!(
            model
                .first()
                .is_none_or(|(first, _)| *first > wheel.current().0)
        );
        assert!(returned > 100_000, "{returned}");
    }

    #[test]
    fn times_that_are_far_away_do_not_wrap() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let never = wheel.current().after(Duration::MAX.into());
        assert_eq!(never, Tick::NEVER);
        // A century, which is beyond the range of ticks.
        wheel.advance(start + Duration::from_secs(100 * 365 * 86_400));
        assert_eq!(wheel.current(), Tick::NEVER);
        assert_eq!(wheel.current().after(Ticks::ONE), Tick::NEVER);
        // A time before the first tick counts as the first.
        let mut wheel = Wheel::new(start + Duration::from_secs(9));
        wheel.advance(start);
        assert_eq!(wheel.current(), Tick(0));
    }
}
