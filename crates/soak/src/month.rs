//! The course of a month, which is the same for all trackers.

use aquatic_swarm::Swarms;

use crate::calendar::{Calendar, DAY};
use crate::life::{self, CLEANING_INTERVAL, Event, List, PeriodicTasks};
use crate::memory::{self, counted};
use crate::plan::Plan;
use crate::universe;

/// Bytes that an idle tracker may have allocated in addition to those of an unused one:
/// for the download counts of torrents without peers.
const MAX_IDLE_BYTES: isize = 16 << 20;

/// Seconds after a reload in which forbidden torrents are removed.
const SECONDS_OF_HURRY: u64 = 10;

/// The environment of a tracker.
pub struct World {
    /// The simulated time.
    pub calendar: Calendar,
    /// The random numbers.
    pub random: fastrand::Rng,
    /// The access list.
    pub list: List,
    periodic_tasks: PeriodicTasks,
}

/// A tracker, with its clients and their model.
pub trait Tracker {
    /// The environment.
    fn world(&mut self) -> &mut World;

    /// Its swarms.
    fn swarms(&self) -> &impl Swarms;

    /// The clients send the requests of a second.
    fn serve(&mut self, is_crowded: bool);

    /// The tracker does its own work of a second, including
    /// [housekeeping](World::keep_house).
    fn work(&mut self);

    /// The access list was replaced: forbidden torrents are removed from the model.
    fn forget_forbidden(&mut self);

    /// The tracker is stopped, and started again after `away` seconds.
    fn restart(&mut self, away: u64);

    /// Everything is compared with the model.
    fn compare(&mut self);

    /// All clients disconnect; returns for how many seconds they may still be stored.
    fn leave(&mut self) -> u64;
}

impl World {
    /// The environment at the beginning of a month.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let calendar = Calendar::new();
        Self {
            periodic_tasks: PeriodicTasks::new(&calendar),
            random: plan.random(0),
            list: List::new(),
            calendar,
        }
    }

    /// Does the part of the housekeeping that is due.
    pub fn keep_house(&mut self, swarms: &impl Swarms) {
        counted(|| {
            self.periodic_tasks
                .run(&self.calendar, swarms, &self.list.lists.access_list);
        });
    }

    /// The housekeeping starts again, as after a start of the daemon.
    pub fn start_periodic_tasks(&mut self) {
        self.periodic_tasks = PeriodicTasks::new(&self.calendar);
    }
}

/// Runs an unused tracker for a month, and then until it has removed all peers.
///
/// # Panics
/// If it differs from its model, keeps a peer, or its memory grows.
pub fn pass(tracker: &mut impl Tracker, plan: &Plan) {
    let unused = memory::bytes();
    let mut days = memory::Days::default();
    while tracker.world().calendar.seconds() < plan.seconds() {
        tracker.world().calendar.pass();
        if happen(tracker) == Event::Compare {
            days.note(tracker.world().calendar.seconds() / DAY);
        }
        let is_crowded = universe::is_crowded(tracker.world().calendar.seconds());
        tracker.serve(is_crowded);
        tracker.work();
    }
    days.assert_steady();

    let seconds = tracker.leave() + 4 * CLEANING_INTERVAL;
    work_for(tracker, seconds);
    tracker.compare();
    assert_eq!(tracker.swarms().usage().live(), 0);
    let idle = memory::bytes() - unused;
    assert!(idle <= MAX_IDLE_BYTES, "{idle} bytes are kept");
    println!("memory: {days}");
}

/// The event at this second.
fn happen(tracker: &mut impl Tracker) -> Event {
    let World {
        calendar, random, ..
    } = tracker.world();
    let event = life::event(calendar.seconds(), random);
    if !matches!(event, Event::Nothing | Event::Compare) {
        // Printed when the run fails.
        println!("at {} s: {event:?}", calendar.seconds());
    }
    match event {
        Event::Nothing => (),
        Event::Suspend(seconds) => calendar.leap(seconds),
        Event::Restart(seconds) => tracker.restart(seconds),
        Event::Reload => {
            let World {
                calendar,
                list,
                periodic_tasks,
                ..
            } = tracker.world();
            list.reload(calendar.seconds());
            periodic_tasks.hurry();
            tracker.forget_forbidden();
            work_for(tracker, SECONDS_OF_HURRY);
        }
        Event::Compare => tracker.compare(),
    }
    event
}

/// A number of seconds pass without requests.
fn work_for(tracker: &mut impl Tracker, seconds: u64) {
    for _ in 0..seconds {
        tracker.world().calendar.pass();
        tracker.work();
    }
}
