//! Files that are read and written while the service runs.
//!
//! A path can lead to something other than a regular file that blocks or never ends: a
//! named pipe, a device, a file server that does not respond. So only regular files are
//! read, and never on the main thread ([`reload`](crate::reload)). Files are written by
//! [replacing](replace) them atomically, so that nobody reads a partial file.

use std::fs::{self, File, FileType, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

/// Maximum length of a chain of symbolic links: that of the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The permission bits of the owner.
const OWNER: u32 = 0o700;

/// Opens a regular file for reading.
///
/// # Errors
///
/// Those of the system, and `InvalidInput` if the path does not lead to a regular file; the
/// message says to what it leads.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Opening a device may have side effects, so the type is checked first.
    require_regular(fs::metadata(path)?.file_type())?;
    // open(2): without O_NONBLOCK, opening a named pipe waits for its writer. It has no
    // effect on regular files. The path may lead to another file by now.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a whole regular file of at most `most_bytes` bytes.
///
/// # Errors
///
/// Those of [`open_regular`], and `FileTooLarge` if it is longer.
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

/// Replaces the file at `path` atomically: the output of `write` is written to a temporary
/// file in the same directory, which is synced and renamed. If the path is a symbolic link,
/// its target is replaced. The permissions are `mode`, as far as the umask allows, and at
/// least read and write for the owner.
///
/// # Errors
///
/// Those of the system, and of `write`. Then the file is unchanged, and the temporary file
/// is removed.
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
        // A partial file is useless; the previous one still exists.
        let _ = fs::remove_file(&temporary);
    })
}

/// Checks that a file can be at `path`: it is a regular file, or does not exist.
///
/// # Errors
///
/// What exists there instead, or why the path is invalid.
pub(crate) fn require_place(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => require_regular(metadata.file_type()),
        Err(error) if is_of_path(&error) => Err(error),
        Err(_) => Ok(()),
    }
}

/// Whether an error is about the path itself, so that neither time nor other permissions
/// help.
pub(crate) fn is_of_path(error: &io::Error) -> bool {
    // `InvalidInput` is returned for paths with a NUL byte, and by `require_regular`.
    error.kind() == io::ErrorKind::InvalidInput
        || matches!(
            error.raw_os_error(),
            Some(libc::ENAMETOOLONG | libc::ENOTDIR | libc::ELOOP)
        )
}

/// The temporary path for writing the file at `path`.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    beside(resolve(path).unwrap_or_else(|_| path.to_owned()))
}

fn beside(path: PathBuf) -> PathBuf {
    let mut name = path.into_os_string();
    name.push(".new");
    name.into()
}

/// The file to which a path leads, however it is written, or the place where it would be
/// created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    found: Found,
    /// Without symbolic links, as far as it exists.
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A file, with its device and inode numbers, which all its names share.
    File(u64, u64),
    Nothing,
    /// This process has no permission to look there.
    Unknown,
}

impl Identity {
    /// Determines what the path leads to now.
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

    /// Whether both lead to the same file, which may not exist yet. If at least one file
    /// existed, the two may have been determined before and after a chroot.
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

/// Resolves symbolic links at the end of a path. Their target may not exist.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = directory(&path).join(target),
            // It is not a link, or does not exist.
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

/// Creates or truncates a file; fails if it is a symbolic link, or if opening would block.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// Like [`create`], for a file that its owner can read and write, and that others can
/// access at most as `mode` says.
fn create_anew(path: &Path, mode: u32) -> io::Result<File> {
    let file = create(path, mode).or_else(|error| {
        // A process that was killed may have left a file that cannot be opened.
        let is_left = error.kind() == io::ErrorKind::PermissionDenied
            && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        if !is_left {
            return Err(error);
        }
        fs::remove_file(path)?;
        create(path, mode)
    })?;
    // open(2): the umask may also restrict the owner, and an existing file keeps its mode.
    let present = file.metadata()?.mode() & 0o7777;
    let wanted = present & mode | mode & OWNER;
    if present != wanted {
        file.set_permissions(Permissions::from_mode(wanted))?;
    }
    Ok(file)
}

/// The directory of a file.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Adds an explanation of the file size limit, which is missing in the system's message.
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
