//! The files to which a configured path leads: itself, or those of a directory.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Maximum number of names in a directory.
const MAX_NAMES: usize = 10_000;

/// Maximum number of files that are read from a directory.
pub(super) const MAX_FILES: usize = 1_000;

/// The file at `path`; of a directory, all regular files in it, in the order of their names.
/// Names that begin with a dot or end with `~` are left out: those of temporary and backup
/// files.
///
/// # Errors
///
/// Those of the system, and if the directory has too many names. A file is not opened.
pub(crate) fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for (number, entry) in fs::read_dir(path)?.enumerate() {
        let entry = entry?;
        if number >= MAX_NAMES {
            return Err(too_many(MAX_NAMES, "names"));
        }
        if is_left_out(&entry.file_name()) {
            continue;
        }
        let file = entry.path();
        // What a symbolic link leads to.
        let metadata = match fs::metadata(&file) {
            Ok(metadata) => metadata,
            Err(_) if is_gone(&file) => continue,
            Err(error) => {
                let text = format!("{}: {error}", entry.file_name().display());
                return Err(io::Error::new(error.kind(), text));
            }
        };
        if metadata.is_file() {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(too_many(MAX_FILES, "files"));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether nothing is there any more, not even a symbolic link: a file can be removed or
/// renamed while its directory is read.
pub(super) fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn is_left_out(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") || name.ends_with(b"~")
}

fn too_many(maximum: usize, what: &str) -> io::Error {
    let text = format!("the directory has more than {maximum} {what}");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_is_its_regular_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["b", "a~", ".a", "a", "10", "9", ".", ""] {
            if !name.is_empty() && name != "." {
                fs::write(at(name), "").unwrap();
            }
        }
        fs::create_dir(at("c")).unwrap();
        nix::unistd::mkfifo(&at("d"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("a~", at("e")).unwrap();
        symlink("c", at("f")).unwrap();
        let expected = ["10", "9", "a", "b", "e"].map(at);
        assert_eq!(files(directory.path()).unwrap(), expected);
        assert_eq!(files(&at("a~")).unwrap(), [at("a~")]);
        // It is opened, and the error says what it is.
        assert_eq!(files(&at("d")).unwrap(), [at("d")]);

        symlink("nowhere", at("g")).unwrap();
        let error = files(directory.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("g: "), "{error}");
        assert!(files(&at("nothing")).is_err());
    }

    #[test]
    fn a_directory_has_a_bounded_number_of_files() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..MAX_FILES {
            fs::write(directory.path().join(number.to_string()), "").unwrap();
        }
        assert_eq!(files(directory.path()).unwrap().len(), MAX_FILES);
        fs::write(directory.path().join("one"), "").unwrap();
        let error = files(directory.path()).unwrap_err().to_string();
        assert_eq!(error, "the directory has more than 1000 files");
    }
}
