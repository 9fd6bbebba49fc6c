//! Threads of other processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail};

/// User and system time of the thread of a process that has this name. It may lack a tick
/// of the kernel if the thread is running.
///
/// # Errors
///
/// If there is no such thread, or the kernel does not count its time.
pub(crate) fn cpu_time(pid: u32, name: &str) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    for thread in threads {
        let directory = thread?.path();
        let read = |file: &str| {
            let path = directory.join(file);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        if read("comm")?.trim_end() == name {
            let text = read("schedstat")?;
            let nanoseconds = text.split(' ').next().unwrap_or_default();
            let nanoseconds = nanoseconds.parse().context("schedstat is unreadable")?;
            return Ok(Duration::from_nanos(nanoseconds));
        }
    }
    bail!("process {pid} has no thread called {name}")
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::process;
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_works_spends_time() {
        let thread = thread::Builder::new().name("busy".to_owned());
        let thread = thread.spawn(|| {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(200) {
                black_box((0..1000).sum::<u64>());
            }
        });
        let mut most = Duration::ZERO;
        for _ in 0..20 {
            // Before its start and after its end, no thread has this name.
            most = most.max(cpu_time(process::id(), "busy").unwrap_or_default());
            thread::sleep(Duration::from_millis(10));
        }
        thread.unwrap().join().unwrap();
        assert!(most > Duration::from_micros(100), "{most:?}");
    }
}
