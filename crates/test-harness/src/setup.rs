//! What a test starts daemons with: a binary, which may be that of a container image, a
//! directory of its own, and an environment that holds nothing of the surrounding one's
//! service manager.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::network::Host;
use crate::notify::NotifySocket;
use crate::process::{Finished, Process};
use crate::target::{Containers, RUNNER};
use crate::terminal::Terminal;
use crate::tools;
use crate::waiting::PATIENCE;

/// Environment variables that change what a daemon does; a test sets them itself.
const SERVICE_MANAGER_VARIABLES: [&str; 10] = [
    "CONFIGURATION_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "RUNTIME_DIRECTORY",
    "WATCHDOG_USEC",
    // Not set by the service manager, but daemons of different tests must not find each
    // other in this directory.
    "XDG_RUNTIME_DIR",
];

/// A binary and a directory; see the module. Dropping this removes the directory.
#[derive(Debug)]
pub struct Setup {
    program: PathBuf,
    /// Those of the image under test, if it is one. They end before the directory does.
    containers: Option<Containers>,
    directory: TempDir,
    environment: Vec<(OsString, OsString)>,
}

impl Setup {
    /// A new directory for the binary at `program`: `env!("CARGO_BIN_EXE_…")`.
    ///
    /// # Panics
    /// When no temporary directory can be created.
    #[must_use]
    #[track_caller]
    pub fn new(program: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("aquatic-test-")
            .tempdir()
            .unwrap_or_else(|error| panic!("make a temporary directory: {error}"));
        // Daemons that have dropped their privileges need access.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))
            .unwrap_or_else(|error| panic!("open up the temporary directory: {error}"));
        Self {
            program: PathBuf::from(program),
            containers: Containers::new(),
            directory,
            environment: Vec::new(),
        }
    }

    /// The directory, which is also the daemon's working directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Path of a file in the directory, whether it exists or not.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Writes a file in the directory and returns its path.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents)
            .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        path
    }

    /// Writes a file that only its owner and group can read.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn write_secret(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, contents);
        fs::set_permissions(&path, Permissions::from_mode(0o640))
            .unwrap_or_else(|error| panic!("protect {}: {error}", path.display()));
        path
    }

    /// Sets an environment variable for all processes that are started later.
    pub fn set_environment(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment.push((name.into(), value.as_ref().into()));
    }

    /// Changes the wall clock that processes started later see by `offset`, such as
    /// `-40y` or `+3d`. Monotonic clocks are not changed. Returns false if `faketime` is
    /// missing and skipping is allowed.
    ///
    /// # Panics
    /// When `faketime` is missing and skipping is not allowed.
    #[must_use]
    #[track_caller]
    pub fn set_clock(&mut self, offset: &str) -> bool {
        if !tools::needs(&["faketime"]) {
            return false;
        }
        let library = fs::read_dir("/usr/lib")
            .expect("/usr/lib is there")
            .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")))
            .find(|path| path.exists())
            .expect("faketime brings its library");
        self.set_environment("LD_PRELOAD", library);
        self.set_environment("FAKETIME", offset);
        self.set_environment("DONT_FAKE_MONOTONIC", "1");
        true
    }

    /// The environment variables that were set for processes.
    pub fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let pairs = self.environment.iter();
        pairs.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Starts the daemon with this config and waits until it reports `READY=1`.
    ///
    /// # Panics
    /// When the daemon does not become ready; the message contains its output.
    #[must_use]
    #[track_caller]
    pub fn start(&self, config: &str) -> Daemon {
        let mut daemon = self.start_unready(config);
        daemon.wait_until_ready();
        daemon
    }

    /// Starts the daemon with this config and does not wait.
    ///
    /// # Panics
    /// When the program cannot be started at all.
    #[must_use]
    #[track_caller]
    pub fn start_unready(&self, config: &str) -> Daemon {
        self.start_through(|program| Command::new(program), config)
    }

    /// Starts the daemon through a program such as `prlimit`, which changes its own
    /// process and then executes the daemon, and does not wait.
    ///
    /// # Panics
    /// When the program cannot be started at all.
    #[must_use]
    #[track_caller]
    pub fn start_unready_through(&self, wrapper: &[&str], config: &str) -> Daemon {
        let wrapped = |program: &OsStr| {
            let mut command = Command::new(wrapper[0]);
            command.args(&wrapper[1..]).arg(program);
            command
        };
        self.start_through(wrapped, config)
    }

    /// Starts the daemon on a host of a test network and waits until it reports
    /// `READY=1`.
    ///
    /// # Panics
    /// When the daemon does not become ready; the message contains its output.
    #[must_use]
    #[track_caller]
    pub fn start_on(&self, host: &Host, config: &str) -> Daemon {
        let mut daemon = self.start_through(|program| host.command(program), config);
        daemon.wait_until_ready();
        daemon
    }

    /// Starts `systemd-socket-activate`, which binds `sockets`, named `names` if given,
    /// and starts the daemon with them when the first datagram or connection arrives.
    /// Returns as soon as the sockets are bound.
    ///
    /// # Panics
    /// When the sockets cannot be bound.
    #[must_use]
    #[track_caller]
    pub fn start_activated(
        &self,
        kind: SocketKind,
        sockets: &[SocketAddr],
        names: Option<&str>,
        config: &str,
    ) -> Daemon {
        let notify = self.notify_socket();
        let mut command = Command::new("systemd-socket-activate");
        for socket in sockets {
            command.arg("--listen").arg(socket.to_string());
        }
        if matches!(kind, SocketKind::Datagram) {
            command.arg("--datagram");
        }
        if let Some(names) = names {
            command.arg(format!("--fdname={names}"));
        }
        // `systemd-socket-activate` starts the daemon with an empty environment.
        if self.containers.is_none() {
            let notify_path = notify.path().display();
            command.arg(format!("--setenv=NOTIFY_SOCKET={notify_path}"));
            for (name, value) in &self.environment {
                let mut setting = OsString::from("--setenv=");
                setting.push(name);
                setting.push("=");
                setting.push(value);
                command.arg(setting);
            }
        }
        command.args(self.words(Some(notify.path())));
        let process = self.spawn(command, config);
        for socket in sockets {
            process.wait_for_line(&format!("Listening on {socket}"), PATIENCE);
        }
        Daemon::new(process, notify)
    }

    /// Starts the daemon with this config, with a terminal as its standard error.
    ///
    /// # Panics
    /// When the daemon cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start_on_terminal(&self, config: &str) -> Terminal {
        let path = self.write("config.toml", config);
        let mut command = self.command(|program| Command::new(program), None);
        command.arg("-c").arg(path);
        self.prepare(&mut command);
        Terminal::start(&mut command)
    }

    /// Runs the binary with these arguments and waits until it ends.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(|program| Command::new(program), None);
        command.args(arguments);
        self.prepare(&mut command);
        Process::start(&self.name(), &mut command).wait(PATIENCE)
    }

    fn start_through(&self, run: impl FnOnce(&OsStr) -> Command, config: &str) -> Daemon {
        let notify = self.notify_socket();
        let mut command = self.command(run, Some(notify.path()));
        if self.containers.is_none() {
            command.env("NOTIFY_SOCKET", notify.path());
        }
        Daemon::new(self.spawn(command, config), notify)
    }

    /// The command that runs the program, of which `run` gets the first word.
    fn command(&self, run: impl FnOnce(&OsStr) -> Command, notify: Option<&Path>) -> Command {
        let words = self.words(notify);
        let mut command = run(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The program, or the words that run it in a container with its environment.
    fn words(&self, notify: Option<&Path>) -> Vec<OsString> {
        let Some(containers) = &self.containers else {
            return vec![self.program.clone().into()];
        };
        let notify = notify.map(|path| (OsStr::new("NOTIFY_SOCKET"), path.as_os_str()));
        let environment = self.environment().chain(notify);
        let arguments = containers.arguments(&self.program, self.directory(), environment);
        let runner = RUNNER.map(OsString::from);
        runner.into_iter().chain(arguments).collect()
    }

    fn spawn(&self, mut command: Command, config: &str) -> Process {
        let path = self.write("config.toml", config);
        command.arg("-c").arg(path);
        let notify = command
            .get_envs()
            .find(|(name, _)| *name == "NOTIFY_SOCKET")
            .and_then(|(_, value)| value.map(OsStr::to_owned));
        self.prepare(&mut command);
        if let Some(notify) = notify {
            command.env("NOTIFY_SOCKET", notify);
        }
        Process::start(&self.name(), &mut command)
    }

    fn prepare(&self, command: &mut Command) {
        for name in SERVICE_MANAGER_VARIABLES {
            command.env_remove(name);
        }
        let environment = self.environment.iter();
        command
            .envs(environment.map(|(name, value)| (name, value)))
            .current_dir(self.directory());
    }

    fn notify_socket(&self) -> NotifySocket {
        NotifySocket::bind(&self.path("notify.socket"))
    }

    pub(crate) fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// What kind of sockets `systemd-socket-activate` binds.
#[derive(Clone, Copy, Debug)]
pub enum SocketKind {
    /// UDP.
    Datagram,
    /// TCP.
    Stream,
}
