//! Snapshots, one at a time.
//!
//! Each is written on a thread of its own, because syncing a file can take as
//! long as the disk likes, and the main thread has signals and the watchdog to
//! look after. The daemon locks a bounded part of its state at a time, so that
//! no request waits for the disk either.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use crate::Daemon;
use crate::config::SnapshotSettings;
use crate::metrics::process::Process;
use crate::snapshot::{Written, write_file};
use crate::workers::Event;

/// When the next snapshot is due, and whether one is being written.
pub(super) struct Snapshots {
    settings: Option<SnapshotSettings>,
    sender: SyncSender<Event>,
    next: Instant,
    running: bool,
}

impl Snapshots {
    pub(super) fn new(
        settings: Option<SnapshotSettings>,
        sender: SyncSender<Event>,
        now: Instant,
    ) -> Self {
        let interval = settings.as_ref().map_or(Duration::ZERO, |one| one.interval);
        Self {
            settings,
            sender,
            next: now + interval,
            running: false,
        }
    }

    /// Whether there is a place for snapshots.
    pub(super) fn is_configured(&self) -> bool {
        self.settings.is_some()
    }

    /// Whether a snapshot is being written.
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// Begins a snapshot when it is time to and none is being written.
    pub(super) fn start_if_due<D: Daemon>(
        &mut self,
        now: Instant,
        daemon: &Arc<D>,
        process: &Process,
    ) {
        if now >= self.next && !self.running {
            self.start(now, daemon, process);
        }
    }

    /// Begins a snapshot, if they are configured. None is being written.
    pub(super) fn start<D: Daemon>(&mut self, now: Instant, daemon: &Arc<D>, process: &Process) {
        let Some(settings) = &self.settings else {
            return;
        };
        self.next = now + settings.interval;
        let path = settings.path.clone();
        let sender = self.sender.clone();
        let daemon = Arc::clone(daemon);
        let spawned = thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || {
                let write = || write_file(&path, D::NAME, |out| daemon.write_snapshot(out));
                let result = panic::catch_unwind(AssertUnwindSafe(write));
                let result = match result {
                    Ok(result) => result.map_err(|error| format!("{error:#}")),
                    Err(_) => Err("the daemon panicked".to_owned()),
                };
                // Nobody listens any more only when the process is ending.
                let _ = sender.send(Event::SnapshotEnded(result));
            });
        match spawned {
            Ok(_) => self.running = true,
            Err(error) => {
                process.snapshot_failed();
                log::error!("cannot start the thread that writes the snapshot: {error}");
            }
        }
    }

    /// Notes how the snapshot went.
    pub(super) fn ended(&mut self, result: Result<Written, String>, process: &Process) {
        self.running = false;
        match result {
            Ok(written) => {
                process.snapshot_written(&written);
                log::debug!(
                    bytes = written.bytes,
                    milliseconds = written.duration.as_millis() as u64;
                    "wrote the snapshot"
                );
            }
            Err(error) => {
                process.snapshot_failed();
                log::error!("{error}");
            }
        }
    }
}
