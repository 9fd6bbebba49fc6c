//! The measured processes.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZero;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use aquatic_load_test::process::Process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::machine::Cores;

/// The built programs, and a directory for their files.
#[derive(Debug)]
pub(crate) struct Programs {
    directory: PathBuf,
    scratch: TempDir,
}

impl Programs {
    /// Builds the packages of daemons, and the load tests. With the profile of tests, all
    /// packages are built with the features that they have in tests of the whole workspace,
    /// so that nothing is compiled again.
    ///
    /// # Errors
    ///
    /// Cargo fails.
    pub(crate) fn build(profile: &str, packages: &[&str]) -> anyhow::Result<Self> {
        let mut command = crate::cargo_command();
        command.args(["build", "--profile", profile]);
        if profile == "test" {
            command.args(["--workspace", "--all-features", "--bins"]);
            // With a benchmark, cargo counts the features of dependencies of tests, too.
            command.args(["--bench", "swarm"]);
        } else {
            let packages = packages.iter().chain(&["aquatic_load_test"]);
            command.args(packages.flat_map(|package| ["--package", package]));
        }
        let status = command.status().context("cannot start cargo")?;
        ensure!(status.success(), "cargo build has failed");

        // This program is target/PROFILE/NAME itself.
        let this = env::current_exe().context("cannot find this program")?;
        let target = this
            .parent()
            .and_then(Path::parent)
            .context("this program is not in a target directory")?;
        Ok(Self {
            // Cargo names the directories of these profiles differently.
            directory: target.join(match profile {
                "dev" | "test" => "debug",
                other => other,
            }),
            scratch: tempfile::tempdir().context("cannot make a temporary directory")?,
        })
    }

    /// The path of a program.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A temporary directory.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

/// A server on loopback that is stopped when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    metrics_address: SocketAddr,
    /// From the start of the process until it was ready.
    pub(crate) start_time: Duration,
    /// Memory when it was ready, before any request.
    pub(crate) empty_bytes: u64,
}

/// How a daemon is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launch<'a> {
    pub(crate) name: &'a str,
    pub(crate) cores: Cores,
    pub(crate) addresses: Addresses,
    pub(crate) config: &'a str,
    /// The runtime directory for links with other daemons, if it is to be linked.
    pub(crate) runtime_directory: Option<&'a Path>,
}

/// The addresses on which a daemon listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) service: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Server {
    /// Starts a daemon, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(crate) fn daemon(programs: &Programs, launch: &Launch<'_>) -> anyhow::Result<Self> {
        let Launch {
            name,
            cores,
            addresses,
            config,
            runtime_directory,
        } = *launch;
        let address = addresses.service;
        let file = |what: &str| {
            programs
                .scratch()
                .join(format!("{what}-{}", address.port()))
        };
        let path = file("config");
        fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;

        // The daemon reports that it is ready, as to systemd.
        let notify = file("notify");
        let ready = listen_for_ready(&notify)?;

        let started = Instant::now();
        let mut command = cores.command(&programs.path(name));
        if let Some(directory) = runtime_directory {
            command.env("XDG_RUNTIME_DIR", directory);
        }
        let child = command
            .arg("-c")
            .arg(&path)
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the daemon (or taskset)")?;
        let mut server = Self {
            child,
            address,
            metrics_address: addresses.metrics,
            start_time: Duration::ZERO,
            empty_bytes: 0,
        };
        server.await_ready(&ready)?;
        server.start_time = started.elapsed();
        server.empty_bytes = server.resident_bytes()?;
        Ok(server)
    }

    /// Starts a bare server.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(crate) fn bare(
        programs: &Programs,
        name: &str,
        address: SocketAddr,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let mut command = Cores::Server.command(&programs.path(name));
        command.arg(address.to_string()).args(arguments);
        Self::other(command, address)
    }

    /// Starts a server that is none of ours.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn other(mut command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        // The load test waits until it answers.
        let mut server = Self {
            child,
            address,
            metrics_address: address,
            start_time: started.elapsed(),
            empty_bytes: 0,
        };
        server.empty_bytes = server.resident_bytes()?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let pid = NonZero::new(self.pid()).context("a process has the id 0")?;
        Process::new(pid)?.resident_bytes()
    }

    /// Lets all threads run on other cores from now on.
    pub(crate) fn move_to(&self, cores: Cores) -> anyhow::Result<()> {
        cores.pin(self.pid())
    }

    /// The sum over all labels of a metric.
    ///
    /// # Errors
    ///
    /// If the daemon does not answer, or has no such metric.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(self.metrics_address)
            .with_context(|| format!("cannot connect to {}", self.metrics_address))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        sum_of_metric(&text, name).with_context(|| format!("the metrics have no {name}"))
    }

    /// Asks the daemon to stop; returns how long that took.
    pub(crate) fn stop(mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.terminate();
        let status = self.child.wait()?;
        let time = started.elapsed();
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(time)
    }

    /// Kills the daemon.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn await_ready(&mut self, ready: &Receiver<()>) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if ready.recv_timeout(LOOK_AROUND).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon did not start: {status}");
            }
        }
        bail!("the daemon is not ready after {} s", PATIENCE.as_secs());
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.pid().cast_signed());
        // Fails only when the process has ended, which is what is wanted.
        kill(pid, Signal::SIGTERM).ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// Takes the place of systemd: reports when a daemon is ready, and reads its notifications
/// until it stops, so that it never has to wait.
fn listen_for_ready(path: &Path) -> anyhow::Result<Receiver<()>> {
    let socket = UnixDatagram::bind(path)
        .with_context(|| format!("cannot bind a socket to {}", path.display()))?;
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("notifications".to_owned())
        .spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]);
                if text.lines().any(|line| line == "READY=1") {
                    // After a reload, it is ready again, and the receiver is gone.
                    sender.send(()).ok();
                }
                if text.lines().any(|line| line == "STOPPING=1") {
                    break;
                }
            }
        })
        .context("cannot start a thread")?;
    Ok(receiver)
}

/// The sum over all labels of a metric in Prometheus' text format.
fn sum_of_metric(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.reduce(|sum, value| sum + value)
}

/// An address that was free a moment ago.
///
/// # Errors
///
/// There is none.
pub(crate) fn free_udp_address() -> anyhow::Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// As [`free_udp_address`].
///
/// # Errors
///
/// There is none.
pub(crate) fn free_tcp_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Maximum time to wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to check whether a process has ended.
const LOOK_AROUND: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_labels_and_takes_no_other_name() {
        let text = "# HELP x y\nx{family=\"ipv4\"} 3\nx{family=\"ipv6\"} 4\nx_total 9\ny 1\n";
        assert_eq!(sum_of_metric(text, "x"), Some(7.0));
        assert_eq!(sum_of_metric(text, "y"), Some(1.0));
        assert_eq!(sum_of_metric(text, "z"), None);
    }
}
