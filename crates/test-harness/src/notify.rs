//! The receiving end of `NOTIFY_SOCKET`: what a daemon tells its service manager.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest message that is read. Real messages have some hundred bytes.
const MESSAGE_BYTES: usize = 8192;

/// How long one read waits before the caller checks whether the daemon has ended or the
/// time for the message is over.
const READ_TIMEOUT: Duration = Duration::from_millis(20);

/// A bound notify socket.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    lines: Vec<String>,
}

impl NotifySocket {
    /// Binds a socket at `path`, writable for every user, like systemd's own: the daemon
    /// may have dropped its privileges before it writes.
    ///
    /// # Panics
    /// When it cannot be bound.
    #[must_use]
    #[track_caller]
    pub fn bind(path: &Path) -> Self {
        // An earlier daemon of the same test may have used the path.
        let _ = fs::remove_file(path);
        let socket = UnixDatagram::bind(path)
            .unwrap_or_else(|error| panic!("bind notify socket {}: {error}", path.display()));
        fs::set_permissions(path, Permissions::from_mode(0o777))
            .unwrap_or_else(|error| panic!("open up {}: {error}", path.display()));
        socket
            .set_read_timeout(Some(READ_TIMEOUT))
            .expect("a timeout above zero is accepted");
        Self {
            socket,
            path: path.to_owned(),
            lines: Vec::new(),
        }
    }

    /// The value for the daemon's `NOTIFY_SOCKET`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All lines received so far, oldest first, such as `READY=1`.
    #[must_use]
    pub fn lines(&mut self) -> &[String] {
        while self.receive() {}
        &self.lines
    }

    /// Waits until a line after the first `seen` ones starts with `prefix`, and returns
    /// it. Returns `None` when `patience` is over or `is_alive` returned false.
    #[must_use]
    pub fn wait_for(
        &mut self,
        prefix: &str,
        seen: usize,
        patience: Duration,
        mut is_alive: impl FnMut() -> bool,
    ) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            let was_alive = is_alive();
            let received = self.receive();
            let later = self.lines.iter().skip(seen);
            if let Some(line) = later.into_iter().find(|line| line.starts_with(prefix)) {
                return Some(line.clone());
            }
            if !received && (!was_alive || Instant::now() > deadline) {
                return None;
            }
        }
    }

    /// Reads one message; returns false if none came within `READ_TIMEOUT`.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; MESSAGE_BYTES];
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                self.lines.extend(message.lines().map(str::to_owned));
                true
            }
            // The read is interrupted if the machine was stopped for a while.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                false
            }
            Err(error) => panic!("read notify socket: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::PATIENCE;

    #[test]
    fn messages_are_split_into_lines_and_awaited() {
        let directory = tempfile::tempdir().unwrap();
        let mut notify = NotifySocket::bind(&directory.path().join("notify"));
        let sender = UnixDatagram::unbound().unwrap();
        sender
            .send_to(b"READY=1\nSTATUS=fine", notify.path())
            .unwrap();
        let line = notify.wait_for("READY=1", 0, PATIENCE, || true);
        assert_eq!(line.as_deref(), Some("READY=1"));
        assert_eq!(notify.lines(), ["READY=1", "STATUS=fine"]);
        let again = notify.wait_for("READY=1", 2, Duration::ZERO, || true);
        assert_eq!(again, None);
    }
}
