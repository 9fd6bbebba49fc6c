//! Snapshots, each on a thread of its own, because syncing a file can take arbitrarily
//! long, and the main thread has to handle signals and the watchdog. The daemon locks
//! a bounded part of its state at a time, so that requests do not wait for the disk
//! either.
//!
//! A reload can change the file while one is being written. The old file is then written to
//! its end, because a thread cannot be stopped, but its result says nothing of the new one.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Instant;

use super::course::SNAPSHOT_PATIENCE;
use super::events::Event;
use crate::Daemon;
use crate::metrics::process::Process;
use crate::snapshot::{Written, write_file};

/// Maximum number of snapshots that are being written to different files. The older ones are
/// on disks that do not respond.
const MAX_WRITING: usize = 4;

/// The snapshots that are being written.
#[derive(Default)]
pub(super) struct Snapshots {
    /// At most one for each file.
    writing: Vec<Writing>,
}

struct Writing {
    ticket: u64,
    path: PathBuf,
    since: Instant,
    /// Whether it was reported that it takes long.
    is_reported: bool,
}

impl Snapshots {
    /// Starts a snapshot; its end is sent as an event.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn start<D: Daemon>(
        &mut self,
        ticket: u64,
        path: &Path,
        daemon: &Arc<D>,
        sender: SyncSender<Event>,
    ) -> Result<(), String> {
        self.require_room(path)?;
        spawn(ticket, path.to_owned(), daemon, sender)?;
        self.add(ticket, path, Instant::now());
        Ok(())
    }

    fn require_room(&self, path: &Path) -> Result<(), String> {
        if self.writing.len() < MAX_WRITING {
            return Ok(());
        }
        Err(format!(
            "cannot write snapshot {}: {MAX_WRITING} others are still being written to earlier \
             files",
            path.display()
        ))
    }

    fn add(&mut self, ticket: u64, path: &Path, since: Instant) {
        self.writing.push(Writing {
            ticket,
            path: path.to_owned(),
            since,
            is_reported: false,
        });
    }

    /// The one that is being written to this file.
    pub(super) fn writing_to(&self, path: &Path) -> Option<u64> {
        let one = self.writing.iter().find(|one| one.path == path)?;
        Some(one.ticket)
    }

    /// A snapshot has ended. If it `is_awaited`, its result is recorded and logged, and
    /// otherwise only logged. Returns why it was not written.
    pub(super) fn ended(
        &mut self,
        ticket: u64,
        result: Result<Written, String>,
        is_awaited: bool,
        process: &Process,
    ) -> Result<(), String> {
        self.writing.retain(|one| one.ticket != ticket);
        match result {
            Ok(written) => {
                if is_awaited && process.snapshot_written(&written) {
                    log::info!("snapshots can be written again");
                }
                log::debug!(
                    bytes = written.bytes,
                    milliseconds = written.duration.as_millis() as u64;
                    "wrote the snapshot"
                );
                Ok(())
            }
            Err(error) => {
                if is_awaited {
                    process.snapshot_failed(&error);
                    log::error!("{error}");
                } else {
                    log::warn!("{error}; the configuration has another file now");
                }
                Err(error)
            }
        }
    }

    /// Records and logs if the awaited snapshot takes too long, once for each.
    pub(super) fn check(
        &mut self,
        now: Instant,
        is_awaited: impl Fn(u64) -> bool,
        process: &Process,
    ) {
        let is_late = |one: &&mut Writing| {
            let took = now.saturating_duration_since(one.since);
            is_awaited(one.ticket) && !one.is_reported && took >= SNAPSHOT_PATIENCE
        };
        for one in self.writing.iter_mut().filter(is_late) {
            one.is_reported = true;
            let reason = format!(
                "writing snapshot {} takes longer than {} seconds",
                one.path.display(),
                SNAPSHOT_PATIENCE.as_secs()
            );
            log::error!("{reason}");
            process.cannot_save(&reason);
        }
    }
}

fn spawn<D: Daemon>(
    ticket: u64,
    path: PathBuf,
    daemon: &Arc<D>,
    sender: SyncSender<Event>,
) -> Result<(), String> {
    let daemon = Arc::clone(daemon);
    thread::Builder::new()
        .name("snapshot".to_owned())
        .spawn(move || {
            let write = || {
                write_file(&path, D::NAME, D::SNAPSHOT_VERSION, |out| {
                    daemon.write_snapshot(out)
                })
            };
            let result = match panic::catch_unwind(AssertUnwindSafe(write)) {
                Ok(result) => result.map_err(|error| format!("{error:#}")),
                Err(_) => Err("the daemon panicked while it wrote the snapshot".to_owned()),
            };
            // There is no receiver only when the process is exiting.
            let _ = sender.send(Event::SnapshotEnded { ticket, result });
        })
        .map(drop)
        .map_err(|error| format!("cannot start the thread that writes the snapshot: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lists::Lists;

    const WRITTEN: Written = Written {
        bytes: 1,
        duration: Duration::from_secs(70),
        taken_at: 1,
    };

    fn process() -> Process {
        Process::new(None, Lists::default())
    }

    #[test]
    fn a_snapshot_that_takes_long_is_known_until_it_is_written() {
        let (process, start) = (process(), Instant::now());
        let mut snapshots = Snapshots::default();
        snapshots.add(1, Path::new("old"), start);
        snapshots.add(2, Path::new("new"), start);
        let is_awaited = |ticket| ticket == 2;
        let almost = start + SNAPSHOT_PATIENCE - Duration::from_millis(1);
        snapshots.check(almost, is_awaited, &process);
        assert_eq!(process.unsaved(), None);
        snapshots.check(start + SNAPSHOT_PATIENCE, is_awaited, &process);
        let reason = process.unsaved().expect("it takes long");
        assert_eq!(reason, "writing snapshot new takes longer than 60 seconds");

        // The problem is reported once for each snapshot.
        process.can_save();
        snapshots.check(start + 2 * SNAPSHOT_PATIENCE, is_awaited, &process);
        assert_eq!(process.unsaved(), None);
        process.cannot_save(&reason);
        assert_eq!(snapshots.ended(2, Ok(WRITTEN), true, &process), Ok(()));
        assert_eq!(process.unsaved(), None);
    }

    #[test]
    fn an_earlier_file_says_nothing_of_the_current_one() {
        let process = process();
        let mut snapshots = Snapshots::default();
        snapshots.add(1, Path::new("old"), Instant::now());
        snapshots.add(2, Path::new("new"), Instant::now());
        let full = || "full".to_owned();
        let ended = snapshots.ended(1, Err(full()), false, &process);
        assert_eq!(ended, Err(full()));
        assert_eq!(process.unsaved(), None);
        process.cannot_save("read-only");
        assert_eq!(snapshots.ended(2, Ok(WRITTEN), false, &process), Ok(()));
        assert_eq!(process.unsaved().as_deref(), Some("read-only"));
        assert_eq!(process.snapshot().taken_at, None);
    }

    #[test]
    fn only_so_many_disks_may_hang() {
        let mut snapshots = Snapshots::default();
        for ticket in 1..=MAX_WRITING as u64 {
            assert_eq!(snapshots.require_room(Path::new("x")), Ok(()));
            let path = format!("file-{ticket}");
            snapshots.add(ticket, Path::new(&path), Instant::now());
            assert_eq!(snapshots.writing_to(Path::new(&path)), Some(ticket));
        }
        let reason = snapshots.require_room(Path::new("x")).unwrap_err();
        assert!(reason.contains("cannot write snapshot x: "), "{reason}");
        let _ = snapshots.ended(1, Err("failed".to_owned()), false, &process());
        assert_eq!(snapshots.require_room(Path::new("x")), Ok(()));
        assert_eq!(snapshots.writing_to(Path::new("file-1")), None);
    }
}
