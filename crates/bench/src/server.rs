//! The processes that are measured.

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

use super::machine::Cores;

/// The programs that were built, which stand in one directory.
#[derive(Debug)]
pub(super) struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// The path of a program.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Builds these packages and the load tests.
pub(super) fn build(profile: &str, packages: &[&str]) -> anyhow::Result<Binaries> {
    let packages = packages.iter().chain(&["aquatic_load_test"]);
    let status = crate::cargo_command()
        .args(["build", "--profile", profile])
        .args(packages.flat_map(|name| ["--package", name]))
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo build has failed");

    // This program is target/PROFILE/NAME itself.
    let this = std::env::current_exe().context("cannot find this program")?;
    let target = this
        .parent()
        .and_then(Path::parent)
        .context("this program is not in a target directory")?;
    // Cargo puts the dev profile under another name.
    Ok(Binaries {
        directory: target.join(if profile == "dev" { "debug" } else { profile }),
    })
}

/// A server on loopback that is stopped when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    /// Another one, of a socket that is bound to every address; the same if there
    /// is none.
    pub(super) any_address: SocketAddr,
    metrics_address: SocketAddr,
    /// From the start of the process to its being ready.
    pub(super) start_time: Duration,
    /// Memory when it was ready, before any request.
    pub(super) empty_bytes: u64,
}

/// Where a daemon is told to listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) service: SocketAddr,
    pub(super) metrics: SocketAddr,
}

/// How `aquatic-udp` differs from one to another measurement.
#[derive(Debug, Clone)]
pub(super) struct DaemonOptions<'a> {
    pub(super) cores: Cores,
    pub(super) workers: usize,
    pub(super) max_peer_age_seconds: u32,
    pub(super) cleaning_seconds: u32,
    pub(super) snapshot: Option<&'a Path>,
}

impl Default for DaemonOptions<'_> {
    fn default() -> Self {
        Self {
            cores: Cores::Server,
            workers: 1,
            // Nothing expires while it is measured.
            max_peer_age_seconds: 28_800,
            cleaning_seconds: 120,
            snapshot: None,
        }
    }
}

impl Server {
    /// Starts `aquatic-udp` and waits until it is ready.
    pub(super) fn daemon(
        binaries: &Binaries,
        options: &DaemonOptions<'_>,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let addresses = Addresses {
            service: free_udp_address()?,
            metrics: free_tcp_address()?,
        };
        let any_address = free_udp_address()?;
        let config = daemon_config(addresses, any_address.port(), options);
        let mut server = Self::start_daemon(
            &binaries.path("aquatic-udp"),
            options.cores,
            addresses,
            &config,
            directory,
        )?;
        server.any_address = any_address;
        Ok(server)
    }

    /// Starts a daemon with what `config` says, and waits until it is ready.
    pub(super) fn tcp_daemon(
        binaries: &Binaries,
        name: &str,
        config: impl FnOnce(Addresses) -> String,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let addresses = Addresses {
            service: free_tcp_address()?,
            metrics: free_tcp_address()?,
        };
        Self::start_daemon(
            &binaries.path(name),
            Cores::Server,
            addresses,
            &config(addresses),
            directory,
        )
    }

    fn start_daemon(
        program: &Path,
        cores: Cores,
        addresses: Addresses,
        text: &str,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let address = addresses.service;
        let config = directory.join(format!("daemon-{}.toml", address.port()));
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;

        // The daemon says that it is ready as it would to systemd.
        let notify = directory.join(format!("notify-{}", address.port()));
        let ready = listen_for_ready(&notify)?;

        let started = Instant::now();
        let child = cores
            .command(program)
            .arg("-c")
            .arg(&config)
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the daemon (or taskset)")?;
        let mut server = Self {
            child,
            address,
            any_address: address,
            metrics_address: addresses.metrics,
            start_time: Duration::ZERO,
            empty_bytes: 0,
        };
        server.await_ready(&ready)?;
        server.start_time = started.elapsed();
        server.empty_bytes = server.resident_bytes()?;
        Ok(server)
    }

    /// Starts the echo server over UDP, which answers an announce with so many
    /// bytes.
    pub(super) fn echo(binaries: &Binaries, reply_bytes: usize) -> anyhow::Result<Self> {
        let program = binaries.path("aquatic-udp-echo");
        Self::bare(&program, free_udp_address()?, &[reply_bytes.to_string()])
    }

    /// Starts a server that answers and does nothing else.
    pub(super) fn bare_tcp(
        binaries: &Binaries,
        name: &str,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        Self::bare(&binaries.path(name), free_tcp_address()?, arguments)
    }

    fn bare(program: &Path, address: SocketAddr, arguments: &[String]) -> anyhow::Result<Self> {
        let started = Instant::now();
        let child = Cores::Server
            .command(program)
            .arg(address.to_string())
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {} (or taskset)", program.display()))?;
        // The load test waits until it answers.
        let mut server = Self {
            child,
            address,
            any_address: address,
            metrics_address: address,
            start_time: started.elapsed(),
            empty_bytes: 0,
        };
        server.empty_bytes = server.resident_bytes()?;
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let pid = NonZero::new(self.pid()).context("a process has the id 0")?;
        Process::new(pid)?.resident_bytes()
    }

    /// Lets all threads run on other cores from now on.
    pub(super) fn move_to(&self, cores: Cores) -> anyhow::Result<()> {
        let status = Command::new("taskset")
            .args(["-a", "-c", "-p", cores.list(), &self.pid().to_string()])
            .stdout(Stdio::null())
            .status()
            .context("cannot start taskset")?;
        ensure!(status.success(), "taskset cannot move the server");
        Ok(())
    }

    /// Torrents of which the daemon knows, by its metrics.
    pub(super) fn torrents(&self) -> anyhow::Result<u64> {
        // Whole numbers are exact up to 2^53.
        Ok(self.metric("aquatic_udp_torrents")? as u64)
    }

    /// The longest time for which the daemon has forgotten peers in one go.
    pub(super) fn longest_housekeeping_step(&self) -> anyhow::Result<Duration> {
        let seconds = self.metric("aquatic_udp_longest_housekeeping_step_seconds")?;
        Ok(Duration::try_from_secs_f64(seconds)?)
    }

    /// The sum over all labels of a metric.
    fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(self.metrics_address)
            .with_context(|| format!("cannot connect to {}", self.metrics_address))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        sum_of_metric(&text, name).with_context(|| format!("the metrics have no {name}"))
    }

    /// Asks the daemon to stop; returns how long that took.
    pub(super) fn stop(mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.terminate();
        let status = self.child.wait()?;
        let time = started.elapsed();
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(time)
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

/// Takes the place of systemd: says when a daemon is ready, and goes on reading
/// what it says until it stops, so that it never has to wait.
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
                    // Nobody listens when it is ready once more after a reload.
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

fn daemon_config(addresses: Addresses, any_port: u16, options: &DaemonOptions<'_>) -> String {
    let Addresses { service, metrics } = addresses;
    let snapshot = options.snapshot.map_or_else(String::new, |path| {
        format!("[snapshot]\npath = {path:?}\ninterval_seconds = 86400\n")
    });
    format!(
        "socket_workers = {}\n\
         log_level = \"error\"\n\
         [network]\n\
         address = [\"{service}\", \"0.0.0.0:{any_port}\"]\n\
         [protocol]\n\
         max_response_peers = 30\n\
         [cleaning]\n\
         max_peer_age = {}\n\
         torrent_cleaning_interval = {}\n\
         [metrics]\n\
         address = \"{metrics}\"\n\
         {snapshot}",
        options.workers, options.max_peer_age_seconds, options.cleaning_seconds,
    )
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
fn free_udp_address() -> anyhow::Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn free_tcp_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to see whether a process has ended.
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

    #[test]
    fn the_config_is_toml() {
        let addresses = Addresses {
            service: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            metrics: SocketAddr::from((Ipv4Addr::LOCALHOST, 2)),
        };
        let options = DaemonOptions {
            snapshot: Some(Path::new("a \"b\"")),
            ..DaemonOptions::default()
        };
        let text = daemon_config(addresses, 3, &options);
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table["snapshot"]["path"].as_str(), Some("a \"b\""));
        assert_eq!(table["cleaning"]["max_peer_age"].as_integer(), Some(28_800));
    }
}
