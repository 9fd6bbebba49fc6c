//! Directories for what does not outlive the boot of the machine, such as sockets.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// The directory that all daemons share: `/run/aquatic`, for instance.
const SHARED: &str = "aquatic";

/// What systemd made for the service (`RuntimeDirectory=`, systemd.exec(5)), in an order of
/// its own.
const OF_SERVICE: &str = "RUNTIME_DIRECTORY";

/// The directory of the user who is logged in (XDG Base Directory Specification).
const OF_USER: &str = "XDG_RUNTIME_DIR";

/// The bits of a mode with which the group or all can put files into a directory.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The directory of this service alone; `None` if systemd made none for it.
pub(crate) fn own() -> Option<PathBuf> {
    of_service().into_iter().find(|path| !is_shared(path))
}

fn is_shared(directory: &Path) -> bool {
    directory.file_name() == Some(OsStr::new(SHARED))
}

/// The directory that the daemons of this machine share which run as the same user:
/// that of the services, or `aquatic` in the one of the user who started this one. `None`
/// if there is neither.
///
/// # Errors
///
/// The user's directory does not allow to make one in it, or there is one in which others
/// could put sockets of their own.
pub fn shared() -> io::Result<Option<PathBuf>> {
    let of_service = of_service();
    if !of_service.is_empty() {
        return Ok(of_service.into_iter().find(|path| is_shared(path)));
    }
    match env::var_os(OF_USER).filter(|path| !path.is_empty()) {
        Some(of_user) => of_user_in(Path::new(&of_user)).map(Some),
        None => Ok(None),
    }
}

/// The shared directory in the user's one, which is made by whoever logs the user in, so
/// never here.
fn of_user_in(of_user: &Path) -> io::Result<PathBuf> {
    let refuse = |path: &Path, what: &str| {
        let message = format!("{} {what}", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    };
    if !of_user.is_absolute() {
        return refuse(of_user, "is no absolute path");
    }
    let directory = of_user.join(SHARED);
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let message = format!("cannot create {}: {error}", directory.display());
            return Err(io::Error::new(error.kind(), message));
        }
        _ => {}
    }
    // In a directory like /tmp, anybody may have made it, or linked it to another.
    let metadata = fs::symlink_metadata(&directory)?;
    if !metadata.is_dir() {
        return refuse(&directory, "is no directory");
    }
    if metadata.uid() != geteuid().as_raw() {
        return refuse(&directory, "belongs to another user");
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return refuse(&directory, "can be written by other users");
    }
    Ok(directory)
}

fn of_service() -> Vec<PathBuf> {
    let list = env::var_os(OF_SERVICE).unwrap_or_default();
    let paths = env::split_paths(&list);
    paths.filter(|path| !path.as_os_str().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_directory_of_the_user_is_made_once() {
        let of_user = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let directory = of_user_in(of_user.path()).unwrap();
            let mode = fs::metadata(&directory).unwrap().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn no_directory_is_taken_that_others_could_use() {
        let refused = |of_user: &Path| of_user_in(of_user).unwrap_err().to_string();
        let of_user = tempfile::tempdir().unwrap();
        let directory = of_user_in(of_user.path()).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o1777)).unwrap();
        let message = refused(of_user.path());
        assert!(
            message.ends_with("aquatic can be written by other users"),
            "{message}"
        );

        fs::remove_dir(&directory).unwrap();
        symlink(of_user.path(), &directory).unwrap();
        let message = refused(of_user.path());
        assert!(message.ends_with("aquatic is no directory"), "{message}");
    }

    #[test]
    fn what_is_no_directory_of_the_user_is_not_made() {
        let of_user = tempfile::tempdir().unwrap();
        let missing = of_user.path().join("missing");
        let message = of_user_in(&missing).unwrap_err().to_string();
        assert!(message.starts_with("cannot create "), "{message}");
        assert!(!missing.exists());
        let message = of_user_in(Path::new("run")).unwrap_err().to_string();
        assert_eq!(message, "run is no absolute path");
    }
}
