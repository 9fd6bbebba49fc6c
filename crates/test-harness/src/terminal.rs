//! A program that is started on a terminal, as people do.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::waiting::{PATIENCE, eventually};

/// A running program, and the terminal to which its standard error is connected. Dropping
/// this kills the program.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    screen: File,
    shown: String,
}

impl Terminal {
    /// Starts a command.
    ///
    /// # Panics
    /// When no terminal can be opened, or the command cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let pair = openpty(None, None).expect("there is a terminal");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(pair.slave))
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        // Closes the terminal's other end, which the command would keep open.
        command.stderr(Stdio::null());
        Self {
            child,
            screen: File::from(pair.master),
            shown: String::new(),
        }
    }

    /// Waits until `text` is shown; returns everything that was shown so far.
    ///
    /// # Panics
    /// When it is not shown in time.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> &str {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let mut screen = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut screen, timeout).expect("the terminal can be polled");
            assert!(ready > 0, "{text:?} was not shown:\n{}", self.shown);
            let mut bytes = [0; 4096];
            let length = self.screen.read(&mut bytes);
            let length = length.unwrap_or_else(|error| {
                panic!("{error}, and {text:?} was not shown:\n{}", self.shown)
            });
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        &self.shown
    }

    /// Interrupts the program, and waits until it ends.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn interrupt(&mut self) -> ExitStatus {
        let process = Pid::from_raw(self.child.id().try_into().expect("a process id"));
        signal::kill(process, Signal::SIGINT).expect("it runs");
        eventually("it ends", || {
            self.child.try_wait().expect("it can be waited for")
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Fails if the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
