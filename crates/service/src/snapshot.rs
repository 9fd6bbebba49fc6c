//! The file that preserves a daemon's state across restarts.
//!
//! A snapshot is a header and a sequence of blocks, each with its length and CRC-32. The
//! content of the blocks, and the version in the header, are those of the daemon. The last
//! block contains the number of blocks, so that truncated files are detected.
//! [`BlockWriter`] and [`BlockReader`] do not depend on files.
//!
//! The file is replaced atomically: written under a temporary name in the same directory,
//! synced, renamed, and the directory synced. If the path is a symbolic link, its target is
//! replaced. A file that cannot be restored is renamed, never overwritten, and the service
//! starts empty, because a tracker with an empty swarm recovers within one announce
//! interval, and one that does not start does not:
//!
//! * damaged: kept as `NAME.damaged`, the next ones as `NAME.damaged.2` and so on;
//! * of a newer version (after a downgrade): kept as `NAME.newer`, and so on.
//!
//! A start reads the file twice: first to check it, and then to restore it, which a daemon
//! may do while it serves.
//!
//! If it cannot be renamed, because the disk is read-only, it remains, and no snapshots are
//! written.
//!
//! If the file is a snapshot of another daemon, or does not begin like a snapshot, the path
//! is wrong: the service does not start, and the file is not changed. An empty file counts
//! as none.

use std::fs::File;
use std::io::{self, BufReader, Seek as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use crate::config::Diagnostic;
use crate::files;

mod blocks;
mod place;

pub use blocks::{Block, BlockReader, BlockWriter, MAX_PAYLOAD_BYTES, ReadError, read_blocks};

pub(crate) use place::{check_writable, write_file};

/// The configuration key of the file.
pub(crate) const KEY: &str = "snapshot.path";

/// Number of bytes that are written with one call.
const WRITE_BUFFER: usize = 256 * 1024;

/// A snapshot that has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Length of the file.
    pub bytes: u64,
    /// Duration of writing, including sync.
    pub duration: Duration,
    /// When writing began, in seconds since 1970.
    pub taken_at: u64,
}

/// The snapshot from which a daemon restores its state, if there is one.
#[derive(Debug, Default)]
pub struct Source {
    daemon: &'static str,
    /// The highest version that the daemon can read.
    newest: u32,
    path: Option<PathBuf>,
    /// When the restored snapshot was taken, in seconds since 1970.
    taken_at: Option<u64>,
    /// Why the file at the path must not be overwritten.
    keep: Option<String>,
}

/// A snapshot that was read to its end once, and is not damaged.
#[derive(Debug)]
pub struct Checked {
    path: PathBuf,
    file: File,
    newest: u32,
    begun: Instant,
}

impl Source {
    /// Reads the snapshot to its end, if there is one; returns it together with what `read`
    /// has returned.
    ///
    /// If `read` fails, or the file turns out to be damaged later, its result is dropped, the
    /// file is renamed, an error is logged, and `None` is returned: the daemon starts empty.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, belongs to another daemon, or is not a snapshot.
    pub fn check<T>(
        &mut self,
        read: impl FnOnce(&mut BlockReader<'_>) -> Result<T, ReadError>,
    ) -> anyhow::Result<Option<(T, Checked)>> {
        let Some(path) = self.path.take() else {
            return Ok(None);
        };
        let begun = Instant::now();
        let Some((path, mut file)) = open(&path)? else {
            log::info!("no snapshot at {}: starting empty", path.display());
            return Ok(None);
        };
        match read_whole(&mut file, self.daemon, self.newest, read) {
            Ok((state, taken_at)) => {
                self.taken_at = Some(taken_at);
                let checked = Checked {
                    path,
                    file,
                    newest: self.newest,
                    begun,
                };
                Ok(Some((state, checked)))
            }
            Err(error @ ReadError::Newer { .. }) => Ok(self.set_aside(&path, "newer", &error)),
            Err(error @ ReadError::Damaged(_)) => Ok(self.set_aside(&path, "damaged", &error)),
            Err(error) => Err(refusal(&path, self.daemon, error)),
        }
    }

    pub(crate) fn new(daemon: &'static str, newest: u32, path: Option<PathBuf>) -> Self {
        Self {
            daemon,
            newest,
            path,
            taken_at: None,
            keep: None,
        }
    }

    /// Why no snapshot may be written: it would overwrite one that could neither be used
    /// nor renamed.
    pub(crate) fn keep(&self) -> Option<&str> {
        self.keep.as_deref()
    }

    /// When the restored snapshot was taken, in seconds since 1970.
    pub(crate) fn taken_at(&self) -> Option<u64> {
        self.taken_at
    }

    /// Starts empty, whether or not the file can be renamed.
    fn set_aside<T>(&mut self, path: &Path, why: &str, error: &ReadError) -> Option<T> {
        match place::set_aside(path, why) {
            Ok(aside) => log::error!(
                "snapshot {} cannot be used: {error}; it is kept as {}, and the service starts empty",
                path.display(),
                aside.display()
            ),
            Err(renaming) => {
                let reason = format!(
                    "snapshot {} cannot be used ({error}), and cannot be set aside: {renaming}",
                    path.display()
                );
                log::error!("{reason}; the service starts empty");
                self.keep = Some(reason);
            }
        }
        None
    }
}

impl Checked {
    /// Passes all blocks to `restore` again, and logs the result. If it cannot be read any
    /// more, the file is renamed, and the daemon goes on with what it has.
    pub fn restore(mut self, restore: impl FnOnce(&mut BlockReader<'_>) -> Result<(), ReadError>) {
        let restored = self.read_again(restore);
        let path = self.path.display();
        match restored {
            Ok(taken_at) => log::info!(
                path = path.to_string(),
                age_seconds = seconds_since_epoch().saturating_sub(taken_at),
                milliseconds = self.begun.elapsed().as_millis() as u64;
                "restored the snapshot"
            ),
            Err(error) => {
                let now_at = match place::set_aside(&self.path, "damaged") {
                    Ok(aside) => format!("it is kept as {}", aside.display()),
                    Err(renaming) => format!("it cannot be set aside: {renaming}"),
                };
                log::error!("snapshot {path} was restored only in part: {error}; {now_at}");
            }
        }
    }

    fn read_again(
        &mut self,
        restore: impl FnOnce(&mut BlockReader<'_>) -> Result<(), ReadError>,
    ) -> Result<u64, ReadError> {
        self.file.rewind()?;
        let mut input = BufReader::with_capacity(WRITE_BUFFER, &mut self.file);
        let mut reader = BlockReader::new(&mut input, self.newest)?;
        restore(&mut reader)?;
        Ok(reader.taken_at())
    }
}

/// Checks whether a start as `daemon` would reject the file. Damage is not a reason, and is
/// not checked.
///
/// # Errors
///
/// Why it would be rejected.
pub(crate) fn inspect(path: &Path, daemon: &str, newest: u32) -> anyhow::Result<()> {
    match fault(path, daemon, newest)? {
        None | Some((_, ReadError::Damaged(_) | ReadError::Newer { .. })) => Ok(()),
        Some((path, error)) => Err(refusal(&path, daemon, error)),
    }
}

/// Checks whether a running daemon may replace the file: whether there is none, or one that
/// its start would read. Only a start sets files aside.
///
/// # Errors
///
/// Why not.
pub(crate) fn require_replaceable(path: &Path, daemon: &str, newest: u32) -> anyhow::Result<()> {
    match fault(path, daemon, newest)? {
        None => Ok(()),
        Some((path, error)) => Err(refusal(&path, daemon, error)),
    }
}

/// Why the beginning of a snapshot is not one of this daemon, if there is a file.
fn fault(path: &Path, daemon: &str, newest: u32) -> anyhow::Result<Option<(PathBuf, ReadError)>> {
    let Some((path, mut file)) = open(path)? else {
        return Ok(None);
    };
    let error = match BlockReader::new(&mut file, newest) {
        Ok(reader) if reader.daemon() == daemon => return Ok(None),
        Ok(reader) => ReadError::OtherDaemon {
            found: reader.daemon().to_owned(),
        },
        Err(error) => error,
    };
    Ok(Some((path, error)))
}

/// Opens a snapshot; returns its path too. `None` if it does not exist or is empty.
fn open(path: &Path) -> anyhow::Result<Option<(PathBuf, File)>> {
    let cannot_read = || format!("cannot read snapshot {}", path.display());
    let opened = files::resolve(path).and_then(|path| {
        let file = files::open_regular(&path)?;
        Ok((path, file))
    });
    let (path, file) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if files::is_of_path(&error) => {
            let message = format!("snapshot {}: {error}", path.display());
            return Err(Diagnostic::error(KEY, message).into());
        }
        Err(error) => return Err(error).with_context(cannot_read),
    };
    let is_empty = file.metadata().with_context(cannot_read)?.len() == 0;
    Ok((!is_empty).then_some((path, file)))
}

/// Why a start rejects the file at the path.
fn refusal(path: &Path, daemon: &str, error: ReadError) -> anyhow::Error {
    let path = path.display();
    match error {
        ReadError::Io(error) => {
            anyhow::Error::new(error).context(format!("cannot read snapshot {path}"))
        }
        ReadError::OtherDaemon { found } => {
            let message = format!(
                "snapshot {path} belongs to {found}, not to {daemon}; configure a separate file"
            );
            Diagnostic::error(KEY, message).into()
        }
        error => {
            let message = format!(
                "{path} is not a snapshot: {error}; it would be overwritten, so configure a \
                 different file, or move this one"
            );
            Diagnostic::error(KEY, message).into()
        }
    }
}

fn read_whole<T>(
    file: &mut File,
    daemon: &str,
    newest: u32,
    read: impl FnOnce(&mut BlockReader<'_>) -> Result<T, ReadError>,
) -> Result<(T, u64), ReadError> {
    let mut input = BufReader::with_capacity(WRITE_BUFFER, file);
    let mut reader = BlockReader::new(&mut input, newest)?;
    if reader.daemon() != daemon {
        return Err(ReadError::OtherDaemon {
            found: reader.daemon().to_owned(),
        });
    }
    let state = read(&mut reader)?;
    // If the daemon does not read up to the last block, a truncated file would not be
    // detected.
    while reader.next_block()?.is_some() {}
    Ok((state, reader.taken_at()))
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
