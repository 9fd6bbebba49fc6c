//! Hosts in network namespaces behind one bridge.
//!
//! Every namespace is held open by a child process that waits for the end of its standard
//! input, and has no name: however a test ends, the kernel removes the namespaces and all
//! their interfaces, and tests that run at the same time cannot collide. Root makes the
//! namespaces directly; other users make them inside a user namespace.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::panic;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sched::{self, CloneFlags};

use crate::tools;

mod cable;
mod nat;

pub use cable::Cable;
pub use nat::{NatNetwork, PROGRAMS as NAT_PROGRAMS};

/// Programs that a [`Network`] needs; for [`tools::needs`].
pub const PROGRAMS: [&str; 3] = ["ip", "nsenter", "unshare"];

/// The interface of a host that is connected to the bridge.
const INTERFACE: &str = "eth0";

/// Hosts that reach each other and nothing else.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    _switch: Namespace,
}

/// One host with an address of each family.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address.
    pub ipv6: Ipv6Addr,
}

/// Which addresses the hosts get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6.
    Both,
    /// IPv6 only.
    Ipv6Only,
}

impl Network {
    /// Makes `host_count` hosts.
    ///
    /// # Panics
    /// When this machine does not allow that.
    #[must_use]
    #[track_caller]
    pub fn new(host_count: u8, families: Families) -> Self {
        let switch = Namespace::first();
        ip(&switch, "link add switch type bridge");
        ip(&switch, "link set switch up");
        let hosts = (1..=host_count)
            .map(|number| Host::new(number, families, &switch))
            .collect();
        Self {
            hosts,
            _switch: switch,
        }
    }

    /// One of the hosts, counted from zero.
    ///
    /// # Panics
    /// When there are fewer hosts.
    #[must_use]
    #[track_caller]
    pub fn host(&self, index: usize) -> &Host {
        &self.hosts[index]
    }
}

impl Host {
    fn new(number: u8, families: Families, switch: &Namespace) -> Self {
        let namespace = Namespace::inside(switch);
        let host = Self {
            ipv4: Ipv4Addr::new(10, 77, 0, number),
            ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()),
            namespace,
        };
        let id = host.namespace.id();
        let port = format!("port{number}");
        let pair = format!("link add {port} type veth peer name {INTERFACE} netns {id}");
        ip(switch, pair);
        ip(switch, format!("link set {port} master switch up"));
        let inside = &host.namespace;
        ip(inside, "link set lo up");
        if families == Families::Both {
            ip(inside, format!("addr add {}/24 dev {INTERFACE}", host.ipv4));
        }
        // Without duplicate address detection, the address can be used at once.
        let address = format!("addr add {}/64 dev {INTERFACE} nodad", host.ipv6);
        ip(inside, address);
        ip(inside, format!("link set {INTERFACE} up"));
        // Clients use an address family only if the routing table has a route for it.
        if families == Families::Both {
            ip(inside, format!("route add default dev {INTERFACE}"));
        }
        ip(inside, format!("-6 route add default dev {INTERFACE}"));
        host
    }

    /// Runs `ip` on this host, whose interface to the other hosts is `eth0`.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn ip(&self, arguments: impl Display) {
        ip(&self.namespace, arguments);
    }

    /// The index of its interface to the other hosts, for the scope of link-local
    /// addresses.
    ///
    /// # Panics
    /// When there is no such interface.
    #[must_use]
    #[track_caller]
    pub fn interface_number(&self) -> u32 {
        let shown = ip(&self.namespace, format!("-o link show dev {INTERFACE}"));
        let number = shown.split(':').next().and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| panic!("no number of an interface in {shown}"))
    }

    /// Its network namespace, as a file.
    #[must_use]
    pub fn namespace(&self) -> PathBuf {
        self.namespace.path()
    }

    /// Runs `action` on this host, in a thread of its own. A socket that it makes stays
    /// on this host. Needs root.
    ///
    /// # Panics
    /// When that is not allowed, and when `action` panics.
    #[track_caller]
    pub fn run<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(action)
    }

    /// Adds an address to the host, such as `10.77.0.100/24`, which can be used at once.
    ///
    /// # Panics
    /// When the address cannot be added.
    #[track_caller]
    pub fn add_address(&self, address: &str) {
        // IPv4 has no duplicate address detection.
        let nodad = if address.contains(':') { " nodad" } else { "" };
        let arguments = format!("addr add {address} dev {INTERFACE}{nodad}");
        ip(&self.namespace, arguments);
    }

    /// A command that runs `program` on this host. The process id of the command is that
    /// of the program.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }
}

/// A network namespace and the process that holds it open.
#[derive(Debug)]
pub(crate) struct Namespace {
    holder: Child,
    in_user_namespace: bool,
    has_mounts: bool,
}

impl Namespace {
    /// A network namespace that also has its own mounts. Needs root.
    pub(crate) fn with_mounts() -> Self {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        let mut namespace = Self::hold(command, false);
        namespace.has_mounts = true;
        namespace
    }

    fn first() -> Self {
        let in_user_namespace = !nix::unistd::geteuid().is_root();
        let mut command = Command::new("unshare");
        if in_user_namespace {
            command.args(["--user", "--map-root-user"]);
        }
        Self::hold(command, in_user_namespace)
    }

    /// Another network namespace, under the same user namespace as `other`.
    fn inside(other: &Self) -> Self {
        Self::hold(other.command("unshare"), other.in_user_namespace)
    }

    fn hold(mut command: Command, in_user_namespace: bool) -> Self {
        command
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut holder = command
            .spawn()
            .unwrap_or_else(|error| panic!("make a network namespace: {error}"));
        let mut ready = String::new();
        let stdout = holder.stdout.as_mut().expect("standard output is piped");
        let read = BufReader::new(stdout).read_line(&mut ready);
        assert!(
            read.is_ok() && ready == "ready\n",
            "network namespaces cannot be made here: run as root, or allow \
             user namespaces to unprivileged users"
        );
        Self {
            holder,
            in_user_namespace,
            has_mounts: false,
        }
    }

    fn id(&self) -> u32 {
        self.holder.id()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.id()))
    }

    /// The words of a command line that precede a program to run it in the namespace. The
    /// process id of the command is that of the program.
    pub(crate) fn entering(&self) -> Vec<String> {
        let target = format!("--target={}", self.id());
        let mut words = vec!["nsenter".to_owned(), target, "--net".to_owned()];
        if self.has_mounts {
            words.push("--mount".to_owned());
        }
        if self.in_user_namespace {
            words.push("--user".to_owned());
            words.push("--preserve-credentials".to_owned());
        }
        words.push("--".to_owned());
        words
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let words = self.entering();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    /// See [`Host::run`].
    #[track_caller]
    pub(crate) fn run<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.path()).expect("its holder is there");
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                sched::setns(namespace, CloneFlags::CLONE_NEWNET)
                    .expect("root may change to a network namespace");
                action()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Runs `ip` in a namespace and returns what it prints.
#[track_caller]
pub(crate) fn ip(namespace: &Namespace, arguments: impl Display) -> String {
    let program = tools::find("ip").expect("the test has asked for PROGRAMS");
    let arguments = arguments.to_string();
    let output = namespace
        .command(program)
        .args(arguments.split(' '))
        .output()
        .unwrap_or_else(|error| panic!("ip {arguments}: {error}"));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {message}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;
    use crate::waiting::PATIENCE;

    #[test]
    fn hosts_reach_each_other_over_both_families() {
        if !tools::needs(&PROGRAMS) || !tools::needs(&["python3"]) {
            return;
        }
        let network = Network::new(2, Families::Both);
        for address in [
            network.host(0).ipv4.to_string(),
            network.host(0).ipv6.to_string(),
        ] {
            let script = "import socket, sys
server = socket.create_server((sys.argv[1], 7000), family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
print('listening', flush=True)
print('peer', server.accept()[1][0], flush=True)";
            let mut listen = network.host(0).command("python3");
            listen.args(["-c", script, &address]);
            let listener = Process::start("listener", &mut listen);
            listener.wait_for_line("listening", PATIENCE);
            let mut connect = network.host(1).command("python3");
            let script = "import socket, sys; socket.create_connection((sys.argv[1], 7000))";
            connect.args(["-c", script, &address]);
            let connected = Process::start("connector", &mut connect).wait(PATIENCE);
            assert!(connected.status.success(), "{}", connected.stderr);
            let peer = listener.wait_for_line("peer", PATIENCE);
            let peer = peer.strip_prefix("peer ").unwrap();
            let expected = if address.contains(':') {
                network.host(1).ipv6.to_string()
            } else {
                network.host(1).ipv4.to_string()
            };
            assert_eq!(peer, expected);
        }
    }
}
