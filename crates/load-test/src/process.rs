//! Resource use of the tracker's process.

use std::fs;
use std::num::NonZero;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A process whose CPU time and memory can be read.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pid: NonZero<u32>,
    clock: ClockId,
}

impl Process {
    /// Fails if the process does not exist.
    pub fn new(pid: NonZero<u32>) -> anyhow::Result<Self> {
        // Larger numbers would be ids of other clocks.
        if pid.get() > MAX_PID {
            bail!("there is no process {pid}: ids go up to {MAX_PID}");
        }
        let clock = clock_getcpuclockid(Pid::from_raw(pid.get().cast_signed()))
            .with_context(|| format!("cannot read the CPU time of process {pid}"))?;
        Ok(Self { pid, clock })
    }

    /// User and system time of all threads since the process started, including threads
    /// that have ended.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let time =
            clock_gettime(self.clock).with_context(|| format!("process {} has ended", self.pid))?;
        Ok(time.into())
    }

    /// Memory in use, in bytes (resident set).
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        // This is more exact, but only readable by the user of the process.
        if let Some(bytes) = fs::read_to_string(path)
            .ok()
            .and_then(|text| kibibytes(&text, "Rss:"))
        {
            return Ok(bytes);
        }
        let path = format!("/proc/{}/status", self.pid);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        match kibibytes(&text, "VmRSS:") {
            Some(bytes) => Ok(bytes),
            None => bail!("{path} has no line VmRSS"),
        }
    }
}

/// The limit of the kernel (`PID_MAX_LIMIT`).
const MAX_PID: u32 = 1 << 22;

/// The value of a line such as `VmRSS:   1234 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::process;
    use std::time::Instant;

    use super::*;

    fn this_process() -> Process {
        Process::new(NonZero::new(process::id()).unwrap()).unwrap()
    }

    #[test]
    fn cpu_time_passes_with_work() {
        let process = this_process();
        let before = process.cpu_time().unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(20) {
            black_box((0..1000).sum::<u64>());
        }
        let spent = process.cpu_time().unwrap() - before;
        assert!(spent > Duration::from_micros(100), "{spent:?}");
    }

    #[test]
    fn memory_is_counted_in_bytes() {
        let process = this_process();
        let before = process.resident_bytes().unwrap();
        let block = black_box(vec![1u8; 128 << 20]);
        // Tests beside this one free some.
        let more = process.resident_bytes().unwrap() - before;
        assert!((64 << 20..512 << 20).contains(&more), "{more}");
        drop(block);
    }

    #[test]
    fn reads_lines_of_the_kernel() {
        assert_eq!(
            kibibytes("a: 1 kB\nVmRSS:\t  12 kB\n", "VmRSS:"),
            Some(12288)
        );
        assert_eq!(kibibytes("VmRSS: many\n", "VmRSS:"), None);
    }

    #[test]
    fn there_must_be_such_a_process() {
        for pid in [MAX_PID, u32::MAX] {
            assert!(Process::new(NonZero::new(pid).unwrap()).is_err());
        }
    }
}
