//! Files that are read while the service runs, whenever a signal asks for it.
//!
//! Whoever may put a file in place may also put something there that never ends
//! or never begins: a named pipe, a device, a file server that is gone. So only
//! regular files are read, and never on the main thread ([`reload`](crate::reload)).

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

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
}
