//! How a month passes, which is the same for all trackers.

use aquatic_swarm::Swarms;

use crate::calendar::{Calendar, DAY};
use crate::life::{self, CLEANING_INTERVAL, Event, List, PeriodicTasks};
use crate::memory::{self, counted};
use crate::plan::Plan;
use crate::universe;

/// Bytes that an idle tracker may have allocated beyond what an unused one has:
/// for the downloads of torrents that have no peers.
const MAX_IDLE_BYTES: isize = 16 << 20;

/// Seconds after a reload until nobody knows what has become forbidden.
const SECONDS_OF_HURRY: u64 = 10;

/// What every tracker has around it.
pub struct World {
    /// The time.
    pub calendar: Calendar,
    /// What happens by chance.
    pub random: fastrand::Rng,
    /// What is forbidden.
    pub list: List,
    periodic_tasks: PeriodicTasks,
}

/// A tracker that goes through a month, with its clients and their model.
pub trait Tracker {
    /// What is around it.
    fn world(&mut self) -> &mut World;

    /// What it stores.
    fn swarms(&self) -> &impl Swarms;

    /// Clients do what they do in a second.
    fn serve(&mut self, is_crowded: bool);

    /// It does what it does in a second by itself, the
    /// [housekeeping](World::keep_house) included.
    fn work(&mut self);

    /// The access list was replaced, so the model forgets forbidden torrents.
    fn forget_forbidden(&mut self);

    /// It is stopped, and started again after `away` seconds.
    fn restart(&mut self, away: u64);

    /// Everything is compared with the model.
    fn compare(&mut self);

    /// All clients leave; returns for how many seconds they may still be known.
    fn leave(&mut self) -> u64;
}

impl World {
    /// As a month begins.
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

    /// Does what of the housekeeping is due.
    pub fn keep_house(&mut self, swarms: &impl Swarms) {
        counted(|| {
            self.periodic_tasks
                .run(&self.calendar, swarms, &self.list.handle);
        });
    }

    /// The housekeeping begins anew, as after a start.
    pub fn start_periodic_tasks(&mut self) {
        self.periodic_tasks = PeriodicTasks::new(&self.calendar);
    }
}

/// Has a tracker, which nobody has used yet, go through a month, until all that have
/// used it are forgotten.
///
/// # Panics
/// When it differs from its model, keeps anybody, or needs more and more memory.
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

/// What happens at this second beside requests.
fn happen(tracker: &mut impl Tracker) -> Event {
    let World {
        calendar, random, ..
    } = tracker.world();
    let event = life::event(calendar.seconds(), random);
    if !matches!(event, Event::Nothing | Event::Compare) {
        // Seen when the run fails.
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

/// So many seconds pass in which no client says anything.
fn work_for(tracker: &mut impl Tracker, seconds: u64) {
    for _ in 0..seconds {
        tracker.world().calendar.pass();
        tracker.work();
    }
}
