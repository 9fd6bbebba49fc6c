//! The limit of open files.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to what connections and workers need, as far
/// as anybody may.
pub(crate) fn allow_open_files(connections: usize, workers: usize) -> anyhow::Result<()> {
    let needed = (connections + FILES_OF_A_WORKER * workers) as u64 + OTHER_FILES;
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    if soft >= needed {
        return Ok(());
    }
    anyhow::ensure!(
        hard >= needed,
        "{needed} files have to be open at once, but the limit is {hard}; \
         raise it with `ulimit -Hn {needed}`, or use fewer connections"
    );
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard).context("cannot raise the limit of open files")
}

/// What an event loop needs, and one connection that is being closed.
const FILES_OF_A_WORKER: usize = 4;

/// Standard streams and what is read of `/proc`.
const OTHER_FILES: u64 = 64;
