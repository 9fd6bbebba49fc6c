//! The file that carries a daemon's state across restarts.
//!
//! A snapshot is a header and a run of blocks, each with its length and CRC-32;
//! what is in a block is the daemon's. The last block says how many there were,
//! so that a file that was cut short is noticed. [`BlockWriter`] and
//! [`BlockReader`] are pure: they know no file.
//!
//! The file is replaced whole: written under a temporary name in the same
//! directory, synced, renamed, and the directory synced. One that cannot be
//! restored is set aside, never overwritten, and the service starts empty,
//! because a tracker that serves an empty swarm recovers within one announce
//! interval and one that does not start does not:
//!
//! * damaged: kept as `NAME.damaged`;
//! * of a newer version (after a downgrade): kept as `NAME.newer`.
//!
//! A snapshot of another daemon is a path that was mixed up: the service does
//! not start, so that neither overwrites the other's file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};

mod blocks;

pub use blocks::{
    Block, BlockReader, BlockWriter, LARGEST_PAYLOAD, ReadError, VERSION, read_blocks,
};

/// Bytes that are collected before the file is written to.
const WRITE_BUFFER: usize = 256 * 1024;

/// A snapshot that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The length of the file.
    pub bytes: u64,
    /// How long it took, with syncing.
    pub duration: Duration,
    /// When it was begun, in seconds since 1970.
    pub taken_at: u64,
}

/// What a daemon restores from, if there is a snapshot.
#[derive(Debug, Default)]
pub struct Source {
    daemon: &'static str,
    path: Option<PathBuf>,
    /// When the restored snapshot was taken, in seconds since 1970.
    taken_at: Option<u64>,
}

impl Source {
    /// Restores the snapshot, if there is one.
    ///
    /// `restore` builds the state from all blocks; when it fails, or the file
    /// turns out to be damaged later on, what it built is dropped, the file is
    /// set aside with an error in the log, and the answer is `None`: the daemon
    /// starts empty.
    ///
    /// # Errors
    ///
    /// When the file is there but cannot be read or set aside, or when it
    /// belongs to another daemon.
    pub fn restore<T>(
        &mut self,
        restore: impl FnOnce(&mut BlockReader<'_>) -> Result<T, ReadError>,
    ) -> anyhow::Result<Option<T>> {
        let Some(path) = self.path.take() else {
            return Ok(None);
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                log::info!("no snapshot at {}: starting empty", path.display());
                return Ok(None);
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot read snapshot {}", path.display()));
            }
        };
        let start = Instant::now();
        let mut input = BufReader::with_capacity(WRITE_BUFFER, file);
        match restore_from(&mut input, self.daemon, restore) {
            Ok((state, taken_at)) => {
                self.taken_at = Some(taken_at);
                log::info!(
                    path = path.display().to_string(),
                    age_seconds = seconds_since_epoch().saturating_sub(taken_at),
                    milliseconds = start.elapsed().as_millis() as u64;
                    "restored the snapshot"
                );
                Ok(Some(state))
            }
            Err(ReadError::OtherDaemon { found }) => Err(anyhow!(
                "snapshot {} belongs to {found}, not to {}; set snapshot.path to a file of its own",
                path.display(),
                self.daemon
            )),
            Err(ReadError::Io(error)) => {
                Err(error).with_context(|| format!("cannot read snapshot {}", path.display()))
            }
            Err(error @ ReadError::Newer { .. }) => set_aside(&path, "newer", &error),
            Err(error @ ReadError::Damaged(_)) => set_aside(&path, "damaged", &error),
        }
    }

    /// As [`restore`](Self::restore), where that also tells how many peers were
    /// left out because of lower limits, which is logged; `empty` is what there
    /// is without a snapshot.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    pub fn restore_or<T>(
        &mut self,
        restore: impl FnOnce(&mut BlockReader<'_>) -> Result<(T, usize), ReadError>,
        empty: impl FnOnce() -> T,
    ) -> anyhow::Result<T> {
        let (state, refused) = self.restore(restore)?.unwrap_or_else(|| (empty(), 0));
        if refused > 0 {
            log::warn!(
                "{refused} peers of the snapshot were left out, as the limits are lower now"
            );
        }
        Ok(state)
    }

    pub(crate) fn new(daemon: &'static str, path: Option<PathBuf>) -> Self {
        Self {
            daemon,
            path,
            taken_at: None,
        }
    }

    /// When the restored snapshot was taken, in seconds since 1970.
    pub(crate) fn taken_at(&self) -> Option<u64> {
        self.taken_at
    }
}

/// Replaces the file at `path` with what `write` writes.
pub(crate) fn write_file(
    path: &Path,
    daemon: &str,
    write: impl FnOnce(&mut BlockWriter<'_>) -> io::Result<()>,
) -> anyhow::Result<Written> {
    let start = Instant::now();
    let taken_at = seconds_since_epoch();
    let temporary = temporary_name(path);
    let bytes = write_synced(&temporary, daemon, taken_at, write)
        .and_then(|bytes| {
            fs::rename(&temporary, path)?;
            File::open(directory(path))?.sync_all()?;
            Ok(bytes)
        })
        .with_context(|| format!("cannot write snapshot {}", path.display()))
        .inspect_err(|_| {
            // Half a snapshot is of no use; the one before it is still there.
            let _ = fs::remove_file(&temporary);
        })?;
    Ok(Written {
        bytes,
        duration: start.elapsed(),
        taken_at,
    })
}

/// Finds out whether a snapshot could be written, by creating an empty file
/// beside it. Its name is not the temporary one, which belongs to the service
/// that may be running while its configuration is checked.
pub(crate) fn check_writable(path: &Path) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".check-{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    create(&temporary)
        .and_then(|_| fs::remove_file(&temporary))
        .with_context(|| {
            format!(
                "snapshot.path: cannot create files in {}; \
                 the user of the service must be allowed to",
                directory(path).display()
            )
        })
}

fn restore_from<T>(
    input: &mut dyn io::Read,
    daemon: &str,
    restore: impl FnOnce(&mut BlockReader<'_>) -> Result<T, ReadError>,
) -> Result<(T, u64), ReadError> {
    let mut reader = BlockReader::new(input)?;
    if reader.daemon() != daemon {
        return Err(ReadError::OtherDaemon {
            found: reader.daemon().to_owned(),
        });
    }
    let state = restore(&mut reader)?;
    // A daemon that does not ask for the last block would not notice that the
    // file ends early.
    while reader.next_block()?.is_some() {}
    Ok((state, reader.taken_at()))
}

fn set_aside<T>(path: &Path, why: &str, error: &ReadError) -> anyhow::Result<Option<T>> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".");
    aside.push(why);
    let aside = PathBuf::from(aside);
    fs::rename(path, &aside).with_context(|| {
        format!(
            "snapshot {} cannot be used ({error}), and cannot be renamed to {}",
            path.display(),
            aside.display()
        )
    })?;
    log::error!(
        "snapshot {} cannot be used: {error}; it is kept as {}, and the service starts empty",
        path.display(),
        aside.display()
    );
    Ok(None)
}

fn write_synced(
    path: &Path,
    daemon: &str,
    taken_at: u64,
    write: impl FnOnce(&mut BlockWriter<'_>) -> io::Result<()>,
) -> io::Result<u64> {
    let mut file = BufWriter::with_capacity(WRITE_BUFFER, create(path)?);
    let mut writer = BlockWriter::new(&mut file, daemon, taken_at)?;
    write(&mut writer)?;
    let bytes = writer.finish()?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(bytes)
}

/// Creates a file that nobody else may read: a snapshot holds the key of the
/// connection ids.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
