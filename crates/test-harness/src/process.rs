//! Any child process with its output, ended when dropped.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// The pause between two checks of whether the process has ended.
const PAUSE: Duration = Duration::from_millis(2);

/// A running child process. Dropping this kills and reaps the process; if the test fails,
/// its output is printed first.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended, and everything it wrote.
#[derive(Debug)]
pub struct Finished {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

#[derive(Clone, Copy, Debug)]
enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug, Default)]
struct Output {
    text: Mutex<Text>,
    grew: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    stdout: String,
    stderr: String,
    open_streams: usize,
}

impl Process {
    /// Starts `command` with both output streams collected and an empty standard input.
    /// Messages contain `name`.
    ///
    /// # Panics
    /// When the process cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(name: &str, command: &mut Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("start {name} ({command:?}): {error}"));
        let output = Arc::new(Output::default());
        output.lock().open_streams = 2;
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let readers = vec![
            collect(stdout, Stream::Stdout, &output),
            collect(stderr, Stream::Stderr, &output),
        ];
        Self {
            name: name.to_owned(),
            child,
            output,
            readers,
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.output.lock().stderr.clone()
    }

    /// What the process has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.lock().stdout.clone()
    }

    /// Waits for a line that contains `needle` in either output stream, and returns it.
    ///
    /// # Panics
    /// When `patience` is over first, or the process closes its output without such a
    /// line.
    #[track_caller]
    pub fn wait_for_line(&self, needle: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let mut text = self.output.lock();
        loop {
            let found = [&text.stdout, &text.stderr]
                .into_iter()
                .flat_map(|stream| stream.lines())
                .find(|line| line.contains(needle));
            if let Some(line) = found {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || text.open_streams == 0 {
                let why = if left.is_zero() {
                    "in time"
                } else {
                    "and ended"
                };
                let shown = text.shown(&self.name);
                drop(text);
                panic!("{} did not write {needle:?} {why}\n{shown}", self.name);
            }
            text = self
                .output
                .grew
                .wait_timeout(text, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has ended already.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        signal::kill(self.pid(), signal)
            .unwrap_or_else(|error| panic!("send {signal} to {}: {error}", self.name));
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the process ends by itself.
    ///
    /// # Panics
    /// When it still runs after `patience`.
    #[track_caller]
    pub fn wait(mut self, patience: Duration) -> Finished {
        let deadline = Instant::now() + patience;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => panic!("wait for {}: {error}", self.name),
            }
            assert!(
                Instant::now() < deadline,
                "{} still runs after {} s",
                self.name,
                patience.as_secs_f32()
            );
            thread::sleep(PAUSE);
        };
        for reader in self.readers.drain(..) {
            // A reader does not panic; if it did, its part of the output would be
            // missing.
            let _ = reader.join();
        }
        let text = self.output.lock();
        Finished {
            status,
            stdout: text.stdout.clone(),
            stderr: text.stderr.clone(),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit i32"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprint!("{}", self.output.lock().shown(&self.name));
        }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Text {
    fn shown(&self, name: &str) -> String {
        let mut shown = String::new();
        for (stream, text) in [("output", &self.stdout), ("errors", &self.stderr)] {
            if !text.is_empty() {
                // Writing to a String cannot fail.
                let _ = writeln!(shown, "--- {name}: {stream}\n{}\n---", text.trim_end());
            }
        }
        shown
    }
}

fn collect(
    stream: impl Read + Send + 'static,
    which: Stream,
    output: &Arc<Output>,
) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line) {
            let mut text = output.lock();
            let target = match which {
                Stream::Stdout => &mut text.stdout,
                Stream::Stderr => &mut text.stderr,
            };
            target.push_str(&String::from_utf8_lossy(&line));
            line.clear();
            output.grew.notify_all();
        }
        output.lock().open_streams -= 1;
        output.grew.notify_all();
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::PATIENCE;

    fn shell(script: &str) -> Process {
        Process::start("shell", Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn output_and_exit_code_are_collected() {
        let finished = shell("echo out; echo err >&2; exit 3").wait(PATIENCE);
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.stdout, "out\n");
        assert_eq!(finished.stderr, "err\n");
    }

    #[test]
    fn a_line_is_awaited_and_a_signal_ends_the_process() {
        let process = shell("echo first; echo now it is ready >&2; exec sleep 60");
        let line = process.wait_for_line("ready", PATIENCE);
        assert_eq!(line, "now it is ready");
        process.signal(Signal::SIGTERM);
        assert_eq!(process.wait(PATIENCE).status.code(), None);
    }

    #[test]
    #[should_panic(expected = "did not write \"ready\" and ended")]
    fn a_line_that_never_comes_is_reported_when_the_process_ends() {
        shell("true").wait_for_line("ready", PATIENCE);
    }

    #[test]
    #[should_panic(expected = "still runs after")]
    fn waiting_has_an_end() {
        shell("exec sleep 60").wait(Duration::from_millis(10));
    }
}
