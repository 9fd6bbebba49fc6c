//! What the tests need from the system.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::commands::succeed;
use crate::root;

/// A requirement of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// A program.
    Program(&'static str),
    /// A library, below the directory of the machine's architecture.
    Library(&'static str),
    /// A module of Python 3.
    PythonModule(&'static str),
    /// WebTorrent clients, and what drives a browser, which npm installs.
    NodeClients,
}

use Requirement::{Library, NodeClients, Program, PythonModule};

/// The interpreter with Debian's modules; another one may come before it in PATH.
const PYTHON: &str = "/usr/bin/python3";

/// Debian packages, what the tests use of each, and for what.
pub(crate) const PACKAGES: &[Package] = &[
    Package {
        name: "aria2",
        requirements: &[Program("aria2c")],
        purpose: "a BitTorrent client",
    },
    Package {
        name: "chromium",
        requirements: &[Program("/usr/bin/chromium")],
        purpose: "a browser",
    },
    Package {
        name: "faketime",
        requirements: &[Program("faketime")],
        purpose: "a wall clock that is wrong",
    },
    Package {
        name: "iproute2",
        requirements: &[Program("ip"), Program("ss")],
        purpose: "networks between the clients, and looks at sockets",
    },
    Package {
        name: "iptables",
        requirements: &[Program("iptables-save")],
        purpose: "shows the tables of nft that it knows",
    },
    Package {
        name: "libfaketime",
        requirements: &[Library("faketime/libfaketimeMT.so.1")],
        purpose: "starts daemons on a machine whose clock is wrong",
    },
    Package {
        name: "mount",
        requirements: &[Program("mount")],
        purpose: "full disks and read-only ones, in namespaces",
    },
    Package {
        name: "nftables",
        requirements: &[Program("nft")],
        purpose: "a firewall that closes the port of a tracker",
    },
    Package {
        name: "nix-bin",
        requirements: &[Program("nix"), Program("nix-instantiate")],
        purpose: "evaluates the NixOS module",
    },
    Package {
        name: "nodejs",
        requirements: &[Program("node")],
        purpose: "runs WebTorrent clients and drives the browser",
    },
    Package {
        name: "npm",
        requirements: &[Program("npm"), NodeClients],
        purpose: "installs WebTorrent clients and what drives the browser",
    },
    Package {
        name: "openssl",
        requirements: &[Program("openssl")],
        purpose: "makes certificates",
    },
    Package {
        name: "prometheus",
        requirements: &[Program("prometheus"), Program("promtool")],
        purpose: "reads metrics, and checks rules and queries",
    },
    Package {
        name: "python3",
        requirements: &[Program(PYTHON)],
        purpose: "runs libtorrent",
    },
    Package {
        name: "python3-libtorrent",
        requirements: &[PythonModule("libtorrent")],
        purpose: "the BitTorrent client in qBittorrent and Deluge",
    },
    Package {
        name: "python3-redis",
        requirements: &[PythonModule("redis")],
        purpose: "reads announces from the engine, as the manual describes it",
    },
    Package {
        name: "redis-sentinel",
        requirements: &[Program("redis-sentinel")],
        purpose: "says which of several engines is the primary",
    },
    Package {
        name: "redis-server",
        requirements: &[Program("redis-server")],
        purpose: "the engine between nodes",
    },
    Package {
        name: "systemd",
        requirements: &[
            Program("systemd-analyze"),
            Program("systemd-socket-activate"),
        ],
        purpose: "passes sockets as systemd does, and looks at units",
    },
    Package {
        name: "transmission-cli",
        requirements: &[Program("transmission-create"), Program("transmission-show")],
        purpose: "makes torrents",
    },
    Package {
        name: "transmission-daemon",
        requirements: &[Program("transmission-daemon")],
        purpose: "a BitTorrent client",
    },
    Package {
        name: "util-linux",
        requirements: &[
            Program("nsenter"),
            Program("prlimit"),
            Program("setpriv"),
            Program("taskset"),
            Program("unshare"),
        ],
        purpose: "namespaces, and machines that lack something",
    },
];

/// Debian packages that the tests of our own packages need, and for what.
pub(crate) const SYSTEM_PACKAGES: &[Package] = &[
    Package {
        name: "apt-utils",
        requirements: &[Program("apt-ftparchive")],
        purpose: "makes a repository",
    },
    Package {
        name: "createrepo-c",
        requirements: &[Program("createrepo_c")],
        purpose: "makes a repository of RPM packages",
    },
    Package {
        name: "debhelper",
        requirements: &[Program("dh")],
        purpose: "builds packages",
    },
    Package {
        name: "dnf",
        requirements: &[Program("dnf")],
        purpose: "installs RPM packages",
    },
    Package {
        name: "dpkg-dev",
        requirements: &[Program("dpkg-buildpackage")],
        purpose: "builds packages",
    },
    Package {
        name: "gnupg",
        requirements: &[Program("gpg")],
        purpose: "signs a repository",
    },
    Package {
        name: "iproute2",
        requirements: &[Program("ip")],
        purpose: "networks between client and container",
    },
    Package {
        name: "lintian",
        requirements: &[Program("lintian")],
        purpose: "looks for faults in packages",
    },
    Package {
        name: "mmdebstrap",
        requirements: &[Program("mmdebstrap")],
        purpose: "root file systems of Debian's releases",
    },
    Package {
        name: "nix-bin",
        requirements: &[Program("nix-instantiate")],
        purpose: "evaluates the NixOS module",
    },
    Package {
        name: "piuparts",
        requirements: &[Program("piuparts")],
        purpose: "compares all files before and after",
    },
    Package {
        name: "rpm",
        requirements: &[Program("rpmbuild")],
        purpose: "builds RPM packages",
    },
    Package {
        name: "rpmlint",
        requirements: &[Program("rpmlint")],
        purpose: "looks for faults in RPM packages",
    },
    Package {
        name: "systemd-container",
        requirements: &[Program("systemd-nspawn")],
        purpose: "containers with a systemd of their own",
    },
    Package {
        name: "util-linux",
        requirements: &[Program("nsenter"), Program("unshare")],
        purpose: "namespaces",
    },
];

/// Debian packages that the tests of a container image need, and for what.
pub(crate) const IMAGE_PACKAGES: &[Package] = &[
    Package {
        name: "crun",
        requirements: &[Program("crun")],
        purpose: "runs containers",
    },
    Package {
        name: "podman",
        requirements: &[Program("podman")],
        purpose: "runs containers",
    },
    Package {
        name: "systemd",
        requirements: &[Program("systemd-socket-activate")],
        purpose: "passes sockets as systemd does",
    },
    Package {
        name: "util-linux",
        requirements: &[Program("unshare")],
        purpose: "namespaces",
    },
];

/// A package of Debian.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) requirements: &'static [Requirement],
    pub(crate) purpose: &'static str,
}

impl Package {
    /// Whether the system has everything of it that the tests need.
    pub(crate) fn is_there(&self) -> bool {
        self.requirements.iter().all(|it| it.is_there())
    }
}

impl Requirement {
    fn is_there(self) -> bool {
        match self {
            Program(name) => has_program(name),
            Library(name) => has_library(name),
            PythonModule(name) => Command::new(PYTHON)
                .args(["-c", &format!("import {name}")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
            NodeClients => has_node_clients(),
        }
    }
}

/// The directory with the list of packages for npm.
const NODE_CLIENTS: &str = "crates/test-harness/node";

/// Whether npm has installed the current list.
fn has_node_clients() -> bool {
    let changed_at = |name| {
        let path = root().join(NODE_CLIENTS).join(name);
        fs::metadata(path).and_then(|it| it.modified()).ok()
    };
    // npm writes the second one last.
    let named_at = changed_at("package-lock.json");
    let installed_at = changed_at("node_modules/.package-lock.json");
    installed_at.is_some() && installed_at >= named_at
}

/// Installs them with npm, without running the scripts of packages, which would compile
/// binaries that the packages already contain.
fn install_node_clients() -> anyhow::Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    succeed(npm.current_dir(root().join(NODE_CLIENTS)))
}

/// The packages of a list that are missing.
pub(crate) fn missing(needed: &[Package]) -> Vec<&Package> {
    needed.iter().filter(|it| !it.is_there()).collect()
}

/// Installs packages with apt-get, and WebTorrent clients with npm.
///
/// # Errors
///
/// If there is no apt-get, this user may not use it, or one of them fails.
pub(crate) fn install(packages: &[&Package]) -> anyhow::Result<()> {
    let lacks_package = |it: &&Package| {
        let mut others = it.requirements.iter().filter(|it| **it != NodeClients);
        others.any(|it| !it.is_there())
    };
    let names = packages.iter().copied().filter(lacks_package);
    let names: Vec<_> = names.map(|it| it.name).collect();
    if !names.is_empty() {
        install_from_debian(&names)?;
    }
    let mut requirements = packages.iter().flat_map(|it| it.requirements);
    if requirements.any(|it| *it == NodeClients) && !has_node_clients() {
        install_node_clients()?;
    }
    Ok(())
}

fn install_from_debian(names: &[&str]) -> anyhow::Result<()> {
    if !has_program("apt-get") {
        bail!("--install works on Debian and its derivatives: there is no apt-get");
    }
    succeed(apt_get()?.arg("update"))?;
    succeed(
        apt_get()?
            .args(["install", "--yes", "--no-install-recommends"])
            .args(names),
    )
}

/// `apt-get` as root, without questions.
fn apt_get() -> anyhow::Result<Command> {
    let mut command = if is_root()? {
        Command::new("env")
    } else if has_program("sudo") {
        let mut command = Command::new("sudo");
        command.arg("env");
        command
    } else {
        bail!("--install needs root or sudo");
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(command)
}

/// Whether this runs as root.
///
/// # Errors
///
/// There is no `id`.
pub(crate) fn is_root() -> anyhow::Result<bool> {
    let user = Command::new("id").arg("-u").output();
    Ok(user.context("cannot run id")?.stdout.trim_ascii() == b"0")
}

/// Whether a program exists: at its path, in PATH, or in the directories of system
/// administration programs, which the tests also search.
pub(crate) fn has_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(name).is_file())
}

/// Whether there is such a library for the architecture that this runs on.
fn has_library(name: &str) -> bool {
    let directory = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    Path::new(&directory).join(name).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_for_programs_and_modules() {
        assert!(!Library("no_such_library.so.1").is_there());
        assert!(Program("sh").is_there());
        assert!(!Program("no-such-program-anywhere").is_there());
        assert!(!PythonModule("no_such_module_anywhere").is_there());
    }

    #[test]
    fn packages_are_in_order() {
        for packages in [PACKAGES, SYSTEM_PACKAGES, IMAGE_PACKAGES] {
            assert!(packages.is_sorted_by_key(|it| it.name));
        }
    }
}
