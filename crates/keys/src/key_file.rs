//! Reading and replacing the file of keys.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use aquatic_policy::keys::KeyLine;
use nix::unistd::Group;

/// Maximum length of a line, as for the trackers.
const MAX_LINE_BYTES: usize = 4096;

/// How long to wait for another `aquatic-keys`.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// The group of the trackers, as packages make it.
const SERVICE_GROUP: &str = "aquatic";

/// The mode of a new file that the trackers' group can read, and of one that it cannot.
const MODE_FOR_GROUP: u32 = 0o640;
const MODE_FOR_OWNER: u32 = 0o600;

/// The permission bits of users who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// A line of the file.
pub(crate) struct Line<'a> {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// As in the file, with its line end, if it has one.
    pub(crate) text: &'a [u8],
    /// The key on it, if there is one.
    pub(crate) key: Option<KeyLine<'a>>,
}

/// Opens the file for reading.
pub(crate) fn open(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        // Opening a named pipe would wait for its writer.
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    ensure!(
        file.metadata()?.is_file(),
        "{} is not a regular file",
        path.display()
    );
    Ok(file)
}

/// Checks that only the owner and the group can access the file, as the trackers do.
///
/// # Errors
///
/// If others can, with how to correct that.
pub(crate) fn check_mode(file: &File, path: &Path) -> anyhow::Result<()> {
    let mode = file.metadata()?.mode() & 0o7777;
    ensure!(
        mode & OTHERS == 0,
        "others than the owner and the group of {0} can access it (mode {mode:04o}); correct \
         this with: chmod o-rwx {0}",
        path.display()
    );
    Ok(())
}

/// Calls `each` with every line.
///
/// # Errors
///
/// Those of reading and of `each`, and for a line that is invalid.
pub(crate) fn for_each_line(
    file: File,
    path: &Path,
    mut each: impl FnMut(&Line<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut text = BufReader::new(file);
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        let read = (&mut text)
            .take(MAX_LINE_BYTES as u64 + 1)
            .read_until(b'\n', &mut buffer)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if read == 0 {
            break;
        }
        ensure!(
            read <= MAX_LINE_BYTES,
            "{}: line {number} is longer than {MAX_LINE_BYTES} bytes",
            path.display()
        );
        let mark = "\u{feff}".as_bytes();
        let line = match buffer.strip_prefix(mark) {
            Some(rest) if number == 1 => rest,
            _ => &buffer,
        };
        let key =
            KeyLine::parse(line).with_context(|| format!("{}: line {number}", path.display()))?;
        each(&Line {
            number,
            text: &buffer,
            key,
        })?;
    }
    Ok(())
}

/// Replaces the file atomically, with its owner, group and mode; `edit` writes the new one.
/// A new file is for its owner, and for the group of the trackers, if there is one.
///
/// # Errors
///
/// Those of the system and of `edit`; then the file is unchanged.
pub(crate) fn replace<T>(
    path: &Path,
    edit: impl FnOnce(Option<File>, &mut dyn Write) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let path = resolve(path)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut temporary = path.clone().into_os_string();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // It stays locked until it was renamed or removed, at the end.
    let locked = lock(&temporary)?;
    let file = locked.try_clone()?;
    let before = match fs::symlink_metadata(&path) {
        Ok(_) => Some(open(&path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => bail!("cannot open {}: {error}", path.display()),
    };
    let result = write(before, file, edit)
        .map_err(|error| {
            // What `edit` has found says itself what is wrong.
            match error.is::<io::Error>() && error.chain().len() == 1 {
                true => error.context(format!("cannot write {}", temporary.display())),
                false => error,
            }
        })
        .and_then(|value| {
            fs::rename(&temporary, &path)
                .with_context(|| format!("cannot replace {}", path.display()))?;
            Ok(value)
        });
    if result.is_err() {
        // It is not there, or useless.
        let _ = fs::remove_file(&temporary);
    } else {
        // Some file systems cannot sync directories; the file itself has been synced.
        let _ = File::open(&directory).and_then(|directory| directory.sync_all());
    }
    drop(locked);
    result
}

/// Creates the temporary file, and locks it against another `aquatic-keys`. Only its owner can
/// open it, so no other user can hold the lock.
fn lock(temporary: &Path) -> anyhow::Result<File> {
    let end = Instant::now() + LOCK_PATIENCE;
    let context = || format!("cannot write {}", temporary.display());
    loop {
        // A process that was killed may have left one, which is used again.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE_FOR_OWNER)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(temporary)
            .with_context(context)?;
        match file.try_lock() {
            Ok(()) => {
                // Another one may have renamed or removed it since it was opened.
                let (own, there) = (file.metadata()?, fs::symlink_metadata(temporary));
                if there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                    ensure!(
                        own.is_file(),
                        "{} is not a regular file",
                        temporary.display()
                    );
                    file.set_len(0).with_context(context)?;
                    return Ok(file);
                }
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", temporary.display()));
            }
        }
        ensure!(
            Instant::now() < end,
            "another aquatic-keys is writing {}",
            temporary.display()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn write<T>(
    before: Option<File>,
    file: File,
    edit: impl FnOnce(Option<File>, &mut dyn Write) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mode = match &before {
        Some(before) => {
            let (metadata, own) = (before.metadata()?, file.metadata()?);
            if (metadata.uid(), metadata.gid()) != (own.uid(), own.gid()) {
                fchown(&file, Some(metadata.uid()), Some(metadata.gid())).with_context(|| {
                    format!(
                        "cannot keep the owner {} and the group {} of the file",
                        metadata.uid(),
                        metadata.gid()
                    )
                })?;
            }
            metadata.mode() & 0o7777
        }
        None => match Group::from_name(SERVICE_GROUP) {
            Ok(Some(group)) if fchown(&file, None, Some(group.gid.as_raw())).is_ok() => {
                MODE_FOR_GROUP
            }
            _ => MODE_FOR_OWNER,
        },
    };
    // After the owner, which resets some bits.
    file.set_permissions(Permissions::from_mode(mode))?;
    let mut writer = BufWriter::new(file);
    let value = edit(before, &mut writer)?;
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(value)
}

/// The file to which a path leads: links stay as they are.
fn resolve(path: &Path) -> anyhow::Result<PathBuf> {
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ensure!(
                fs::symlink_metadata(path).is_err(),
                "{} is a link to a file that does not exist",
                path.display()
            );
            Ok(path.to_owned())
        }
        Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
    }
}
