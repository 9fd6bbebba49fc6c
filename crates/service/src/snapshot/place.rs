//! Replacing and renaming snapshot files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use super::{BlockWriter, KEY, WRITE_BUFFER, Written, seconds_since_epoch};
use crate::config::Diagnostic;
use crate::files;

/// Only the owner may read a snapshot, because it contains the key of connection ids.
const MODE: u32 = 0o600;

/// Maximum number of renamed files per reason. The oldest ones are kept, because they
/// contain the state before the problem began.
const MAX_ASIDE: usize = 4;

/// Replaces the file at `path` with the output of `write`.
pub(crate) fn write_file(
    path: &Path,
    daemon: &str,
    version: u32,
    write: impl FnOnce(&mut BlockWriter<'_>) -> io::Result<()>,
) -> anyhow::Result<Written> {
    let start = Instant::now();
    let taken_at = seconds_since_epoch();
    let bytes = replace(path, daemon, version, taken_at, write)
        .with_context(|| format!("cannot write snapshot {}", path.display()))?;
    Ok(Written {
        bytes,
        duration: start.elapsed(),
        taken_at,
    })
}

/// Checks whether a snapshot can be written, by creating an empty file next to it. Its name
/// differs from the temporary one, which may be in use by the running service while its
/// configuration is checked.
///
/// Returns the reason if that is possibly temporary, or does not prevent the service from
/// running: for example, the disk is full or read-only.
///
/// # Errors
///
/// If the path is invalid.
pub(crate) fn check_writable(path: &Path) -> Result<Option<String>, Diagnostic> {
    let mut shown = path.to_owned();
    let tried = files::resolve(path).and_then(|path| {
        let mut temporary = path.clone().into_os_string();
        temporary.push(format!(".check-{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        shown = path;
        files::create(&temporary, MODE)?;
        fs::remove_file(&temporary)
    });
    let Err(error) = tried else { return Ok(None) };
    if error.raw_os_error() == Some(libc::ENAMETOOLONG) {
        let message = format!("{}: {error}", shown.display());
        return Err(Diagnostic::error(KEY, message));
    }
    let message = format!(
        "cannot create files in {}: {error}; the user of the service must be allowed to",
        files::directory(&shown).display()
    );
    if error.kind() == io::ErrorKind::NotFound || files::is_of_path(&error) {
        Err(Diagnostic::error(KEY, message))
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
    // If this cannot be determined, the name counts as taken.
    let is_free = |name: &PathBuf| {
        let looked_at = fs::symlink_metadata(name);
        matches!(looked_at, Err(error) if error.kind() == io::ErrorKind::NotFound)
    };
    let aside = (1..MAX_ASIDE)
        .map(name)
        .find(is_free)
        .unwrap_or_else(|| name(MAX_ASIDE));
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn replace(
    path: &Path,
    daemon: &str,
    version: u32,
    taken_at: u64,
    write: impl FnOnce(&mut BlockWriter<'_>) -> io::Result<()>,
) -> io::Result<u64> {
    let bytes = files::replace(path, MODE, |file| {
        let mut file = BufWriter::with_capacity(WRITE_BUFFER, file);
        let mut writer = BlockWriter::new(&mut file, daemon, version, taken_at)?;
        write(&mut writer)?;
        let bytes = writer.finish()?;
        file.flush()?;
        Ok(bytes)
    })?;
    // So that the renaming also survives a power failure.
    File::open(files::directory(&files::resolve(path)?))?.sync_all()?;
    Ok(bytes)
}
