//! Notifications to the service manager: ready, reloading, stopping, status, and
//! watchdog.
//!
//! The socket is connected once, before a chroot can hide its path; `sd_notify::notify`
//! would open it every time.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// Timeout for sending a message. A service manager that does not read must not block
/// the service.
const SEND_PATIENCE: Duration = Duration::from_secs(1);

/// Maximum size of a status line; systemd ignores messages of more than 4096 bytes.
const MAX_STATUS_BYTES: usize = 2_000;

/// The connection to the service manager, if there is one.
pub(crate) struct Notifier {
    line: Option<Line>,
    /// The last value of STATUS=.
    status: String,
}

impl Notifier {
    /// Connects to `$NOTIFY_SOCKET`, if it is set. If that fails (it may be inherited from a
    /// service that does not exist any more), a warning is logged.
    pub(crate) fn from_environment() -> Self {
        let line = env::var_os("NOTIFY_SOCKET").and_then(|address| {
            connect(&address)
                .inspect_err(|error| {
                    log::warn!("cannot reach the service manager at {address:?}: {error}");
                })
                .ok()
        });
        Self {
            line,
            status: String::new(),
        }
    }

    /// The service is up and answering requests.
    pub(crate) fn ready(&mut self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(status)]);
        status.clone_into(&mut self.status);
    }

    /// A reload has started; [`Self::ready`] ends it.
    pub(crate) fn reloading(&self) {
        // From version 253 on, systemd requires the time at which the reload began.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(_) => self.send(&[NotifyState::Reloading]),
        }
    }

    /// The service is draining.
    pub(crate) fn stopping(&self) {
        self.send(&[
            NotifyState::Stopping,
            NotifyState::Status("answering received requests, then writing the snapshot"),
        ]);
    }

    /// Sends the status line if it has changed.
    pub(crate) fn status(&mut self, status: &str) {
        if status != self.status {
            self.send(&[NotifyState::Status(status)]);
            status.clone_into(&mut self.status);
        }
    }

    /// Every worker is alive.
    pub(crate) fn watchdog(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(line) = &self.line else { return };
        let message: String = states
            .iter()
            // A line break inside a status line would end it.
            .map(|state| {
                let mut line = state.to_string().replace('\n', " ");
                line.truncate(line.floor_char_boundary(MAX_STATUS_BYTES));
                line + "\n"
            })
            .collect();
        let send = || line.socket.send(message.as_bytes());
        // A service manager that was restarted has another socket.
        let sent = send().or_else(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                return Err(error);
            }
            line.socket.connect_addr(&line.address)?;
            send()
        });
        if let Err(error) = sent {
            log::warn!("cannot notify the service manager: {error}");
        }
    }
}

/// The watchdog timeout of the service manager.
pub(crate) fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
}

/// A connection to the service manager, and its address.
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
}

fn connect(address: &OsStr) -> io::Result<Line> {
    let address = match address.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_PATIENCE))?;
    socket.connect_addr(&address)?;
    Ok(Line { socket, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Notifier, UnixDatagram, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier {
            line: Some(connect(path.as_os_str()).unwrap()),
            status: String::new(),
        };
        (notifier, manager, directory)
    }

    fn received(manager: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 1024];
        let length = manager.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    #[test]
    fn says_what_systemd_expects() {
        let (mut notifier, manager, _directory) = pair();

        notifier.ready("two\nlines");
        assert_eq!(received(&manager).unwrap(), "READY=1\nSTATUS=two lines\n");
        notifier.reloading();
        let text = received(&manager).unwrap();
        assert!(text.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{text}");
        notifier.watchdog();
        assert_eq!(received(&manager).unwrap(), "WATCHDOG=1\n");
        notifier.stopping();
        let text = received(&manager).unwrap();
        assert!(text.starts_with("STOPPING=1\nSTATUS="), "{text}");
    }

    #[test]
    fn repeats_no_status() {
        let (mut notifier, manager, _directory) = pair();

        notifier.status("a");
        notifier.status("a");
        notifier.status("b");
        assert_eq!(received(&manager).unwrap(), "STATUS=a\n");
        assert_eq!(received(&manager).unwrap(), "STATUS=b\n");
        assert_eq!(received(&manager), None);
    }

    #[test]
    fn a_manager_that_reads_nothing_stops_nobody() {
        let (notifier, manager, _directory) = pair();
        let begun = std::time::Instant::now();
        // Sends until the queue is full, and once more.
        let mut sent = 0;
        while begun.elapsed() < SEND_PATIENCE {
            notifier.watchdog();
            sent += 1;
        }
        assert!(begun.elapsed() < 4 * SEND_PATIENCE && sent > 1, "{sent}");
        drop(manager);
    }

    #[test]
    fn a_long_status_is_cut() {
        let (mut notifier, manager, _directory) = pair();
        notifier.status(&"ä".repeat(5_000));
        let mut buffer = [0; 8192];
        let length = manager.recv(&mut buffer).unwrap();
        assert!(length <= MAX_STATUS_BYTES + 1, "{length}");
        assert!(str::from_utf8(&buffer[..length]).unwrap().ends_with("ä\n"));
    }

    #[test]
    fn reaches_abstract_sockets() {
        let name = format!("aquatic-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();

        let line = connect(OsStr::new(&format!("@{name}"))).unwrap();
        line.socket.send(b"x").unwrap();
        assert_eq!(received(&manager).unwrap(), "x");
    }

    #[test]
    fn finds_a_manager_that_was_restarted() {
        let (notifier, manager, directory) = pair();
        drop(manager);
        let path = directory.path().join("notify");
        std::fs::remove_file(&path).unwrap();
        let manager = UnixDatagram::bind(&path).unwrap();

        notifier.watchdog();
        manager.set_nonblocking(true).unwrap();
        assert_eq!(received(&manager).unwrap(), "WATCHDOG=1\n");
    }
}
