//! Where a snapshot's file is, and how it is replaced and set aside.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use super::{BlockWriter, KEY, WRITE_BUFFER, Written, seconds_since_epoch};
use crate::config::Diagnostic;
use crate::files;

/// Nobody else may read a snapshot: it holds the key of the connection ids.
const MODE: u32 = 0o600;

/// Files of one kind that are kept aside. The first ones stay, as they hold what
/// there was before the trouble began.
const MAX_ASIDE: usize = 4;

/// Replaces the file at `path` with what `write` writes.
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
    // What cannot be looked at counts as taken.
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
    // The new name outlives a failure of power, too.
    File::open(files::directory(&files::resolve(path)?))?.sync_all()?;
    Ok(bytes)
}
