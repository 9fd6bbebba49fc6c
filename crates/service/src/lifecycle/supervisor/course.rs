//! The life of a running daemon as a state machine without I/O: its inputs are events
//! and the time, its outputs orders.
//!
//! ```text
//! serving ── stop, or a worker fails ──> draining ── workers gone, or late ──>
//! saving ── the final snapshot written, failed, or late ──> the end
//! ```
//!
//! Snapshots and reloads are started while serving. Each ends by an event, or at its
//! deadline: there is no wait without one. A snapshot that is written while serving has none,
//! because there is no use in a second one to the same file meanwhile.

use std::time::{Duration, Instant};

use super::rounds::{Rounds, Step};

/// How long workers may take to answer the requests that they have read.
pub(super) const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// How long the final snapshot may take, including one that is in progress. Service
/// managers kill a process after some 90 s.
pub(super) const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);

/// Signals to stop that arrive within this time after the first count as the same one:
/// it may have been sent both to the process group and to this process, or by both a
/// service manager and a script.
pub(super) const REPEATS_WITHIN: Duration = Duration::from_secs(2);

/// What happened.
#[derive(Debug)]
pub(super) enum Happening {
    /// Nothing but the passing of time.
    Time,
    /// A signal to stop.
    Stop,
    /// A signal to reload.
    Reload,
    /// A worker has ended without being asked to.
    WorkerFailed(String),
    /// All workers have ended.
    WorkersGone,
    /// The attempt with this ticket has ended, successfully or not.
    Read {
        /// Of [`Step::Read`].
        ticket: u64,
    },
    /// The snapshot with this ticket has ended.
    SnapshotEnded {
        /// Of [`Order::Snapshot`].
        ticket: u64,
        /// Why it was not written.
        result: Result<(), String>,
    },
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// A step of a reload.
    Reload(Step),
    /// Start a snapshot. Its end has to be reported, also when it cannot be started.
    Snapshot {
        /// Tells this snapshot from others.
        ticket: u64,
    },
    /// Announce the shutdown, and ask the workers to stop.
    Drain,
    /// Exit.
    End(End),
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The worker that failed, and why.
    pub(super) failure: Option<String>,
    /// Whether some workers did not end in time.
    pub(super) is_late: bool,
    /// Why the final snapshot was not written.
    pub(super) unsaved: Option<String>,
}

/// The state of a running daemon.
pub(super) struct Course {
    stage: Stage,
    failure: Option<String>,
    /// When the first signal to stop came.
    stop_asked: Option<Instant>,
    is_late: bool,
    rounds: Rounds,
    /// How often snapshots are written; `None` for never.
    snapshot_interval: Option<Duration>,
    next_snapshot: Option<Instant>,
    /// The snapshot that is being written to the file in the settings.
    running_snapshot: Option<u64>,
    last_snapshot: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining { deadline: Instant },
    Saving { deadline: Instant, is_last: bool },
    Ended,
}

impl Course {
    /// Starts serving.
    pub(super) fn new(snapshot_interval: Option<Duration>, now: Instant) -> Self {
        Self {
            stage: Stage::Serving,
            failure: None,
            stop_asked: None,
            is_late: false,
            rounds: Rounds::default(),
            snapshot_interval,
            next_snapshot: snapshot_interval.map(|interval| now + interval),
            running_snapshot: None,
            last_snapshot: 0,
        }
    }

    /// Another file is written from now on. `running` is a snapshot that is being written to
    /// that one already; those to others are not waited for any more.
    pub(super) fn replace_running_snapshot(&mut self, running: Option<u64>) {
        self.running_snapshot = running;
    }

    /// Whether the result with this ticket is that of the file in the settings. To be called
    /// before [`Happening::SnapshotEnded`] is passed in.
    pub(super) fn is_snapshot_awaited(&self, ticket: u64) -> bool {
        self.running_snapshot == Some(ticket)
    }

    /// Changes how often snapshots are written.
    pub(super) fn set_snapshot_interval(&mut self, interval: Option<Duration>, now: Instant) {
        if interval != self.snapshot_interval {
            self.snapshot_interval = interval;
            self.next_snapshot = interval.map(|interval| now + interval);
        }
    }

    /// Whether the daemon was not asked to stop yet.
    pub(super) fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// Whether the workers were asked to stop and have not ended.
    pub(super) fn is_draining(&self) -> bool {
        matches!(self.stage, Stage::Draining { .. })
    }

    /// When something is due next, unless an event arrives before.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.stage {
            Stage::Serving => {
                let snapshot = self
                    .next_snapshot
                    .filter(|_| self.running_snapshot.is_none());
                self.rounds.next().into_iter().chain(snapshot).min()
            }
            Stage::Draining { deadline } | Stage::Saving { deadline, .. } => Some(deadline),
            Stage::Ended => None,
        }
    }

    /// Whether the result with this ticket is still awaited. To be called before
    /// [`Happening::Read`] is passed in.
    pub(super) fn is_awaited(&self, ticket: u64) -> bool {
        self.is_serving() && self.rounds.is_awaited(ticket)
    }

    /// What to do, in this order, after an event.
    pub(super) fn step(&mut self, now: Instant, happening: Happening) -> Vec<Order> {
        let mut orders = Vec::new();
        match happening {
            Happening::Time => (),
            Happening::Stop => self.stop(now, &mut orders),
            Happening::Reload if self.is_serving() => {
                orders.extend(self.rounds.ask(now).into_iter().map(Order::Reload));
            }
            Happening::Read { ticket } => {
                let steps = self.rounds.ended(ticket, now);
                if self.is_serving() {
                    orders.extend(steps.into_iter().map(Order::Reload));
                }
            }
            Happening::WorkerFailed(reason) if self.is_serving() => {
                self.failure = Some(reason);
                self.drain(now, &mut orders);
            }
            Happening::WorkersGone if self.is_draining() => self.save(now, &mut orders),
            Happening::SnapshotEnded { ticket, result } if self.is_snapshot_awaited(ticket) => {
                self.snapshot_ended(result, &mut orders);
            }
            Happening::Reload
            | Happening::WorkerFailed(_)
            | Happening::WorkersGone
            | Happening::SnapshotEnded { .. } => (),
        }
        self.check_deadlines(now, &mut orders);
        orders
    }

    fn stop(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let first = *self.stop_asked.get_or_insert(now);
        let is_repeat = now.saturating_duration_since(first) < REPEATS_WITHIN;
        match self.stage {
            Stage::Serving => self.drain(now, orders),
            Stage::Draining { .. } | Stage::Saving { .. } if !is_repeat => {
                self.end(
                    Some("terminated by a second signal, without a snapshot".to_owned()),
                    orders,
                );
            }
            Stage::Draining { .. } | Stage::Saving { .. } | Stage::Ended => (),
        }
    }

    fn drain(&mut self, now: Instant, orders: &mut Vec<Order>) {
        self.stage = Stage::Draining {
            deadline: now + DRAIN_PATIENCE,
        };
        orders.push(Order::Drain);
    }

    fn save(&mut self, now: Instant, orders: &mut Vec<Order>) {
        if self.snapshot_interval.is_none() {
            return self.end(None, orders);
        }
        let is_last = self.running_snapshot.is_none();
        self.stage = Stage::Saving {
            deadline: now + SNAPSHOT_PATIENCE,
            is_last,
        };
        if is_last {
            self.snapshot(orders);
        }
    }

    fn snapshot(&mut self, orders: &mut Vec<Order>) {
        self.last_snapshot += 1;
        let ticket = self.last_snapshot;
        self.running_snapshot = Some(ticket);
        orders.push(Order::Snapshot { ticket });
    }

    fn snapshot_ended(&mut self, result: Result<(), String>, orders: &mut Vec<Order>) {
        self.running_snapshot = None;
        match self.stage {
            Stage::Saving { is_last: true, .. } => {
                let unsaved = result
                    .err()
                    .map(|reason| format!("the final snapshot was not written: {reason}"));
                self.end(unsaved, orders);
            }
            // A snapshot that was started before the workers ended lacks their last peers.
            Stage::Saving { deadline, .. } => {
                self.stage = Stage::Saving {
                    deadline,
                    is_last: true,
                };
                self.snapshot(orders);
            }
            Stage::Serving | Stage::Draining { .. } | Stage::Ended => (),
        }
    }

    fn check_deadlines(&mut self, now: Instant, orders: &mut Vec<Order>) {
        match self.stage {
            Stage::Serving => {
                orders.extend(self.rounds.time(now).into_iter().map(Order::Reload));
                if let (Some(interval), Some(next)) = (self.snapshot_interval, self.next_snapshot)
                    && now >= next
                    && self.running_snapshot.is_none()
                {
                    self.next_snapshot = Some(now + interval);
                    self.snapshot(orders);
                }
            }
            Stage::Draining { deadline } if now >= deadline => {
                self.is_late = true;
                self.save(now, orders);
            }
            Stage::Saving { deadline, .. } if now >= deadline => {
                let seconds = SNAPSHOT_PATIENCE.as_secs();
                self.end(
                    Some(format!(
                        "the final snapshot was not written within {seconds} seconds"
                    )),
                    orders,
                );
            }
            Stage::Draining { .. } | Stage::Saving { .. } | Stage::Ended => (),
        }
    }

    fn end(&mut self, unsaved: Option<String>, orders: &mut Vec<Order>) {
        self.stage = Stage::Ended;
        orders.push(Order::End(End {
            failure: self.failure.take(),
            is_late: self.is_late,
            unsaved,
        }));
    }
}

#[cfg(test)]
mod tests;
