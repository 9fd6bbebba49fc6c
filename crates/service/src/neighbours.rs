//! Conflicts with the configurations of other daemons.
//!
//! Socket units open their sockets as root, with SO_REUSEPORT, so the kernel would let a
//! second daemon use the address of another, and distribute connections among the two.
//! Two daemons with the same snapshot file would overwrite each other's snapshots. So
//! the configurations of the daemons in one directory are compared before anything is
//! opened.

mod daemons;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Diagnostic, NeighbourFile, addresses};
use crate::files::Identity;
use crate::sockets::{Listening, Transport};

use daemons::DAEMONS;

/// Where packages install configurations.
const PACKAGED: &str = "/etc/aquatic";

/// A daemon whose configuration is compared.
struct Neighbour {
    name: &'static str,
    protocol: Protocol,
    /// The port that it listens on by default.
    port: u16,
}

/// The transport of sockets: ports of different transports do not conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
}

/// The addresses and files that only one daemon can use.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pub(crate) addresses: Vec<Claim<(Protocol, SocketAddr)>>,
    pub(crate) files: Vec<Claim<PathBuf>>,
}

/// A file or an address that the value of a key reserves for one daemon.
#[derive(Debug)]
pub(crate) struct Claim<T> {
    /// Such as `network.address`.
    pub(crate) key: &'static str,
    pub(crate) what: T,
}

/// A conflict between two daemons.
#[derive(Debug)]
pub(crate) struct Conflict {
    /// The key of ours that conflicts, and how.
    pub(crate) error: Diagnostic,
    /// Whether the other daemon only serves metrics at the address: the generator of its
    /// socket unit leaves the address out then.
    pub(crate) is_with_metrics: bool,
}

impl Claims {
    /// The claims of a daemon's sockets, without files.
    pub(crate) fn of(listening: &Listening) -> Self {
        let protocol = match listening.transport {
            Transport::Udp { .. } => Protocol::Udp,
            Transport::Tcp { .. } => Protocol::Tcp,
        };
        let served = listening.addresses.iter().map(|address| Claim {
            key: "network.address",
            what: (protocol, *address),
        });
        let metrics = listening.metrics.map(|address| Claim {
            key: "metrics.address",
            what: (Protocol::Tcp, address),
        });
        Self {
            addresses: served.chain(metrics).collect(),
            files: Vec::new(),
        }
    }
}

/// The names of all daemons.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    DAEMONS.iter().map(|daemon| daemon.name)
}

/// The conflicts of `claims`, those of the daemon `name` with the configuration at `path`,
/// with other daemons whose configurations are in the same directory.
pub(crate) fn conflicts(name: &str, path: &Path, claims: &Claims) -> Vec<Conflict> {
    conflicts_below(Path::new("/"), name, path, claims)
}

/// Like [`conflicts`], with the units of systemd below `root`.
fn conflicts_below(root: &Path, name: &str, path: &Path, claims: &Claims) -> Vec<Conflict> {
    // The same file may have several names.
    let Ok(path) = path.canonicalize() else {
        return Vec::new();
    };
    let Some(directory) = path.parent() else {
        return Vec::new();
    };
    let is_packaged = is_packaged(&path);
    let mut conflicts = Vec::new();
    for daemon in DAEMONS.iter().filter(|daemon| daemon.name != name) {
        let file = directory.join(format!("{}.toml", daemon.name));
        // The configuration of a removed package stays, so only the configurations of
        // enabled services count.
        if file == path || is_packaged && !is_enabled(root, daemon.name) {
            continue;
        }
        // Nothing conflicts with a file that cannot be read or is invalid: its daemon
        // would not start.
        if let Some(other) = NeighbourFile::read(&file, daemon.port) {
            compare(claims, daemon, &other, &mut conflicts);
        }
    }
    conflicts
}

/// Whether this is the configuration of a packaged service.
pub(crate) fn is_packaged(path: &Path) -> bool {
    path.parent() == Some(Path::new(PACKAGED))
}

fn compare(
    claims: &Claims,
    daemon: &Neighbour,
    other: &NeighbourFile,
    conflicts: &mut Vec<Conflict>,
) {
    let served = other
        .addresses
        .iter()
        .map(|one| (daemon.protocol, one, false));
    let metrics = other.metrics.iter().map(|one| (Protocol::Tcp, one, true));
    for (protocol, theirs, is_with_metrics) in served.chain(metrics) {
        let ours = claims
            .addresses
            .iter()
            .find(|ours| ours.what.0 == protocol && addresses::overlap(ours.what.1, theirs.value));
        if let Some(ours) = ours {
            let message = format!(
                "{} is also used by {}: {} in {}; two daemons cannot share a port, so change one \
                 of them",
                ours.what.1, daemon.name, theirs.value, theirs.place
            );
            conflicts.push(Conflict {
                error: Diagnostic::error(ours.key, message),
                is_with_metrics,
            });
        }
    }
    for theirs in &other.files {
        let same =
            |ours: &&Claim<PathBuf>| Identity::of(&ours.what).is_same(&Identity::of(&theirs.value));
        if let Some(ours) = claims.files.iter().find(same) {
            let message = format!(
                "{} is also written by {}, according to {}; configure a separate file for each \
                 daemon",
                ours.what.display(),
                daemon.name,
                theirs.place
            );
            conflicts.push(Conflict {
                error: Diagnostic::error(ours.key, message),
                is_with_metrics: false,
            });
        }
    }
}

/// Whether systemd starts a unit of this daemon at boot. A masked unit, a link to
/// `/dev/null`, does not count: removing a package masks its units.
fn is_enabled(root: &Path, name: &str) -> bool {
    const UNITS: [&str; 5] = [
        "etc/systemd/system",
        "run/systemd/system",
        "usr/local/lib/systemd/system",
        "usr/lib/systemd/system",
        "lib/systemd/system",
    ];
    let directories = || UNITS.iter().map(|directory| root.join(directory));
    let is_wanted = |unit: String, target: &str| {
        let first = directories().find_map(|directory| {
            let unit = directory.join(&unit);
            fs::symlink_metadata(&unit).is_ok().then_some(unit)
        });
        let is_masked = first.as_ref().is_some_and(|unit| {
            fs::read_link(unit).is_ok_and(|target| target == Path::new("/dev/null"))
        });
        let wish = format!("{target}.wants/{unit}");
        let is_linked = |directory: PathBuf| fs::symlink_metadata(directory.join(&wish)).is_ok();
        first.is_some() && !is_masked && directories().any(is_linked)
    };
    is_wanted(format!("{name}.socket"), "sockets.target")
        || is_wanted(format!("{name}.service"), "multi-user.target")
}

#[cfg(test)]
mod tests;
