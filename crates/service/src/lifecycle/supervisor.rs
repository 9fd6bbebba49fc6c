//! The main thread while the daemon serves: signals, housekeeping, watchdog,
//! snapshots, and the end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use super::Daemon;
use crate::access_list;
use crate::config::ProcessSettings;
use crate::metrics::process::Process;
use crate::notify::Notifier;
use crate::reload::Reload;
use crate::signals::Signal;
use crate::workers::{End, Event, LONGEST_TURN, Workers};

mod snapshots;
mod watchdog;

use snapshots::Snapshots;
use watchdog::Watchdog;

/// How often workers are looked at, at the least.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// How often the status line is renewed, when it changed.
const STATUS_AFTER: Duration = Duration::from_secs(5);

/// A daemon that asks for its next tick at once gets it after this time.
const SHORTEST_TICK: Duration = Duration::from_millis(1);

/// How long workers may take to answer what they have read.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// How long the last snapshot may take. Service managers kill after some 90 s.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);

/// What a supervisor is made of.
pub(super) struct SupervisorParts<D> {
    pub(super) daemon: Arc<D>,
    pub(super) settings: ProcessSettings,
    pub(super) access_list: Arc<access_list::Handle>,
    pub(super) reloads: Vec<Arc<dyn Reload>>,
    pub(super) process: Arc<Process>,
    pub(super) workers: Workers,
    pub(super) sender: SyncSender<Event>,
    pub(super) events: Receiver<Event>,
    pub(super) notifier: Notifier,
    pub(super) watchdog_limit: Option<Duration>,
}

/// The main thread of a daemon that serves.
pub(super) struct Supervisor<D> {
    daemon: Arc<D>,
    settings: ProcessSettings,
    access_list: Arc<access_list::Handle>,
    reloads: Vec<Arc<dyn Reload>>,
    process: Arc<Process>,
    workers: Workers,
    events: Receiver<Event>,
    notifier: Notifier,
    watchdog: Option<Watchdog>,
    snapshots: Snapshots,
    /// What to say about the last reload, if it failed.
    failed_reload: Option<String>,
    /// Names of workers that were reported as stuck.
    reported_stuck: Vec<String>,
    next_tick: Instant,
    next_look: Instant,
    next_status: Instant,
}

impl<D: Daemon> Supervisor<D> {
    pub(super) fn new(parts: SupervisorParts<D>) -> Self {
        let now = Instant::now();
        Self {
            daemon: parts.daemon,
            snapshots: Snapshots::new(parts.settings.snapshot.clone(), parts.sender, now),
            settings: parts.settings,
            access_list: parts.access_list,
            reloads: parts.reloads,
            process: parts.process,
            workers: parts.workers,
            events: parts.events,
            notifier: parts.notifier,
            watchdog: parts.watchdog_limit.map(|limit| Watchdog::new(limit, now)),
            failed_reload: None,
            reported_stuck: Vec::new(),
            next_tick: now,
            next_look: now,
            next_status: now + STATUS_AFTER,
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
        let failure = loop {
            self.work(Instant::now());
            match self.wait() {
                None => (),
                Some(Event::Signal(Signal::Stop)) => {
                    log::info!("stopping");
                    break None;
                }
                Some(Event::Signal(Signal::Reload)) => self.reload(),
                Some(Event::WorkerEnded { index, end }) => {
                    let name = self.workers.name(index);
                    let reason = match end {
                        End::Asked => "ended".to_owned(),
                        End::Failed(reason) => reason,
                    };
                    log::error!(worker = name; "worker {name}: {reason}");
                    break Some(anyhow!("stopping because worker {name} failed: {reason}"));
                }
                Some(Event::SnapshotEnded(result)) => {
                    self.snapshots.ended(result, &self.process);
                }
            }
        };
        self.notifier.stopping();
        let drained = self.drain();
        let saved = match &drained {
            Ok(_) => self.save(),
            Err(_) => Ok(()),
        };
        // Taking a large swarm apart entry by entry would only delay the exit.
        std::mem::forget(self.daemon);
        match failure {
            Some(failure) => {
                for error in [drained.err(), saved.err()].into_iter().flatten() {
                    log::error!("{error:#}");
                }
                Err(failure)
            }
            None => {
                let late = drained?;
                saved?;
                if !late.is_empty() {
                    bail!("these workers did not stop in time: {}", late.join(", "));
                }
                log::info!("stopped");
                Ok(())
            }
        }
    }

    /// Does what is due.
    fn work(&mut self, now: Instant) {
        if now >= self.next_tick {
            let wait = self.daemon.tick(now).clamp(SHORTEST_TICK, LONGEST_TURN);
            self.next_tick = Instant::now() + wait;
        }
        if now >= self.next_look {
            self.next_look = now + LOOK_AFTER;
            self.look_at_workers(now);
        }
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.is_due(now)
            && self.workers.all_beat()
        {
            self.notifier.watchdog();
        }
        if now >= self.next_status {
            self.next_status = now + STATUS_AFTER;
            let status = self.status();
            self.notifier.status(&status);
        }
        self.snapshots
            .start_if_due(now, &self.daemon, &self.process);
    }

    /// Waits for an event, or until something is due.
    fn wait(&self) -> Option<Event> {
        let next = self.next_tick.min(self.next_look);
        let next = match &self.watchdog {
            Some(watchdog) => next.min(watchdog.next()),
            None => next,
        };
        self.wait_for(next.saturating_duration_since(Instant::now()))
    }

    fn wait_for(&self, time: Duration) -> Option<Event> {
        // The supervisor holds a sender itself, so an error is always the time.
        self.events.recv_timeout(time).ok()
    }

    fn look_at_workers(&mut self, now: Instant) {
        let stuck = self.workers.stuck(now);
        for (name, still) in &stuck {
            if !self.reported_stuck.contains(name) {
                log::error!(
                    worker = name.as_str();
                    "worker {name} has not moved for {} seconds",
                    still.as_secs()
                );
            }
        }
        for name in &self.reported_stuck {
            if !stuck.iter().any(|(other, _)| other == name) {
                log::warn!(worker = name.as_str(); "worker {name} moves again");
            }
        }
        self.reported_stuck = stuck.iter().map(|(name, _)| name.clone()).collect();
        self.process.turn(now, self.workers.len(), stuck);
    }

    fn reload(&mut self) {
        self.notifier.reloading();
        let mut failures = Vec::new();
        match self.access_list.reload(&self.settings.access_list) {
            Ok(_) if self.access_list.is_off() => {
                if self.reloads.is_empty() {
                    log::info!("reloaded: there is no access list");
                }
            }
            Ok(entries) => {
                log::info!(entries = entries; "reloaded the access list");
                self.daemon.access_list_changed();
            }
            Err(error) => {
                log::error!("reload failed, the service goes on with the list it has: {error}");
                self.process.reload_failed(access_list::WHAT);
                failures.push(error.to_string());
            }
        }
        for one in &self.reloads {
            let what = one.what();
            match one.reload() {
                Ok(()) => log::info!("reloaded the {what}"),
                Err(error) => {
                    log::error!(
                        "reload failed, the service goes on with the {what} it has: {error:#}"
                    );
                    self.process.reload_failed(what);
                    failures.push(format!("{error:#}"));
                }
            }
        }
        self.failed_reload =
            (!failures.is_empty()).then(|| format!("reload failed: {}", failures.join("; ")));
        let status = self.status();
        self.notifier.ready(&status);
    }

    fn status(&self) -> String {
        let status = self.daemon.status();
        match (&self.failed_reload, self.reported_stuck.as_slice()) {
            (None, []) => status,
            (Some(failure), []) => format!("{status}; {failure}"),
            (_, stuck) => format!("{status}; stuck: {}", stuck.join(", ")),
        }
    }

    /// Lets the workers answer what they have read, and end. Returns the names
    /// of those that do not.
    ///
    /// # Errors
    ///
    /// When a second signal says to end at once.
    fn drain(&mut self) -> anyhow::Result<Vec<String>> {
        self.workers.stop();
        let deadline = Instant::now() + DRAIN_PATIENCE;
        loop {
            let running: Vec<String> = self
                .workers
                .join_ended()
                .into_iter()
                .map(str::to_owned)
                .collect();
            if running.is_empty() || Instant::now() >= deadline {
                return Ok(running);
            }
            self.wait_at_the_end(&mut Vec::new())?;
        }
    }

    /// Writes the last snapshot, after the one that may be under way.
    fn save(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + SNAPSHOT_PATIENCE;
        let mut failures = Vec::new();
        while self.snapshots.is_running() {
            self.wait_for_snapshot(deadline, &mut Vec::new())?;
        }
        if !self.snapshots.is_configured() {
            return Ok(());
        }
        self.snapshots
            .start(Instant::now(), &self.daemon, &self.process);
        if !self.snapshots.is_running() {
            bail!("the last snapshot was not written");
        }
        while self.snapshots.is_running() {
            self.wait_for_snapshot(deadline, &mut failures)?;
        }
        match failures.pop() {
            Some(failure) => bail!("the last snapshot was not written: {failure}"),
            None => Ok(()),
        }
    }

    fn wait_for_snapshot(
        &mut self,
        deadline: Instant,
        failures: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        if Instant::now() >= deadline {
            bail!(
                "the last snapshot was not written within {} seconds",
                SNAPSHOT_PATIENCE.as_secs()
            );
        }
        self.wait_at_the_end(failures)
    }

    /// Waits a little for an event, while the service manager is told that this
    /// takes no longer than it may: every wait of the end has a deadline.
    fn wait_at_the_end(&mut self, failures: &mut Vec<String>) -> anyhow::Result<()> {
        /// Short, as the last turn of a thread after its event is not told.
        const PIECE: Duration = Duration::from_millis(20);

        let now = Instant::now();
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.is_due(now)
        {
            self.notifier.watchdog();
        }
        match self.wait_for(PIECE) {
            Some(Event::Signal(Signal::Stop)) => {
                bail!("stopped at once by a second signal, without a snapshot")
            }
            Some(Event::WorkerEnded {
                index,
                end: End::Failed(reason),
            }) => {
                let name = self.workers.name(index);
                log::error!(worker = name; "worker {name}, while stopping: {reason}");
            }
            Some(Event::SnapshotEnded(result)) => {
                failures.extend(result.as_ref().err().cloned());
                self.snapshots.ended(result, &self.process);
            }
            Some(Event::Signal(Signal::Reload) | Event::WorkerEnded { .. }) | None => (),
        }
        Ok(())
    }
}
