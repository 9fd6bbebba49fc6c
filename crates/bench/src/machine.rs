//! The cores to run on, and a description of the machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// Where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The core of the server that is measured.
    Server,
    /// The core of the load test.
    Load,
    /// Both of them, shared by server and load test.
    Both,
}

impl Cores {
    /// In the form of `taskset -c`.
    fn list(self) -> &'static str {
        match self {
            Self::Server => "0",
            Self::Load => "1",
            Self::Both => "0,1",
        }
    }

    /// A command that runs a program on these cores.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", self.list()]).arg(program);
        // Servers must not find other trackers of this machine.
        command.env_remove("XDG_RUNTIME_DIR");
        command
    }

    /// Lets all threads of a process run on these cores from now on.
    ///
    /// # Errors
    ///
    /// If there is no such process, or no program `taskset`.
    pub(crate) fn pin(self, pid: u32) -> anyhow::Result<()> {
        let status = Command::new("taskset")
            .args(["-a", "-c", "-p", self.list(), &pid.to_string()])
            .stdout(Stdio::null())
            .status()
            .context("cannot start taskset")?;
        ensure!(status.success(), "taskset cannot move process {pid}");
        Ok(())
    }
}

/// The machine of a measurement, as far as results depend on it; nothing that identifies
/// its owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo")
            .ok()
            .and_then(|text| value_of(&text, "model name"));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            cpu: cpu.unwrap_or_else(|| "unknown processor".to_owned()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.map_or_else(|| "unknown".to_owned(), |text| release(&text)),
        }
    }
}

/// The value of a line such as `model name : AMD EPYC`.
fn value_of(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, value) = line.split_once(':')?;
    Some(value.trim().to_owned())
}

/// The numbers of a kernel release, without suffixes.
fn release(text: &str) -> String {
    let numbers = text.trim().split(['-', '+']).next();
    numbers.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_model() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC: 9\n";
        assert_eq!(value_of(text, "model name").as_deref(), Some("AMD EPYC: 9"));
        assert_eq!(value_of(text, "bogus"), None);
    }

    #[test]
    fn a_release_names_no_builder() {
        assert_eq!(release("6.18.44-fc-v669\n"), "6.18.44");
        assert_eq!(release("6.1.0"), "6.1.0");
    }
}
