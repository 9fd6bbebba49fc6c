//! An installed Redis or Valkey.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::machine::Cores;
use crate::server::Programs;

/// The programs that are searched for, in this order.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// How long an engine may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// An engine that is installed.
#[derive(Debug)]
pub(super) struct Installed {
    program: &'static str,
    /// Name and version: `Valkey 8.1.1`.
    pub(super) name: String,
}

impl Installed {
    /// The first one that is installed.
    pub(super) fn find() -> Option<Self> {
        PROGRAMS.into_iter().find_map(|program| {
            let output = Command::new(program).arg("--version").output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            let name = name_and_version(&text)?;
            Some(Self { program, name })
        })
    }
}

/// An engine that writes no file, on a Unix socket, on the core of the load test. It is
/// killed when it is dropped.
#[derive(Debug)]
pub(super) struct Engine {
    child: Child,
    socket: PathBuf,
    _directory: TempDir,
}

impl Engine {
    /// Starts it, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(super) fn start(installed: &Installed, programs: &Programs) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(programs.scratch())?;
        let socket = directory.path().join("engine.sock");
        let child = Cores::Load
            .command(Path::new(installed.program))
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(directory.path())
            .arg("--unixsocket")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {} (or taskset)", installed.program))?;
        let engine = Self {
            child,
            socket,
            _directory: directory,
        };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(&engine.socket).is_err() {
            if Instant::now() > deadline {
                bail!("{} does not start", installed.program);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(engine)
    }

    /// The URL for configurations.
    pub(super) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Fails only if it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Name and version from an engine's output, `Redis server v=7.0.15 sha=…`.
fn name_and_version(text: &str) -> Option<String> {
    let name = text.split_whitespace().next()?;
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="))?;
    Some(format!("{name} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_say_who_they_are() {
        let name = |text| name_and_version(text);
        assert_eq!(
            name("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"),
            Some("Redis 7.0.15".to_owned())
        );
        assert_eq!(
            name("Valkey server v=8.1.1 sha=00000000:0"),
            Some("Valkey 8.1.1".to_owned())
        );
        assert_eq!(name("usage: redis"), None);
    }
}
