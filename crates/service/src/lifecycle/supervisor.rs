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
use crate::config::{Changes, ProcessSettings};
use crate::lists::Lists;
use crate::metrics::process::Process;
use crate::notify::Notifier;
use crate::reload::{Failure, PATIENCE};
use crate::signals::Signal;
use crate::snapshot;
use crate::workers::{End as WorkerEnd, HEARTBEAT_INTERVAL, Workers};

mod course;
mod events;
mod reading;
mod rounds;
mod snapshots;
mod watchdog;

use course::{Course, End, Happening, Order};
use events::Fresh;
pub(super) use events::{Event, channel};
pub(super) use reading::{InEffect, WHAT};
use rounds::{MAX_GIVEN_UP, Step};
use snapshots::Snapshots;
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
    pub(super) lists: Lists,
    pub(super) in_effect: InEffect,
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
    lists: Lists,
    in_effect: InEffect,
    process: Arc<Process>,
    workers: Workers,
    sender: SyncSender<Event>,
    events: Receiver<Event>,
    notifier: &'a mut Notifier,
    watchdog: Option<Watchdog>,
    course: Course,
    snapshots: Snapshots,
    /// The file that snapshots are written to.
    snapshot_path: Option<PathBuf>,
    /// What the status line says of the last reload, unless it succeeded.
    reload_status: Option<String>,
    /// Names of workers that were reported as stuck.
    reported_stuck: Vec<String>,
    next_tick: Instant,
    next_check: Instant,
    next_status: Instant,
}

impl<'a, D: Daemon> Supervisor<'a, D> {
    pub(super) fn new(parts: SupervisorParts<'a, D>) -> Self {
        let now = Instant::now();
        let interval = parts.settings.snapshot.as_ref().map(|one| one.interval);
        Self {
            daemon: parts.daemon,
            lists: parts.lists,
            course: Course::new(interval, now),
            in_effect: parts.in_effect,
            process: parts.process,
            workers: parts.workers,
            sender: parts.sender,
            events: parts.events,
            notifier: parts.notifier,
            watchdog: parts.watchdog_limit.map(|limit| Watchdog::new(limit, now)),
            snapshots: Snapshots::default(),
            snapshot_path: parts.settings.snapshot.map(|one| one.path),
            reload_status: None,
            reported_stuck: Vec::new(),
            next_tick: now,
            next_check: now,
            next_status: now + STATUS_INTERVAL,
        }
    }

    /// The daemon that serves.
    pub(super) fn daemon(&self) -> &D {
        &self.daemon
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
                    Order::Snapshot { ticket } => further.extend(self.snapshot(ticket)),
                    Order::Drain => {
                        self.process.begins_to_stop();
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
            let is_awaited = |ticket| self.course.is_snapshot_awaited(ticket);
            self.snapshots.check(now, is_awaited, &self.process);
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
            Event::SnapshotEnded { ticket, result } => {
                let is_awaited = self.course.is_snapshot_awaited(ticket);
                let result = self
                    .snapshots
                    .ended(ticket, result, is_awaited, &self.process);
                Happening::SnapshotEnded { ticket, result }
            }
            Event::Read { ticket, result } => {
                // What comes too late is dropped.
                if self.course.is_awaited(ticket) {
                    self.take(result);
                }
                Happening::Read { ticket }
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

    fn snapshot(&mut self, ticket: u64) -> Option<Happening> {
        let path = self.snapshot_path.as_deref()?;
        let sender = self.sender.clone();
        let started = self.snapshots.start(ticket, path, &self.daemon, sender);
        let failed = Err(started.err()?);
        let result = self.snapshots.ended(ticket, failed, true, &self.process);
        Some(Happening::SnapshotEnded { ticket, result })
    }

    fn reload(&mut self, step: Step) -> Option<Happening> {
        match step {
            Step::Begin => self.notifier.reloading(),
            Step::Read { ticket } => {
                let sender = self.sender.clone();
                let started = reading::start(&self.daemon, &self.in_effect, ticket, sender);
                if let Err(failure) = started {
                    self.reload_failed(&failure);
                    return Some(Happening::Read { ticket });
                }
            }
            Step::TooLate => {
                let seconds = PATIENCE.as_secs();
                let error = anyhow!(
                    "reading the configuration and the files that it names took longer than \
                     {seconds} seconds: does their file system answer?"
                );
                self.reload_failed(&Failure::of(WHAT, error));
            }
            Step::Refuse => {
                let error = anyhow!(
                    "{MAX_GIVEN_UP} earlier attempts to read the configuration and the files that \
                     it names are still stuck: restart the service when their file system answers"
                );
                self.reload_failed(&Failure::of(WHAT, error));
            }
            Step::Done => {
                self.process.reload_ended();
                let status = self.status();
                self.notifier.ready(&status);
            }
        }
        None
    }

    /// Puts into effect what was read.
    fn take(&mut self, result: Result<Box<Fresh>, Failure>) {
        let fresh = match result {
            Ok(fresh) => *fresh,
            Err(failure) => return self.reload_failed(&failure),
        };
        log::set_max_level(fresh.process.log_level.into());
        fresh.warnings.log();
        fresh.advice.log();
        (fresh.apply)();
        if self.lists.replace(fresh.lists) {
            self.daemon.access_list_changed();
        }
        self.take_snapshot_settings(fresh.process, fresh.unwritable);
        self.in_effect.config = fresh.config;

        let Changes {
            taken_over,
            need_restart,
        } = fresh.changes;
        if let Some(reason) = fresh.out_of_reach {
            let reason = format!(
                "{reason}, so changes of the configuration need a restart: privileges were dropped"
            );
            log::warn!("reloaded only the files that the configuration names: {reason}");
            self.process.reload_was_partial(&reason);
            self.reload_status = Some(reason);
            return;
        }
        match taken_over.as_slice() {
            [] => log::info!("reloaded"),
            keys => log::info!("reloaded: {} changed", keys.join(", ")),
        }
        let keys = need_restart.join(", ");
        if !need_restart.is_empty() {
            log::warn!("not reloaded, restart needed: {keys} changed");
        }
        self.reload_status = None;
        self.process.needs_restart(need_restart);
    }

    /// Changes where and how often snapshots are written. `unwritable` is why they cannot be
    /// written at a new place.
    fn take_snapshot_settings(&mut self, process: ProcessSettings, unwritable: Option<String>) {
        let path = process.snapshot.as_ref().map(|one| one.path.clone());
        let is_moved = path != self.in_effect.snapshot;
        // The file at the start may be one that must not be replaced.
        if !is_moved && self.snapshot_path.is_none() {
            return;
        }
        let interval = process.snapshot.map(|one| one.interval);
        self.course.set_snapshot_interval(interval, Instant::now());
        if !is_moved {
            return;
        }
        let to_path = |path| self.snapshots.writing_to(path);
        let running = path.as_deref().and_then(to_path);
        self.course.replace_running_snapshot(running);
        match &unwritable {
            Some(reason) => {
                log::warn!("snapshots cannot be written: {}: {reason}", snapshot::KEY);
                self.process.cannot_save(reason);
            }
            None => self.process.can_save(),
        }
        self.in_effect.snapshot.clone_from(&path);
        self.snapshot_path = path;
    }

    fn reload_failed(&mut self, Failure { what, error }: &Failure) {
        log::error!("reload failed, and nothing was changed: {error:#}");
        let reason = format!("{error:#}");
        self.process.reload_failed(what, &reason);
        self.reload_status = Some(format!("reload failed: {reason}"));
    }

    fn status(&self) -> String {
        let mut status = self.daemon.status();
        if let Some(unsaved) = self.process.unsaved() {
            status.push_str(&format!("; snapshots cannot be written: {unsaved}"));
        }
        let keys = self.process.last_reload().needs_restart;
        if !keys.is_empty() {
            status.push_str(&format!("; restart needed for {}", keys.join(", ")));
        }
        match (&self.reload_status, self.reported_stuck.as_slice()) {
            (None, []) => status,
            (Some(reload), []) => format!("{status}; {reload}"),
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
