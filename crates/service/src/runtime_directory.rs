//! Directories for what does not outlive the boot of the machine, such as sockets.

use std::env;
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

/// The directory that all daemons share: `/run/aquatic`, for instance.
const SHARED: &str = "aquatic";

/// What systemd made for the service (`RuntimeDirectory=`, systemd.exec(5)): its own
/// directory first.
const OF_SERVICE: &str = "RUNTIME_DIRECTORY";

/// The directory of the user who is logged in (XDG Base Directory Specification).
const OF_USER: &str = "XDG_RUNTIME_DIR";

/// The directory of this service alone; `None` if it is not started by systemd.
pub(crate) fn own() -> Option<PathBuf> {
    of_service().into_iter().next()
}

/// The directory that the daemons of this machine share which run as the same user:
/// that of the services, or `aquatic` in the one of the user who started this one. `None`
/// if there is neither.
///
/// # Errors
///
/// The user's directory does not allow to make one in it.
pub fn shared() -> io::Result<Option<PathBuf>> {
    let is_shared = |directory: &PathBuf| directory.file_name() == Some(OsStr::new(SHARED));
    let of_service = of_service();
    if !of_service.is_empty() {
        return Ok(of_service.into_iter().find(is_shared));
    }
    let Some(of_user) = env::var_os(OF_USER).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let directory = PathBuf::from(of_user).join(SHARED);
    // Recursive: it may be there already.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)?;
    Ok(Some(directory))
}

fn of_service() -> Vec<PathBuf> {
    let list = env::var_os(OF_SERVICE).unwrap_or_default();
    let paths = env::split_paths(&list);
    paths.filter(|path| !path.as_os_str().is_empty()).collect()
}
