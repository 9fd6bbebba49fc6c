//! Other programs, which get a limited time, and may be missing.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// The interval between checks whether a program has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// Maximum length of a program's output. A ruleset of a firewall can be large.
const MAX_OUTPUT: u64 = 32 << 20;

/// Where programs of administrators are, also if the user's `PATH` lacks them.
const ADMINISTRATORS: &str = "/usr/sbin:/sbin:/usr/local/sbin";

/// What a program has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) is_success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Why there is no output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The program is not installed.
    Missing,
    /// Something else, in words.
    Other(String),
}

impl Output {
    /// The first line of what it says about a failure.
    pub(crate) fn complaint(&self) -> &str {
        self.stderr.lines().next().unwrap_or("it failed").trim()
    }
}

impl Failure {
    /// A sentence for people.
    pub(crate) fn text(&self, program: &str) -> String {
        match self {
            Self::Missing => format!("{program} is not installed"),
            Self::Other(reason) => format!("{program}: {reason}"),
        }
    }
}

/// Runs a program, in English and without a terminal.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<Output, Failure> {
    let mut command = Command::new(program);
    command.args(arguments);
    run_within(command, PATIENCE)
}

/// Runs a program of any command line.
pub(crate) fn run_within(mut command: Command, patience: Duration) -> Result<Output, Failure> {
    let mut path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    path.push(":");
    path.push(ADMINISTRATORS);
    command
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("SYSTEMD_PAGER", "")
        .env("SYSTEMD_COLORS", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Failure::Missing
        } else {
            Failure::Other(error.to_string())
        }
    })?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let end = Instant::now() + patience;
    let status = wait(&mut child, end)?;
    let text = |output: Option<Receiver<String>>| {
        // A child of the program may keep its output open.
        let left = end.saturating_duration_since(Instant::now()).max(PAUSE);
        output.and_then(|output| output.recv_timeout(left).ok())
    };
    // A part of it may say the opposite of the whole.
    let incomplete = || Failure::Other("its output is endless".to_owned());
    Ok(Output {
        is_success: status.success(),
        stdout: text(stdout).ok_or_else(incomplete)?,
        stderr: text(stderr).unwrap_or_default(),
    })
}

/// Waits until a child ends; kills it when the time is over.
fn wait(child: &mut Child, end: Instant) -> Result<ExitStatus, Failure> {
    let other = |error: std::io::Error| Failure::Other(error.to_string());
    loop {
        if let Some(status) = child.try_wait().map_err(other)? {
            return Ok(status);
        }
        if Instant::now() >= end {
            child.kill().map_err(other)?;
            child.wait().map_err(other)?;
            return Err(Failure::Other("no answer in time".to_owned()));
        }
        thread::sleep(PAUSE);
    }
}

/// Reads all output, so that the program never waits for a reader. Nothing is sent if it is
/// too long.
fn collect(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = source.take(MAX_OUTPUT + 1).read_to_end(&mut bytes);
        if bytes.len() as u64 > MAX_OUTPUT {
            return;
        }
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_collected() {
        let output = run("sh", &["-c", "echo out; echo err >&2; exit 3"]).unwrap();
        assert!(!output.is_success);
        assert_eq!((&*output.stdout, &*output.stderr), ("out\n", "err\n"));
    }

    #[test]
    fn missing_programs_are_recognized() {
        assert_eq!(run("no-such-program-here", &[]), Err(Failure::Missing));
    }

    #[test]
    fn output_without_an_end_is_not_used() {
        for script in ["echo part; sleep 3 &", "head -c 34000000 /dev/zero"] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let result = run_within(command, Duration::from_secs(2));
            assert!(matches!(result, Err(Failure::Other(_))), "{script}");
        }
    }

    #[test]
    fn programs_that_hang_are_ended() {
        let mut command = Command::new("sleep");
        command.arg("1000");
        let began = Instant::now();
        let result = run_within(command, Duration::from_millis(50));
        assert!(matches!(result, Err(Failure::Other(_))), "{result:?}");
        assert!(began.elapsed() < Duration::from_secs(100));
    }
}
