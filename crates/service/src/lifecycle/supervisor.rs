//! The main thread while the daemon serves: signals, housekeeping, watchdog,
//! snapshots, and the end.
//!
//! [`Course`] decides what to do next, and this module does it. Nothing here waits for
//! a file, a disk or a reader of the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use super::Daemon;
use crate::access_list;
use crate::config::ProcessSettings;
use crate::metrics::process::Process;
use crate::notify::Notifier;
use crate::reload::{PATIENCE, Reload};
use crate::signals::Signal;
use crate::workers::{End as WorkerEnd, HEARTBEAT_INTERVAL, Workers};

mod course;
mod events;
mod reading;
mod rounds;
mod snapshots;
mod watchdog;

use course::{Course, End, Happening, Order};
use events::Content;
pub(super) use events::{Event, channel};
use reading::Item;
use rounds::{MAX_GIVEN_UP, Step};
use watchdog::Watchdog;

/// Maximum interval between two checks of the workers.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Interval at which a changed status line is sent.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Minimum interval between two ticks of the daemon.
const MIN_TICK: Duration = Duration::from_millis(1);

/// Interval at which workers that have ended are joined: short, because there is no
/// event for the very end of a thread.
const JOIN_INTERVAL: Duration = Duration::from_millis(20);

/// What a supervisor is made of.
pub(super) struct SupervisorParts<'a, D> {
    pub(super) daemon: Arc<D>,
    pub(super) settings: ProcessSettings,
    pub(super) access_list: Arc<access_list::Handle>,
    pub(super) reloads: Vec<Arc<dyn Reload>>,
    pub(super) process: Arc<Process>,
    pub(super) workers: Workers,
    pub(super) sender: SyncSender<Event>,
    pub(super) events: Receiver<Event>,
    pub(super) notifier: &'a mut Notifier,
    pub(super) watchdog_limit: Option<Duration>,
}

/// The main thread of a daemon that serves.
pub(super) struct Supervisor<'a, D> {
    daemon: Arc<D>,
    access_list: Arc<access_list::Handle>,
    /// What a reload reads.
    items: Vec<Item>,
    process: Arc<Process>,
    workers: Workers,
    sender: SyncSender<Event>,
    events: Receiver<Event>,
    notifier: &'a mut Notifier,
    watchdog: Option<Watchdog>,
    course: Course,
    snapshot_path: Option<PathBuf>,
    /// Failures of the current reload.
    failures: Vec<String>,
    /// The failure of the last reload, if it failed.
    failed_reload: Option<String>,
    /// Names of workers that were reported as stuck.
    reported_stuck: Vec<String>,
    next_tick: Instant,
    next_check: Instant,
    next_status: Instant,
}

impl<'a, D: Daemon> Supervisor<'a, D> {
    pub(super) fn new(parts: SupervisorParts<'a, D>) -> Self {
        let now = Instant::now();
        let mut items = Vec::new();
        if !parts.access_list.is_off() {
            items.push(Item::List(parts.settings.access_list));
        }
        items.extend(parts.reloads.into_iter().map(Item::Other));
        let interval = parts.settings.snapshot.as_ref().map(|one| one.interval);
        Self {
            daemon: parts.daemon,
            access_list: parts.access_list,
            course: Course::new(items.len(), interval, now),
            items,
            process: parts.process,
            workers: parts.workers,
            sender: parts.sender,
            events: parts.events,
            notifier: parts.notifier,
            watchdog: parts.watchdog_limit.map(|limit| Watchdog::new(limit, now)),
            snapshot_path: parts.settings.snapshot.map(|one| one.path),
            failures: Vec::new(),
            failed_reload: None,
            reported_stuck: Vec::new(),
            next_tick: now,
            next_check: now,
            next_status: now + STATUS_INTERVAL,
        }
    }

    /// Serves until a signal asks for the end or a worker fails.
    ///
    /// # Errors
    ///
    /// Why the process should exit with a failure.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let status = self.status();
        self.notifier.ready(&status);
        let end = loop {
            self.work(Instant::now());
            let happening = self.wait();
            if let Some(end) = self.advance(happening) {
                break end;
            }
        };
        // Freeing a large swarm entry by entry would only delay the exit.
        std::mem::forget(self.daemon);
        conclude(end, &self.workers.join_ended())
    }

    /// Passes an event to the course, and carries out its orders.
    fn advance(&mut self, happening: Happening) -> Option<End> {
        let mut orders = self.course.step(Instant::now(), happening);
        // What cannot be started counts as ended, which can lead to further orders: once
        // per thread, so this terminates.
        while !orders.is_empty() {
            let mut further = Vec::new();
            for order in orders {
                match order {
                    Order::Reload(step) => further.extend(self.reload(step)),
                    Order::Snapshot => further.extend(self.snapshot()),
                    Order::Drain => {
                        self.notifier.stopping();
                        self.workers.stop();
                    }
                    Order::End(end) => return Some(end),
                }
            }
            orders = Vec::new();
            for happening in further {
                orders.extend(self.course.step(Instant::now(), happening));
            }
        }
        None
    }

    /// Does what is due.
    fn work(&mut self, now: Instant) {
        if !self.course.is_serving() {
            // Every wait of the shutdown has a deadline, so the watchdog is notified
            // unconditionally.
            if let Some(watchdog) = &mut self.watchdog
                && watchdog.is_due(now)
            {
                self.notifier.watchdog();
            }
            return;
        }
        if now >= self.next_tick {
            let wait = self.daemon.tick(now).clamp(MIN_TICK, HEARTBEAT_INTERVAL);
            self.next_tick = Instant::now() + wait;
        }
        if now >= self.next_check {
            self.next_check = now + CHECK_INTERVAL;
            self.check_workers(now);
        }
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.is_due(now)
            && self.workers.all_beat()
        {
            self.notifier.watchdog();
        }
        if now >= self.next_status {
            self.next_status = now + STATUS_INTERVAL;
            let status = self.status();
            self.notifier.status(&status);
        }
    }

    /// Waits for an event, or until something is due.
    fn wait(&mut self) -> Happening {
        let now = Instant::now();
        if self.course.is_draining() && self.workers.join_ended().is_empty() {
            return Happening::WorkersGone;
        }
        let own = if self.course.is_serving() {
            self.next_tick.min(self.next_check)
        } else {
            now + JOIN_INTERVAL
        };
        let watchdog = self.watchdog.as_ref().map(Watchdog::next);
        let others = watchdog.into_iter().chain(self.course.next());
        let next = others.fold(own, Instant::min);
        // The supervisor holds a sender itself, so an error is always a timeout.
        match self
            .events
            .recv_timeout(next.saturating_duration_since(now))
        {
            Ok(event) => self.happening(event),
            Err(_) => Happening::Time,
        }
    }

    fn happening(&mut self, event: Event) -> Happening {
        match event {
            Event::Signal(Signal::Stop) => {
                if self.course.is_serving() {
                    log::info!("stopping");
                }
                Happening::Stop
            }
            Event::Signal(Signal::Reload) => Happening::Reload,
            Event::WorkerEnded { index, end } => self.worker_ended(index, end),
            Event::SnapshotEnded(result) => {
                Happening::SnapshotEnded(snapshots::ended(result, &self.process))
            }
            Event::Read {
                item,
                ticket,
                result,
            } => {
                // Otherwise it was given up, and said so.
                if self.course.is_awaited(item, ticket) {
                    self.take(item, result);
                }
                Happening::Read { item, ticket }
            }
        }
    }

    fn worker_ended(&self, index: usize, end: WorkerEnd) -> Happening {
        let name = self.workers.name(index);
        let is_serving = self.course.is_serving();
        let reason = match end {
            WorkerEnd::Asked if !is_serving => return Happening::Time,
            WorkerEnd::Asked => "ended".to_owned(),
            WorkerEnd::Failed(reason) => reason,
        };
        if is_serving {
            log::error!(worker = name; "worker {name}: {reason}");
        } else {
            log::error!(worker = name; "worker {name}, while stopping: {reason}");
        }
        Happening::WorkerFailed(format!("worker {name} failed: {reason}"))
    }

    fn check_workers(&mut self, now: Instant) {
        let stuck = self.workers.stuck(now);
        for (name, still) in &stuck {
            if !self.reported_stuck.contains(name) {
                log::error!(
                    worker = name.as_str();
                    "worker {name} has been stuck for {} seconds",
                    still.as_secs()
                );
            }
        }
        for name in &self.reported_stuck {
            if !stuck.iter().any(|(other, _)| other == name) {
                log::warn!(worker = name.as_str(); "worker {name} has recovered");
            }
        }
        self.reported_stuck = stuck.iter().map(|(name, _)| name.clone()).collect();
        self.process.turn(now, self.workers.len(), stuck);
    }

    fn snapshot(&mut self) -> Option<Happening> {
        let path = self.snapshot_path.clone()?;
        let sender = self.sender.clone();
        let reason = snapshots::start(path, &self.daemon, sender).err()?;
        let failed = snapshots::ended(Err(reason), &self.process);
        Some(Happening::SnapshotEnded(failed))
    }

    fn reload(&mut self, step: Step) -> Option<Happening> {
        match step {
            Step::Begin => {
                self.notifier.reloading();
                self.failures.clear();
            }
            Step::Read { item, ticket } => {
                let sender = self.sender.clone();
                if let Err(reason) = self.items[item].start(item, ticket, sender) {
                    self.reload_failed(item, &reason);
                    return Some(Happening::Read { item, ticket });
                }
            }
            Step::TooLate { item } => {
                let what = self.items[item].what();
                let seconds = PATIENCE.as_secs();
                let reason = format!("reading the {what} took longer than {seconds} seconds");
                self.reload_failed(item, &reason);
            }
            Step::Refuse { item } => {
                let what = self.items[item].what();
                let reason = format!(
                    "{MAX_GIVEN_UP} earlier attempts to read the {what} are \
                                      still stuck"
                );
                self.reload_failed(item, &reason);
            }
            Step::Done => self.reloaded(),
        }
        None
    }

    /// Puts into effect what was read.
    fn take(&mut self, item: usize, result: Result<Content, String>) {
        match result {
            Ok(Content::List(list)) => {
                reading::replace(&self.access_list, list);
                self.daemon.access_list_changed();
            }
            Ok(Content::Other(apply)) => {
                apply();
                log::info!("reloaded the {}", self.items[item].what());
            }
            Err(reason) => self.reload_failed(item, &reason),
        }
    }

    fn reload_failed(&mut self, item: usize, reason: &str) {
        let what = self.items[item].what();
        log::error!("reload failed, keeping the current {what}: {reason}");
        self.process.reload_failed(what, reason);
        self.failures.push(reason.to_owned());
    }

    fn reloaded(&mut self) {
        if self.items.is_empty() {
            log::info!("reloaded: there is no access list");
        }
        self.process.reload_ended();
        self.failed_reload = (!self.failures.is_empty())
            .then(|| format!("reload failed: {}", self.failures.join("; ")));
        let status = self.status();
        self.notifier.ready(&status);
    }

    fn status(&self) -> String {
        let mut status = self.daemon.status();
        if let Some(unsaved) = self.process.unsaved() {
            status.push_str(&format!("; snapshots cannot be written: {unsaved}"));
        }
        match (&self.failed_reload, self.reported_stuck.as_slice()) {
            (None, []) => status,
            (Some(failure), []) => format!("{status}; {failure}"),
            (_, stuck) => format!("{status}; stuck: {}", stuck.join(", ")),
        }
    }
}

/// Logs how the service ended; returns an error if the process should exit with a failure.
fn conclude(end: End, running: &[&str]) -> anyhow::Result<()> {
    let late = end.is_late.then(|| {
        let names = running.join(", ");
        anyhow!("these workers did not stop in time: {names}")
    });
    let unsaved = end.unsaved.map(|reason| anyhow!(reason));
    if let Some(failure) = end.failure {
        for error in [late, unsaved].into_iter().flatten() {
            log::error!("{error:#}");
        }
        bail!("stopping because {failure}");
    }
    match unsaved.or(late) {
        Some(error) => Err(error),
        None => {
            log::info!("stopped");
            Ok(())
        }
    }
}
