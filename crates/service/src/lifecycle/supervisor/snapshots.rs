//! Snapshots, each on a thread of its own, because syncing a file can take arbitrarily
//! long, and the main thread has to handle signals and the watchdog. The daemon locks
//! a bounded part of its state at a time, so that requests do not wait for the disk
//! either.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

use super::events::Event;
use crate::Daemon;
use crate::metrics::process::Process;
use crate::snapshot::{Written, write_file};

/// Starts a snapshot; its end is sent as an event.
///
/// # Errors
///
/// When it cannot be started.
pub(super) fn start<D: Daemon>(
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
            let _ = sender.send(Event::SnapshotEnded(result));
        })
        .map(drop)
        .map_err(|error| format!("cannot start the thread that writes the snapshot: {error}"))
}

/// Records and logs the result of a snapshot; returns why it was not written.
pub(super) fn ended(result: Result<Written, String>, process: &Process) -> Result<(), String> {
    match result {
        Ok(written) => {
            if process.snapshot_written(&written) {
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
            process.snapshot_failed(&error);
            log::error!("{error}");
            Err(error)
        }
    }
}
