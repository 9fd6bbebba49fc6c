//! The directory in which a daemon finds its configuration when it is started without `-c`.

use std::env;
use std::path::PathBuf;

/// What a service manager sets for a service that has such a directory
/// (`ConfigurationDirectory=`, systemd.exec(5)), and a container image for its own.
const VARIABLE: &str = "CONFIGURATION_DIRECTORY";

/// The file of a daemon in that directory; `None` if there is no directory. Of several, the
/// first one counts, as for other directories of services.
pub(crate) fn file_of(daemon: &str) -> Option<PathBuf> {
    let list = env::var_os(VARIABLE)?;
    let first = env::split_paths(&list).next()?;
    (!first.as_os_str().is_empty()).then(|| first.join(format!("{daemon}.toml")))
}
