//! A machine in namespaces that lacks something.

use std::path::Path;
use std::thread;
use std::time::Instant;

use crate::network::{self, Namespace, ip};
use crate::tracker::Place;
use crate::waiting::{PATIENCE, eventually};
use crate::{Daemon, Signal, tools};

/// A network with loopback only, mounts of its own, and the programs through which
/// daemons are started.
#[derive(Debug)]
pub struct Machine {
    namespace: Namespace,
    wrapper: Vec<String>,
}

/// The result of a start.
#[derive(Debug)]
pub enum Start {
    /// The daemon is ready.
    Serves(Daemon),
    /// The daemon has ended, with this error.
    Refuses(String),
}

impl Machine {
    /// A machine with these programs, or `None` if it cannot be made; then the test is to
    /// be skipped, and the reason was printed.
    ///
    /// # Panics
    /// When a program is missing and skipping is not allowed.
    #[must_use]
    #[track_caller]
    pub fn new(programs: &[&str]) -> Option<Self> {
        if !tools::needs_root() || !tools::needs(&network::PROGRAMS) || !tools::needs(programs) {
            return None;
        }
        let namespace = Namespace::with_mounts();
        ip(&namespace, "link set lo up");
        let wrapper = namespace.entering();
        Some(Self { namespace, wrapper })
    }

    /// The same machine, with daemons started through one more program.
    #[must_use]
    pub fn through<W: Into<String>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.wrapper.extend(words.into_iter().map(Into::into));
        self
    }

    /// Runs a shell script, in which `$1` is `path`.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn shell(&self, script: &str, path: &Path) {
        let mut shell = self.namespace.command("sh");
        let output = shell.args(["-e", "-c", script, "sh"]).arg(path).output();
        let output = output.unwrap_or_else(|error| panic!("{script}: {error}"));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {message}");
    }

    /// Runs `action` in the machine's network, in a thread of its own.
    ///
    /// # Panics
    /// When `action` panics.
    #[track_caller]
    pub fn run<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(action)
    }

    /// Starts a daemon and waits until it is ready or has ended.
    ///
    /// # Panics
    /// When it does neither, or ends without one clear message.
    #[must_use]
    #[track_caller]
    pub fn try_start(&self, place: &Place) -> Start {
        let wrapper: Vec<&str> = self.wrapper.iter().map(String::as_str).collect();
        let mut daemon = place.setup.start_unready_through(&wrapper, &place.config());
        let is_ready = eventually("the daemon is ready or ends", || {
            if daemon.messages().iter().any(|line| line == "READY=1") {
                return Some(true);
            }
            (!daemon.is_running()).then_some(false)
        });
        if is_ready {
            return Start::Serves(daemon);
        }
        let finished = daemon.wait(PATIENCE);
        let log = finished.stderr;
        assert!(
            finished.status.code().is_some_and(|code| code != 0),
            "{log}"
        );
        Start::Refuses(the_error(&log))
    }

    /// Starts a daemon and expects it to become ready.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    #[track_caller]
    pub fn start(&self, place: &Place) -> Daemon {
        match self.try_start(place) {
            Start::Serves(daemon) => daemon,
            Start::Refuses(reason) => panic!("it does not start: {reason}"),
        }
    }
}

/// The only error in a log.
///
/// # Panics
/// When there is none, or several, or a panic.
#[track_caller]
pub fn the_error(log: &str) -> String {
    assert!(!log.contains("panicked"), "{log}");
    let errors: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("ERROR"))
        .collect();
    assert_eq!(errors.len(), 1, "one message says what is wrong: {log}");
    errors[0].to_owned()
}

/// Asks a daemon to end; returns its exit code and log.
///
/// # Panics
/// When it does not end in time, or not by itself.
#[track_caller]
pub fn end(daemon: Daemon) -> (i32, String) {
    let asked = Instant::now();
    daemon.signal(Signal::SIGTERM);
    let finished = daemon.wait(PATIENCE);
    let log = finished.stderr;
    let code = finished.status.code();
    let code = code.unwrap_or_else(|| panic!("{}: {log}", finished.status));
    assert!(!log.contains("panicked"), "{log}");
    assert!(asked.elapsed() < PATIENCE, "{log}");
    (code, log)
}

/// Waits a little, so that problems of an idle daemon can appear.
pub(super) fn pause() {
    thread::sleep(std::time::Duration::from_millis(300));
}
