//! The lifecycle of a daemon in simulated time: random signals, files that are read
//! slowly or never, disks that fail or hang, workers that fail or do not end.

use std::collections::BTreeMap;

use super::super::rounds::MAX_GIVEN_UP;
use super::*;
use crate::reload::PATIENCE;

const SECOND: Duration = Duration::from_secs(1);

/// The first snapshot, and its success.
const FIRST: Order = Order::Snapshot { ticket: 1 };
const WRITTEN: Happening = Happening::SnapshotEnded {
    ticket: 1,
    result: Ok(()),
};

fn course(now: Instant) -> Course {
    Course::new(Some(300 * SECOND), now)
}

fn is_end(orders: &[Order]) -> Option<&End> {
    orders.iter().find_map(|order| match order {
        Order::End(end) => Some(end),
        _ => None,
    })
}

#[test]
fn two_signals_at_once_are_one() {
    let start = Instant::now();
    let mut course = course(start);
    assert_eq!(course.step(start, Happening::Stop), [Order::Drain]);
    let soon = start + Duration::from_millis(1_999);
    assert_eq!(course.step(soon, Happening::Stop), []);
    assert_eq!(course.step(soon, Happening::WorkersGone), [FIRST]);
    assert_eq!(course.step(soon, Happening::Stop), []);
    let orders = course.step(soon, WRITTEN);
    let good = End {
        failure: None,
        is_late: false,
        unsaved: None,
    };
    assert_eq!(orders, [Order::End(good)]);
    assert_eq!(course.step(soon + SECOND, Happening::Stop), []);
}

#[test]
fn a_later_signal_ends_at_once() {
    let start = Instant::now();
    let mut course = course(start);
    course.step(start, Happening::Stop);
    let orders = course.step(start + REPEATS_WITHIN, Happening::Stop);
    let unsaved = is_end(&orders).unwrap().unsaved.as_ref().unwrap();
    assert!(unsaved.contains("second signal"), "{unsaved}");
}

#[test]
fn the_first_signal_after_a_failure_is_no_second_one() {
    let start = Instant::now();
    let mut course = course(start);
    let failed = Happening::WorkerFailed("x".to_owned());
    assert_eq!(course.step(start, failed), [Order::Drain]);
    assert_eq!(course.step(start + 5 * SECOND, Happening::Stop), []);
    let orders = course.step(start + DRAIN_PATIENCE, Happening::Time);
    assert_eq!(
        orders,
        [FIRST],
        "late workers do not keep it from being saved"
    );
    let failed = Happening::SnapshotEnded {
        ticket: 1,
        result: Err("full".to_owned()),
    };
    let orders = course.step(start + DRAIN_PATIENCE, failed);
    let end = is_end(&orders).unwrap();
    assert_eq!(end.failure.as_deref(), Some("x"));
    assert!(end.is_late && end.unsaved.as_ref().unwrap().ends_with("full"));
}

#[test]
fn the_last_snapshot_is_begun_when_the_workers_are_gone() {
    let start = Instant::now();
    let mut course = course(start);
    let due = start + 300 * SECOND;
    assert_eq!(course.step(due, Happening::Time), [FIRST]);
    course.step(due, Happening::Stop);
    assert_eq!(course.step(due, Happening::WorkersGone), []);
    // The snapshot that was under way does not count as the last one.
    let orders = course.step(due + SECOND, WRITTEN);
    assert_eq!(orders, [Order::Snapshot { ticket: 2 }]);
    let orders = course.step(due + SNAPSHOT_PATIENCE, Happening::Time);
    assert!(is_end(&orders).unwrap().unsaved.is_some());
}

#[test]
fn a_snapshot_to_an_earlier_file_is_not_waited_for() {
    let start = Instant::now();
    let mut course = course(start);
    let due = start + 300 * SECOND;
    assert_eq!(course.step(due, Happening::Time), [FIRST]);
    let next = due + 300 * SECOND;
    assert_eq!(course.step(next, Happening::Time), [], "it hangs");
    course.replace_running_snapshot(None);
    assert!(!course.is_snapshot_awaited(1));
    let second = Order::Snapshot { ticket: 2 };
    assert_eq!(course.step(next, Happening::Time), [second]);
    assert_eq!(course.step(next, WRITTEN), []);
    assert!(course.is_snapshot_awaited(2), "it is still being written");

    // The last snapshot is written to the file in the settings, too.
    course.replace_running_snapshot(None);
    course.step(next, Happening::Stop);
    let third = Order::Snapshot { ticket: 3 };
    assert_eq!(course.step(next, Happening::WorkersGone), [third]);
    let second = Happening::SnapshotEnded {
        ticket: 2,
        result: Ok(()),
    };
    assert_eq!(course.step(next, second), []);
    let third = Happening::SnapshotEnded {
        ticket: 3,
        result: Ok(()),
    };
    assert!(is_end(&course.step(next, third)).is_some());
}

#[test]
fn a_snapshot_is_waited_for_when_its_file_is_back() {
    let start = Instant::now();
    let mut course = course(start);
    let due = start + 300 * SECOND;
    assert_eq!(course.step(due, Happening::Time), [FIRST]);
    course.replace_running_snapshot(None);
    course.replace_running_snapshot(Some(1));
    let next = due + 300 * SECOND;
    assert_eq!(course.step(next, Happening::Time), []);
    let second = Order::Snapshot { ticket: 2 };
    assert_eq!(course.step(next, WRITTEN), [second]);
}

#[test]
fn signals_during_a_reload_are_one_reload_more() {
    let start = Instant::now();
    let mut course = course(start);
    let read = |ticket| Order::Reload(Step::Read { ticket });
    let begin = || Order::Reload(Step::Begin);
    let orders = course.step(start, Happening::Reload);
    assert_eq!(orders, [begin(), read(1)]);
    for _ in 0..5 {
        assert_eq!(course.step(start, Happening::Reload), []);
    }
    let done = Happening::Read { ticket: 1 };
    let orders = course.step(start, done);
    assert_eq!(orders, [Order::Reload(Step::Done), begin(), read(2)]);
    let done = Happening::Read { ticket: 2 };
    assert_eq!(course.step(start, done), [Order::Reload(Step::Done)]);
}

#[test]
fn what_hangs_is_given_up_and_not_tried_for_ever() {
    let mut now = Instant::now();
    let mut course = course(now);
    for ticket in 1..=MAX_GIVEN_UP as u64 {
        course.step(now, Happening::Reload);
        assert!(course.is_awaited(ticket));
        now += PATIENCE;
        let orders = course.step(now, Happening::Time);
        let late = [Step::TooLate, Step::Done].map(Order::Reload);
        assert!(orders.starts_with(&late), "{orders:?}");
        assert!(!course.is_awaited(ticket), "what comes now comes too late");
    }
    let orders = course.step(now, Happening::Reload);
    let refused = [Step::Begin, Step::Refuse, Step::Done].map(Order::Reload);
    assert_eq!(orders, refused);
    course.step(now, Happening::Read { ticket: 1 });
    let orders = course.step(now, Happening::Reload);
    assert!(matches!(orders[1], Order::Reload(Step::Read { .. })));
}

/// Simulates the threads, and checks what must be true of the orders.
struct World {
    random: u64,
    now: Instant,
    course: Course,
    /// Reads under way: when they end, if ever.
    reads: BTreeMap<u64, Option<Instant>>,
    /// The snapshot file in the settings.
    file: u64,
    /// Snapshots under way: their files, and when they end, if ever.
    snapshots: BTreeMap<u64, (u64, Option<Instant>)>,
    workers_end: Option<Instant>,
    in_reload_since: Option<Instant>,
    asked_to_reload: bool,
    drained_at: Option<Instant>,
    snapshots_since_drain: u32,
    end: Option<End>,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let interval = (!seed.is_multiple_of(5)).then_some(300 * SECOND);
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now,
            course: Course::new(interval, now),
            reads: BTreeMap::new(),
            file: 0,
            snapshots: BTreeMap::new(),
            workers_end: None,
            in_reload_since: None,
            asked_to_reload: false,
            drained_at: None,
            snapshots_since_drain: 0,
            end: None,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    /// How long something takes: a short or a long time; `None` if it never ends.
    fn duration(&mut self) -> Option<Duration> {
        match self.below(10) {
            0 => None,
            1 | 2 => Some(SECOND * self.below(200) as u32),
            _ => Some(Duration::from_millis(self.below(1_500))),
        }
    }

    fn tell(&mut self, happening: Happening) {
        let orders = self.course.step(self.now, happening);
        for order in orders {
            assert!(self.end.is_none(), "nothing comes after the end");
            self.obey(order);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Reload(Step::Begin) => {
                assert!(self.in_reload_since.is_none(), "one reload at a time");
                self.in_reload_since = Some(self.now);
                self.asked_to_reload = false;
            }
            Order::Reload(Step::Read { ticket }) => {
                assert!(self.reads.len() <= MAX_GIVEN_UP);
                let end = self.duration().map(|duration| self.now + duration);
                assert!(self.reads.insert(ticket, end).is_none());
            }
            Order::Reload(Step::TooLate | Step::Refuse) => {
                assert!(self.in_reload_since.is_some());
            }
            Order::Reload(Step::Done) => {
                let since = self.in_reload_since.take().expect("a reload was begun");
                assert!(self.now.duration_since(since) <= PATIENCE + SECOND);
            }
            Order::Snapshot { ticket } => {
                let mut files = self.snapshots.values().map(|(file, _)| *file);
                assert!(files.all(|file| file != self.file), "one at a time");
                if self.drained_at.is_some() {
                    self.snapshots_since_drain += 1;
                }
                let end = self.duration().map(|duration| self.now + duration);
                let replaced = self.snapshots.insert(ticket, (self.file, end));
                assert!(replaced.is_none());
            }
            Order::Drain => {
                assert!(self.drained_at.is_none());
                self.drained_at = Some(self.now);
                let end = self.duration();
                self.workers_end = end.map(|duration| self.now + duration);
            }
            Order::End(end) => self.end = Some(end),
        }
    }

    /// Advances the time to the next event, or by a random pause that is shorter.
    fn advance(&mut self) {
        let pause = match self.below(3) {
            0 => Duration::from_millis(self.below(3_000)),
            1 => SECOND * self.below(100) as u32,
            _ => Duration::ZERO,
        };
        let reads = self.reads.values().filter_map(|end| *end);
        let next = reads
            .chain(self.snapshots.values().filter_map(|(_, end)| *end))
            .chain(self.workers_end)
            .chain(self.course.next())
            .min();
        let target = self.now + pause;
        self.now = next.map_or(target, |next| next.max(self.now).min(target));

        let is_over = |end: &Option<Instant>| end.is_some_and(|end| end <= self.now);
        let read = self.reads.iter().find(|(_, end)| is_over(end));
        let snapshot = self.snapshots.iter().find(|(_, (_, end))| is_over(end));
        if let Some((&ticket, _)) = read {
            self.reads.remove(&ticket);
            if self.course.is_awaited(ticket) && self.below(4) == 0 {
                let interval = (self.below(3) > 0).then(|| SECOND * (1 + self.below(900)) as u32);
                self.course.set_snapshot_interval(interval, self.now);
                self.file = self.below(3);
                let mut snapshots = self.snapshots.iter();
                let running = snapshots.find(|(_, (file, _))| *file == self.file);
                self.course
                    .replace_running_snapshot(running.map(|(&ticket, _)| ticket));
            }
            self.tell(Happening::Read { ticket });
        } else if let Some((&ticket, _)) = snapshot {
            self.snapshots.remove(&ticket);
            let failed = self.below(4) == 0;
            let result = if failed {
                Err("full".to_owned())
            } else {
                Ok(())
            };
            self.tell(Happening::SnapshotEnded { ticket, result });
        } else if is_over(&self.workers_end) {
            self.workers_end = None;
            self.tell(Happening::WorkersGone);
        } else {
            self.tell(Happening::Time);
        }
    }

    fn signal(&mut self) {
        match self.below(60) {
            0 => self.tell(Happening::Stop),
            1 => self.tell(Happening::WorkerFailed("x".to_owned())),
            2..=12 => {
                self.asked_to_reload |= self.course.is_serving();
                self.tell(Happening::Reload);
            }
            _ => (),
        }
    }
}

#[test]
fn every_life_comes_to_its_end_in_time() {
    for seed in 0..3_000 {
        let mut world = World::new(seed);
        let mut steps = 0;
        while world.end.is_none() {
            steps += 1;
            if steps < 400 {
                world.signal();
            } else if steps == 400 {
                world.tell(Happening::Stop);
            }
            if world.end.is_none() {
                world.advance();
            }
            assert!(steps < 5_000, "seed {seed} goes on and on");
            // A requested reload happens now or after the current one.
            assert!(
                !world.asked_to_reload
                    || world.in_reload_since.is_some()
                    || !world.course.is_serving(),
                "seed {seed} forgot a reload"
            );
            if let Some(drained_at) = world.drained_at {
                let longest = DRAIN_PATIENCE + SNAPSHOT_PATIENCE + SECOND;
                assert!(
                    world.now.duration_since(drained_at) <= longest,
                    "seed {seed}"
                );
            }
        }
        let end = world.end.unwrap();
        let saves = world.course.snapshot_interval.is_some();
        if saves && end.unsaved.is_none() {
            assert_eq!(world.snapshots_since_drain, 1, "seed {seed}");
        }
        if !saves {
            assert_eq!(world.snapshots_since_drain, 0, "seed {seed}");
        }
    }
}
