//! The name of the machine.

use nix::unistd::gethostname;

/// The name of the machine, `localhost` if it has none; gethostname(2).
pub fn host_name() -> String {
    let name = gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
