//! The daemon as a generator of systemd (systemd.generator(7)).
//!
//! systemd runs it under the name `aquatic-udp-generator`, at boot and on every
//! `systemctl daemon-reload`. It adds the addresses of the configuration file to the
//! socket unit, so that they are configured in one place. The unit itself contains none:
//! when the file is invalid, nothing is bound, and starting the unit fails with the
//! errors in the file. In the same way, it opens the sandbox of the service for the server
//! that the configuration names; without one, or if it is invalid, the sandbox stays closed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::Daemon;
use crate::cli::{EXIT_FAILURE, EXIT_USAGE};
use crate::config::{self, Checks, Diagnostic, Diagnostics, Layer, Loaded, Recovered, Sources};
use crate::destination::{self, Destination};
use crate::neighbours::{self, Claims, Conflict};
use crate::sockets::{self, Listening, METRICS_NAME, Request};

mod messages;

use messages::say;

/// The suffix of a generator's name.
const SUFFIX: &str = "-generator";

/// The key of the address for metrics.
const METRICS_KEY: &str = "metrics.address";

/// Whether a program that was started under this name is a generator.
pub(crate) fn is_meant<D: Daemon>(program: Option<&OsStr>) -> bool {
    let name = program.and_then(|path| Path::new(path).file_name()?.to_str());
    name.and_then(|name| name.strip_suffix(SUFFIX)) == Some(D::NAME)
}

/// Runs as a generator with the arguments after the program's name: systemd's
/// three directories, and the configuration file when it is another one than
/// that of the packages.
pub(crate) fn run<D: Daemon>(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(Arguments { directory, file }) = Arguments::new::<D>(arguments) else {
        say::<D>("usage: NORMAL-DIRECTORY EARLY-DIRECTORY LATE-DIRECTORY [FILE]");
        return ExitCode::from(EXIT_USAGE);
    };
    let units = Units {
        name: D::NAME,
        directory,
        file,
    };
    let outcome = units.generate::<D>().inspect_err(|_| {
        if let Err(error) = units.write_refusal() {
            say::<D>(&format!("{error:#}"));
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::<D>(&format!(
                "{}.socket gets no addresses and will not start: {error:#}",
                D::NAME
            ));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

struct Arguments {
    /// The directory for generated units, which have lower priority than the operator's.
    directory: PathBuf,
    /// The configuration.
    file: PathBuf,
}

impl Arguments {
    fn new<D: Daemon>(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.map(PathBuf::from);
        let directory = arguments.next()?;
        let (_early, _late) = (arguments.next()?, arguments.next()?);
        let file = arguments
            .next()
            .unwrap_or_else(|| format!("/etc/aquatic/{}.toml", D::NAME).into());
        arguments
            .next()
            .is_none()
            .then_some(Self { directory, file })
    }
}

/// The units of a daemon.
struct Units {
    /// The daemon's name.
    name: &'static str,
    directory: PathBuf,
    file: PathBuf,
}

impl Units {
    /// Writes the units for the configuration.
    fn generate<D: Daemon>(&self) -> anyhow::Result<()> {
        let layers = Sources::files(&self.file).read_leniently()?;
        let Wanted {
            listening,
            destination,
            faults,
        } = wanted_by::<D>(&layers, &self.file).map_err(|faults| faults.for_service(D::NAME))?;
        if !faults.list.is_empty() {
            say::<D>(&format!(
                "{}.socket has its addresses, but the service will not start until this is \
                 corrected: {}",
                D::NAME,
                faults.for_service(D::NAME)
            ));
        }
        if let Some(destination) = destination {
            self.write_destination(&destination)?;
        }
        let lines = socket_lines(listening.request())?;
        match listening.metrics {
            Some(address) => {
                self.write_socket("", &lines)?;
                self.write_metrics(address)
            }
            // One that was opened for a previous configuration is to be closed.
            None => self.write_socket(&format!("Conflicts={}\n", self.metrics_unit()), &lines),
        }
    }

    /// Writes the drop-in of the socket unit, for its sections `[Unit]` and `[Socket]`.
    fn write_socket(&self, unit: &str, socket: &str) -> anyhow::Result<()> {
        let name = self.name;
        self.write(
            &format!("{name}.socket.d/50-addresses.conf"),
            &format!("{unit}\n[Socket]\n{socket}"),
        )
    }

    /// Writes a separate unit for the metrics socket, because a unit has only one name for
    /// all its sockets, and orders it before the service. The tracker does not require it:
    /// it continues when another program uses the address.
    fn write_metrics(&self, address: SocketAddr) -> anyhow::Result<()> {
        let name = self.name;
        let unit = self.metrics_unit();
        self.write(
            &unit,
            &format!(
                "Description=Metrics socket of {name}\n\
                 PartOf={name}.socket\n\n\
                 [Socket]\n\
                 FileDescriptorName={METRICS_NAME}\n\
                 Service={name}.service\n\
                 BindIPv6Only=ipv6-only\n\
                 FreeBind=yes\n\
                 ListenStream={}\n",
                as_in_units(address)
            ),
        )?;
        self.write(
            &format!("{name}.service.d/50-{METRICS_NAME}.conf"),
            &format!("Wants={unit}\nAfter={unit}\n"),
        )
    }

    /// Writes the drop-in with which the service can connect to a server.
    fn write_destination(&self, destination: &Destination) -> anyhow::Result<()> {
        let path = format!("{}.service.d/50-destination.conf", self.name);
        match destination.drop_in() {
            Some(lines) => self.write(&path, &lines),
            None => Ok(()),
        }
    }

    /// The name of the unit for metrics.
    fn metrics_unit(&self) -> String {
        sockets::metrics_unit(self.name)
    }

    /// Writes a drop-in with which the socket unit binds nothing and fails with the errors
    /// in its own log. Without it, systemd would only report that there are no addresses.
    fn write_refusal(&self) -> anyhow::Result<()> {
        let name = self.name;
        let file = in_quotes(&self.file);
        let program = env::current_exe().unwrap_or_else(|_| format!("/usr/bin/{name}").into());
        let lines = format!(
            "ListenFIFO=/run/{name}.unusable\n\
             RemoveOnStop=yes\n\
             ExecStartPre=\"{}\" --check-config -c \"{file}\"\n\
             ExecStartPre=/bin/sh -c 'echo \"<3>run systemctl daemon-reload: {name}.toml was \
             corrected after systemd last read the addresses from it\" >&2; exit 1'\n",
            in_quotes(&program),
        );
        self.write_socket("", &lines)
    }

    /// Writes a unit or a drop-in atomically. `lines` continue the section `[Unit]`.
    fn write(&self, path: &str, lines: &str) -> anyhow::Result<()> {
        let Some(file) = self.file.to_str().filter(|text| !text.contains('\n')) else {
            bail!(
                "{} is not a path that can be used in a unit",
                self.file.display()
            );
        };
        // With SourcePath=, systemd notices when the file has changed.
        let source = file.replace('%', "%%");
        let text = format!(
            "# Made by {}{SUFFIX} from the file below.\n[Unit]\nSourcePath={source}\n{lines}",
            self.name
        );
        let path = self.directory.join(path);
        let temporary = path.with_extension("new");
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.directory))?;
            fs::write(&temporary, text)?;
            fs::rename(&temporary, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What a configuration file wants of systemd.
pub struct Wanted {
    /// The sockets.
    pub listening: Listening,
    /// The server that the daemon connects to.
    pub destination: Option<Destination>,
    /// Errors elsewhere in the file.
    pub faults: Diagnostics,
}

/// What a configuration file at `path` wants of systemd, with its drop-ins: `layers`.
///
/// # Errors
///
/// What is wrong with the addresses or the number of sockets, or which other daemon
/// claims an address, too.
pub fn wanted_by<D: Daemon>(layers: &[Layer], path: &Path) -> Result<Wanted, Diagnostics> {
    let check = |config: &D::Config| {
        let mut checks = Checks::new();
        let listening = D::listening(config, &mut checks);
        checks.finish(listening).err().unwrap_or_default()
    };
    let Recovered { loaded, mut faults } =
        config::recover::<D::Config>(layers, path, D::SOCKET_KEYS, check)?;
    let mut listening = D::listening(&loaded.config, &mut Checks::new());

    let conflicts = neighbours::conflicts(D::NAME, path, &Claims::of(&listening));
    let is_about = |conflict: &Conflict, keys: &[&str]| {
        let key = conflict.error.key.as_deref();
        key.is_some_and(|key| keys.contains(&key))
    };
    let is_fatal = |one: &Conflict| is_about(one, D::SOCKET_KEYS) && !one.is_with_metrics;
    let is_refused = conflicts.iter().any(is_fatal);
    if conflicts.iter().any(|one| is_about(one, &[METRICS_KEY])) {
        listening.metrics = None;
    }
    let conflicts = conflicts.into_iter().map(|one| one.error).collect();
    faults.extend(loaded.located(conflicts).list);
    let faults = Diagnostics::new(Some(path), faults);
    if is_refused {
        return Err(faults);
    }
    Ok(Wanted {
        listening,
        destination: D::destination(&loaded.config),
        faults,
    })
}

/// Advice about values that environment variables set, but that systemd takes from the files:
/// a generator does not have the environment of the service.
pub(crate) fn unseen<D: Daemon>(loaded: &Loaded<D::Config>) -> Diagnostics {
    let keys = D::SOCKET_KEYS
        .iter()
        .chain(&[METRICS_KEY, destination::KEY]);
    let set = keys.filter(|key| loaded.variable(key).is_some());
    let advice = |key: &&str| {
        let text = "systemd opens the sockets, and permits access to a server, as configured in \
                    the files; it does not know this variable, so set the key in a file";
        Diagnostic::advice(*key, text)
    };
    loaded.located(set.map(advice).collect())
}

/// The lines of the section `[Socket]` for a daemon.
fn socket_lines(request: Request<'_>) -> anyhow::Result<String> {
    let mut lines = String::new();
    let (directive, addresses, workers) = match request {
        Request::Udp(request) => {
            if let Some(bytes) = request.receive_buffer_bytes {
                let _ = writeln!(lines, "ReceiveBuffer={bytes}");
            }
            ("ListenDatagram", request.addresses, request.workers)
        }
        Request::Tcp(request) => {
            let _ = writeln!(lines, "Backlog={}", request.backlog);
            ("ListenStream", request.addresses, request.workers)
        }
    };
    for line in listen_lines(directive, addresses, sockets::worker_count(workers)?) {
        lines.push_str(&line);
    }
    Ok(lines)
}

/// One line per socket: each address is repeated once per worker, in sequence.
fn listen_lines(
    directive: &str,
    addresses: &[SocketAddr],
    workers: NonZeroUsize,
) -> impl Iterator<Item = String> {
    sockets::servable(addresses)
        .into_iter()
        .flat_map(move |address| {
            let line = format!("{directive}={}\n", as_in_units(address));
            std::iter::repeat_n(line, workers.get())
        })
}

/// An address in systemd's syntax: the interface of a link-local address comes last,
/// and percent signs are doubled.
fn as_in_units(address: SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            format!("[{}]:{}%%{}", v6.ip(), v6.port(), v6.scope_id())
        }
        address => address.to_string(),
    }
}

/// A path escaped for double quotes in a unit.
fn in_quotes(path: &Path) -> String {
    let text = path.display().to_string();
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::{TcpRequest, UdpRequest};

    fn number(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    #[test]
    fn datagram_sockets_of_two_workers() {
        let addresses = [
            "127.0.0.1:3000".parse().unwrap(),
            "[::1]:3000".parse().unwrap(),
        ];
        let request = UdpRequest {
            addresses: &addresses,
            workers: Some(number(2)),
            receive_buffer_bytes: Some(number(8_000_000)),
        };
        assert_eq!(
            socket_lines(Request::Udp(request)).unwrap(),
            "ReceiveBuffer=8000000\n\
             ListenDatagram=127.0.0.1:3000\n\
             ListenDatagram=127.0.0.1:3000\n\
             ListenDatagram=[::1]:3000\n\
             ListenDatagram=[::1]:3000\n"
        );
        let default_buffer = UdpRequest {
            receive_buffer_bytes: None,
            ..request
        };
        let lines = socket_lines(Request::Udp(default_buffer)).unwrap();
        assert!(lines.starts_with("ListenDatagram="));
    }

    #[test]
    fn stream_sockets() {
        let request = TcpRequest {
            addresses: &["0.0.0.0:443".parse().unwrap()],
            workers: Some(number(1)),
            backlog: number(1024),
        };
        assert_eq!(
            socket_lines(Request::Tcp(request)).unwrap(),
            "Backlog=1024\nListenStream=0.0.0.0:443\n"
        );
    }

    #[test]
    fn interfaces_stand_where_systemd_looks_for_them() {
        let address = |text: &str| as_in_units(text.parse().unwrap());
        assert_eq!(address("[fe80::1%2]:3000"), "[fe80::1]:3000%%2");
        assert_eq!(address("[::]:3000"), "[::]:3000");
    }

    #[test]
    fn paths_stay_what_they_are() {
        assert_eq!(in_quotes(Path::new("/a/100%.toml")), "/a/100%%.toml");
        assert_eq!(in_quotes(Path::new("/$a/\"b\"")), "/$$a/\\\"b\\\"");
    }
}
