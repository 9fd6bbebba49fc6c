//! Files that are read and written while the service runs.
//!
//! Whoever may put a file in place may also put something there that never ends
//! or never begins: a named pipe, a device, a file server that is gone. So only
//! regular files are read, and never on the main thread ([`reload`](crate::reload)).
//! A file that is written is [replaced](replace) whole, so that nobody ever reads half
//! of it.

use std::fs::{self, File, FileType, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

/// Symbolic links that may lead to each other: as many as the kernel follows
/// (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The bits of a mode that say what the owner may do.
const OWNER: u32 = 0o700;

/// Opens a regular file for reading.
///
/// # Errors
///
/// Those of the system, and `InvalidInput` when the path leads to something else
/// than a regular file; the message says to what.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Opening a device can do something by itself, so it is looked at first.
    require_regular(fs::metadata(path)?.file_type())?;
    // open(2): without O_NONBLOCK, opening a named pipe waits for its writer. It
    // has no effect on regular files. By now the path may lead elsewhere.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a whole regular file of at most `most_bytes`.
///
/// # Errors
///
/// Those of [`open_regular`], and `FileTooLarge` when it is longer.
pub fn read_regular(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut limited = open_regular(path)?.take(most_bytes.saturating_add(1));
    limited.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most_bytes {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {most_bytes} bytes"),
        ));
    }
    Ok(bytes)
}

/// Replaces the file at `path` with what `write` writes: that is written under a
/// temporary name in the same directory, synced, and renamed. Where the path is a
/// symbolic link, that happens where it leads to. Who may read the file is said by
/// `mode`, as far as the umask allows it to others than the file's owner.
///
/// # Errors
///
/// Those of the system, and of `write`. Then the file is as it was, and nothing is left
/// beside it.
pub fn replace<T>(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<T>,
) -> io::Result<T> {
    let path = resolve(path)?;
    let temporary = beside(path.clone());
    let written = create_anew(&temporary, mode).and_then(|mut file| {
        let value = write(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        Ok(value)
    });
    written.map_err(explain).inspect_err(|_| {
        // Half a file is of no use; the one before it is still there.
        let _ = fs::remove_file(&temporary);
    })
}

/// Makes sure that a file could be at `path`: there is a regular one, or none.
///
/// # Errors
///
/// What is there instead, or why there is no such path.
pub(crate) fn require_place(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => require_regular(metadata.file_type()),
        Err(error) if is_of_path(&error) => Err(error),
        Err(_) => Ok(()),
    }
}

/// Whether an error is one of the path itself, which neither time nor rights mend.
pub(crate) fn is_of_path(error: &io::Error) -> bool {
    // The former is said of a NUL in it, and by `require_regular`.
    error.kind() == io::ErrorKind::InvalidInput
        || matches!(
            error.raw_os_error(),
            Some(libc::ENAMETOOLONG | libc::ENOTDIR | libc::ELOOP)
        )
}

/// Where the file at `path` is written before it gets that name.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    beside(resolve(path).unwrap_or_else(|_| path.to_owned()))
}

fn beside(path: PathBuf) -> PathBuf {
    let mut name = path.into_os_string();
    name.push(".new");
    name.into()
}

/// What a path leads to, however it is spelled: a file, or the place where one would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    found: Found,
    /// Without links, as far as there is anything.
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A file, by its device and its number there, which all its names share.
    File(u64, u64),
    Nothing,
    /// The path leads where this process may not look.
    Unknown,
}

impl Identity {
    /// Looks at what is at the path now.
    pub(crate) fn of(path: &Path) -> Self {
        let found = match fs::metadata(path) {
            Ok(metadata) => Found::File(metadata.dev(), metadata.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(_) => Found::Unknown,
        };
        Self {
            found,
            path: without_links(path),
        }
    }

    /// Whether both lead to one file, which need not be there yet. Two paths may have
    /// been looked at under different root directories, unless neither had a file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self.found, other.found) {
            (Found::File(..), Found::Nothing) | (Found::Nothing, Found::File(..)) => false,
            (one @ Found::File(..), other @ Found::File(..)) => one == other,
            _ => self.path == other.path,
        }
    }
}

fn without_links(path: &Path) -> PathBuf {
    let path = resolve(path).unwrap_or_else(|_| path.to_owned());
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    match (directory(&path).canonicalize(), path.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => path,
    }
}

/// Where a path leads: to itself, unless a symbolic link is there. What that leads
/// to need not exist.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
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

/// Creates a file, or empties the one that is there, unless that is a link to another
/// or would have this wait.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// As [`create`], for a file that its owner can read and write, and nobody else more
/// than `mode` says.
fn create_anew(path: &Path, mode: u32) -> io::Result<File> {
    let file = create(path, mode).or_else(|error| {
        // A process that ended in the middle may have left one that cannot be opened.
        let is_left = error.kind() == io::ErrorKind::PermissionDenied
            && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        if !is_left {
            return Err(error);
        }
        fs::remove_file(path)?;
        create(path, mode)
    })?;
    // open(2): the umask takes away what it likes, from the owner, too; and a file that
    // was there keeps what it had.
    let present = file.metadata()?.mode() & 0o7777;
    let wanted = present & mode | mode & OWNER;
    if present != wanted {
        file.set_permissions(Permissions::from_mode(wanted))?;
    }
    Ok(file)
}

/// The directory that a file is in.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
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

fn require_regular(kind: FileType) -> io::Result<()> {
    let is = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {is}, not a regular file"),
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (path, is) in [
            (directory.path(), "a directory"),
            (&pipe, "a named pipe"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let error = open_regular(path).unwrap_err();
            assert_eq!(error.to_string(), format!("it is {is}, not a regular file"));
        }

        let file = directory.path().join("file");
        let link = directory.path().join("link");
        fs::write(&file, "12345").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_regular(&link, 5).unwrap(), b"12345");
        assert_eq!(
            read_regular(&link, 4).unwrap_err().to_string(),
            "it is longer than 4 bytes"
        );
    }

    #[test]
    fn one_file_is_known_by_all_its_names() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::write(at("other"), "").unwrap();
        fs::create_dir(at("deeper")).unwrap();
        fs::hard_link(at("file"), at("hard")).unwrap();
        for (link, target) in [("soft", "file"), ("loose", "nothing"), ("further", "loose")] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        let is_same = |one: &str, other: &str| {
            let (one, other) = (Identity::of(&at(one)), Identity::of(&at(other)));
            assert_eq!(one.is_same(&other), other.is_same(&one));
            one.is_same(&other)
        };
        for name in ["file", "./file", "deeper/../file", "hard", "soft"] {
            assert!(is_same("file", name), "{name}");
            assert!(
                !is_same("other", name) && !is_same("nothing", name),
                "{name}"
            );
        }
        for name in ["nothing", "deeper/../nothing", "loose", "further"] {
            assert!(is_same("nothing", name), "{name}");
            assert!(!is_same("missing", name), "{name}");
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        let write = |text: &'static [u8]| {
            replace(&link, 0o600, |file| {
                file.write_all(text)?;
                if text == b"bad" {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Ok(text.len())
            })
        };
        for text in [&b"first"[..], b"second"] {
            assert_eq!(write(text).unwrap(), text.len());
            assert_eq!(fs::read(&file).unwrap(), text);
        }
        assert_eq!(
            write(b"bad").unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("file"));
        assert_eq!(names(directory.path()), ["file", "link"]);
    }
}
