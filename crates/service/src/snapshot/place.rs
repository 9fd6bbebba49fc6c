//! Where a snapshot's file is, and how it is replaced and set aside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use super::{BlockWriter, KEY, WRITE_BUFFER, Written, seconds_since_epoch};
use crate::lifecycle::Misconfigured;

/// Symbolic links that may lead to each other: as many as the kernel follows
/// (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Files of one kind that are kept aside. The first ones stay, as they hold what
/// there was before the trouble began.
const MOST_ASIDE: usize = 4;

/// Replaces the file at `path` with what `write` writes.
pub(crate) fn write_file(
    path: &Path,
    daemon: &str,
    write: impl FnOnce(&mut BlockWriter<'_>) -> io::Result<()>,
) -> anyhow::Result<Written> {
    let start = Instant::now();
    let taken_at = seconds_since_epoch();
    let bytes = replace(path, daemon, taken_at, write)
        .map_err(explain)
        .with_context(|| format!("cannot write snapshot {}", path.display()))?;
    Ok(Written {
        bytes,
        duration: start.elapsed(),
        taken_at,
    })
}

/// Finds out whether a snapshot could be written, by creating an empty file
/// beside it. Its name is not the temporary one, which belongs to the service
/// that may be running while its configuration is checked.
///
/// Answers with why it could not be, if that may pass or does not keep the
/// service from its work: a disk that is full or read-only.
///
/// # Errors
///
/// When the path leads nowhere, so it is wrong.
pub(crate) fn check_writable(path: &Path) -> Result<Option<String>, Misconfigured> {
    let mut shown = path.to_owned();
    let tried = resolve(path).and_then(|path| {
        let mut temporary = path.clone().into_os_string();
        temporary.push(format!(".check-{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        shown = path;
        create(&temporary)?;
        fs::remove_file(&temporary)
    });
    let Err(error) = tried else { return Ok(None) };
    let wrong_path = matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)
    );
    let message = format!(
        "cannot create files in {}: {error}; the user of the service must be allowed to",
        directory(&shown).display()
    );
    if wrong_path {
        Err(Misconfigured::new(KEY, message))
    } else {
        Ok(Some(message))
    }
}

/// Renames a file that cannot be used; returns its new name.
pub(super) fn set_aside(path: &Path, why: &str) -> io::Result<PathBuf> {
    let name = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{why}"));
        if number > 1 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    };
    // What cannot be looked at counts as taken.
    let is_free = |name: &PathBuf| {
        let looked_at = fs::symlink_metadata(name);
        matches!(looked_at, Err(error) if error.kind() == io::ErrorKind::NotFound)
    };
    let aside = (1..MOST_ASIDE)
        .map(name)
        .find(is_free)
        .unwrap_or_else(|| name(MOST_ASIDE));
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Where a path leads: to itself, unless a symbolic link is there. What that leads
/// to need not exist.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = directory(&path).join(target),
            // It is something else than a link, or nothing yet.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
                ) =>
            {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

fn replace(
    path: &Path,
    daemon: &str,
    taken_at: u64,
    write: impl FnOnce(&mut BlockWriter<'_>) -> io::Result<()>,
) -> io::Result<u64> {
    let path = resolve(path)?;
    let temporary = temporary_name(&path);
    write_synced(&temporary, daemon, taken_at, write)
        .and_then(|bytes| {
            fs::rename(&temporary, &path)?;
            File::open(directory(&path))?.sync_all()?;
            Ok(bytes)
        })
        .inspect_err(|_| {
            // Half a snapshot is of no use; the one before it is still there.
            let _ = fs::remove_file(&temporary);
        })
}

/// Says what limits the size of files, as the system's own words do not.
fn explain(error: io::Error) -> io::Error {
    if error.raw_os_error() != Some(libc::EFBIG) {
        return error;
    }
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("{error}: raise LimitFSIZE= or `ulimit -f`, or move it to another file system"),
    )
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
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
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
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
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
