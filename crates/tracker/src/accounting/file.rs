//! The file of accounting, and how it is rotated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use aquatic_policy::keys::Expiry;
use aquatic_service::config::AccountingConfig;

/// The mode of the file: others learn who shares what.
const MODE: u32 = 0o640;

/// Time after which what was written is on the disk: as much is lost if the machine fails.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum number of attempts to write lines to a file that is removed meanwhile.
const ATTEMPTS: usize = 3;

/// Maximum number of files that are rotated in the same second.
const MAX_SAME_SECOND: u32 = 100;

/// Maximum number of entries of the directory that are searched for rotated files.
const MAX_ENTRIES: usize = 100_000;

/// The file, which is opened when something is to be written.
pub(super) struct AccountingFile {
    path: PathBuf,
    max_bytes: u64,
    /// How many rotated files are kept.
    max_files: usize,
    open: Option<Open>,
    /// The time in the name of the last rotated file, in seconds since 1970, and the number
    /// behind it.
    rotated: Option<(u32, u32)>,
}

struct Open {
    file: File,
    /// Its length, up to the end of the last whole line.
    length: u64,
    /// Device and inode.
    identity: (u64, u64),
    synced: Instant,
    is_dirty: bool,
    /// Whether something may be behind the last whole line.
    is_torn: bool,
}

impl AccountingFile {
    pub(super) fn new(config: &AccountingConfig) -> Self {
        Self {
            path: config.path.clone(),
            max_bytes: config.max_file_bytes.as_u64(),
            max_files: config.max_files.as_usize(),
            open: None,
            rotated: None,
        }
    }

    /// Takes over limits, and opens the file again. The path stays as it is.
    pub(super) fn reconfigure(&mut self, config: &AccountingConfig) {
        self.max_bytes = config.max_file_bytes.as_u64();
        self.max_files = config.max_files.as_usize();
        // Dropping it closes it; what was written is in the system's cache at least.
        if let Err(error) = self.sync() {
            log::warn!("accounting: cannot sync {}: {error}", self.path.display());
        }
        self.open = None;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines: all of them or, on an error, none. Also syncs and reopens the
    /// file if that is due.
    pub(super) fn write(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        self.forget_if_moved();
        if lines.is_empty() {
            return self.sync_if_due(now);
        }
        for _ in 0..ATTEMPTS {
            self.append(lines, now)?;
            // Nobody finds what is in a file without a name, which was removed, perhaps with
            // its directory, since it was looked for.
            if !self.is_removed() {
                // The lines are written, so an error here is none of theirs.
                if let Err(error) = self.sync_if_due(now) {
                    log::warn!("accounting: cannot sync {}: {error}", self.path.display());
                }
                return Ok(());
            }
            self.open = None;
        }
        Err(io::Error::other("the file is removed again and again"))
    }

    fn append(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        let length = self.open(now)?.length;
        if length > 0 && length + lines.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        let open = self.open(now)?;
        if let Err(error) = open.append(lines) {
            open.is_torn = true;
            open.truncate();
            return Err(error);
        }
        Ok(())
    }

    /// Has what was written on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.is_dirty {
            open.file.sync_data()?;
            open.is_dirty = false;
        }
        Ok(())
    }

    fn sync_if_due(&mut self, now: Instant) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.is_dirty && now.saturating_duration_since(open.synced) >= SYNC_INTERVAL {
            open.synced = now;
            return self.sync();
        }
        Ok(())
    }

    /// Closes the file if another program has moved or removed it. This takes a microsecond,
    /// at most once for each chunk of lines.
    fn forget_if_moved(&mut self) {
        let Some(open) = &self.open else {
            return;
        };
        let found = fs::metadata(&self.path).map(|it| (it.dev(), it.ino()));
        if found.ok() != Some(open.identity) {
            self.open = None;
        }
    }

    /// Whether the open file has no name any more.
    fn is_removed(&self) -> bool {
        let metadata = self.open.as_ref().and_then(|it| it.file.metadata().ok());
        metadata.is_some_and(|it| it.nlink() == 0)
    }

    fn open(&mut self, now: Instant) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Open::at(&self.path, now)?,
        };
        Ok(self.open.insert(open))
    }

    /// Renames the file by the time, and removes the oldest of those.
    fn rotate(&mut self) -> io::Result<()> {
        // After an error, nothing of it is lost: it is only longer than it should be.
        self.sync()?;
        // A link stays, and keeps its target.
        let path = self.path.canonicalize()?;
        let name = self.name_for_rotated(&path)?;
        fs::rename(&path, &name)?;
        self.open = None;
        if let Err(error) = remove_oldest(&path, &name, self.max_files) {
            let path = path.display();
            log::warn!("accounting: cannot remove the oldest rotated file of {path}: {error}");
        }
        Ok(())
    }

    /// What the file at `path` is renamed to. Numbers of the same second are not used again,
    /// so that names are in the order of the files.
    fn name_for_rotated(&mut self, path: &Path) -> io::Result<PathBuf> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let first = match self.rotated {
            Some((same, number)) if same == seconds => number + 1,
            _ => 0,
        };
        let time = time_in_name(seconds);
        for number in first..MAX_SAME_SECOND {
            let mut name = path.to_owned().into_os_string();
            name.push(format!(".{time}-{number:02}"));
            if fs::symlink_metadata(&name).is_err() {
                self.rotated = Some((seconds, number));
                return Ok(name.into());
            }
        }
        Err(io::Error::other(
            "too many files were rotated within a second; raise accounting.max_file_bytes",
        ))
    }
}

/// Removes the oldest rotated files of `path`, but for the latest `max_files`. One that was
/// rotated now is the `latest`: if names have later times, the clock was wrong, and they are
/// older. Continues after an error.
fn remove_oldest(path: &Path, latest: &Path, max_files: usize) -> io::Result<()> {
    let (Some(directory), Some(own)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let own = own.as_encoded_bytes();
    let mut rotated = Vec::new();
    for entry in fs::read_dir(directory)?.take(MAX_ENTRIES) {
        let entry = entry?;
        let name = entry.file_name();
        let end = name.as_encoded_bytes().strip_prefix(own);
        if end.is_some_and(is_end_of_rotated) {
            rotated.push(entry.path());
        }
    }
    // The names are in the order of their times.
    rotated.sort_unstable();
    let of_now = rotated.partition_point(|path| path.as_path() <= latest);
    rotated.rotate_left(of_now);
    let surplus = rotated.len().saturating_sub(max_files);
    let mut result = Ok(());
    for path in &rotated[..surplus] {
        result = fs::remove_file(path).and(result);
    }
    result
}

impl Open {
    fn at(path: &Path, now: Instant) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            // Opening a named pipe would wait for its reader.
            .custom_flags(NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let length = metadata.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Self {
            file,
            length,
            identity: (metadata.dev(), metadata.ino()),
            synced: now,
            is_dirty: false,
            // A process that was killed may have written a part of a line.
            is_torn: last != *b"\n",
        })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.is_dirty = true;
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.length += 1;
        }
        self.file.write_all(lines)?;
        self.length += lines.len() as u64;
        self.is_torn = false;
        Ok(())
    }

    /// Removes what was written of lines that did not fit as a whole.
    fn truncate(&mut self) {
        if self.file.set_len(self.length).is_ok() {
            // The last line is whole, unless it was torn before this process opened it.
            self.is_torn = self.length > 0 && !self.ends_with_line();
        }
    }

    fn ends_with_line(&mut self) -> bool {
        let mut last = [0];
        let read = self
            .file
            .seek(SeekFrom::Start(self.length - 1))
            .and_then(|_| self.file.read_exact(&mut last));
        read.is_ok() && last == *b"\n"
    }
}

/// `O_NONBLOCK` of Linux.
pub(super) const NONBLOCK: i32 = 0o4000;

/// A time in names: `20270131T120000Z`.
fn time_in_name(epoch_seconds: u32) -> String {
    let text = Expiry::at(epoch_seconds).to_string();
    let text = if text.contains('T') {
        text
    } else {
        // The first second of a day.
        format!("{text}T00:00:00Z")
    };
    text.replace(['-', ':'], "")
}

/// Whether this follows the name of the file in that of a rotated one.
fn is_end_of_rotated(end: &[u8]) -> bool {
    const FORM: &[u8] = b".00000000T000000Z-00";

    end.len() == FORM.len()
        && end.iter().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_name_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts");
        let mut file = AccountingFile::new(&AccountingConfig {
            path: path.clone(),
            ..AccountingConfig::default()
        });
        let now = Instant::now();
        file.write(b"1\n", now).unwrap();
        assert!(!file.is_removed());
        fs::remove_file(&path).unwrap();
        // As if it had been removed after it was looked for.
        file.append(b"2\n", now).unwrap();
        assert!(file.is_removed());
        file.write(b"3\n", now).unwrap();
        assert!(!file.is_removed());
        assert_eq!(fs::read(&path).unwrap(), b"3\n");
    }
}
