//! Sections that all daemons have.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::addresses::MetricsAddress;
use super::checks::Checks;
use super::numbers::{Count, Seconds, ZeroOr};
use super::people::Line;

/// What needs a restart in all daemons: sockets and threads are opened, and privileges
/// dropped, when a process starts.
pub const NEED_RESTART: &[&str] = &[
    "socket_workers",
    "network.address",
    "privileges",
    "metrics.address",
];

/// Number of workers; 0 for one per CPU core.
pub type Workers = ZeroOr<Count<1, 1024>>;

/// Time between snapshots: up to a day.
pub type SnapshotInterval = Seconds<1, 86_400>;

/// Torrents on the status page; 0 for none.
pub type LargestTorrents = ZeroOr<Count<1, 1_000>>;

/// Log verbosity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Errors that keep the service, or a part of it, from working.
    Error,
    /// Also warnings: conditions that need an operator's attention.
    Warn,
    /// Also startup, shutdown and reloads.
    #[default]
    Info,
    /// Also details for troubleshooting.
    Debug,
    /// The same. Individual requests are not logged: metrics count them.
    Trace,
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::Off,
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

/// Dropping of privileges when started as root, once the sockets are open. Not
/// needed under systemd, which starts the service as an unprivileged user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PrivilegesConfig {
    /// Whether to switch to the user and group below and drop all capabilities.
    /// The service has to be started as root.
    pub drop_privileges: bool,
    /// Directory to chroot into. Paths that are used while the service runs
    /// (access list, snapshot) are then resolved inside it. Empty: no chroot.
    pub chroot_path: PathBuf,
    /// Name of the user to switch to.
    pub user: String,
    /// Name of the group to switch to. Supplementary groups are dropped.
    pub group: String,
}

impl Default for PrivilegesConfig {
    fn default() -> Self {
        Self {
            drop_privileges: false,
            chroot_path: PathBuf::new(),
            user: "nobody".to_owned(),
            group: "nogroup".to_owned(),
        }
    }
}

impl PrivilegesConfig {
    /// The directory for chroot, if configured.
    pub fn chroot(&self) -> Option<&Path> {
        non_empty(&self.chroot_path).filter(|_| self.drop_privileges)
    }

    /// Checks that the names of user and group are not empty if they are needed.
    pub fn check(&self, checks: &mut Checks) {
        for (key, name) in [("user", &self.user), ("group", &self.group)] {
            if self.drop_privileges && name.is_empty() {
                checks.fail(
                    format!("privileges.{key}"),
                    format!("a {key} name is required when drop_privileges is true"),
                );
            }
        }
    }
}

/// Status page and metrics over HTTP: / for people, /metrics in the Prometheus
/// text format, /stats.json and /health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// IP address and port to serve the status page and metrics on, such as
    /// `127.0.0.1:9000` or `[::1]:9000`. Anyone who can reach it can read them,
    /// so use a loopback address. Empty: disabled.
    pub address: MetricsAddress,
    /// Whether to count announces per client software, as identified by the
    /// peer id, for metrics and the status page. Adds a small cost to each
    /// announce.
    pub peer_clients: bool,
    /// Whether to also count announces per peer id prefix, which shows client
    /// software that is not recognized.
    pub peer_id_prefixes: bool,
    /// Number of torrents that the status page lists: those with the most peers,
    /// with info hash, seeders, leechers and downloads, counted once a minute.
    /// Info hashes reveal what clients share, so none are listed by default. 0:
    /// none.
    pub largest_torrents: LargestTorrents,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            address: MetricsAddress::default(),
            peer_clients: false,
            peer_id_prefixes: false,
            largest_torrents: ZeroOr::ZERO,
        }
    }
}

impl MetricsConfig {
    /// The address for metrics, if they are enabled.
    pub fn address(&self, checks: &mut Checks) -> Option<SocketAddr> {
        let address = self.address.0?;
        if !address.ip().is_loopback() {
            checks.advise(
                "metrics.address",
                format!(
                    "{address} is not a loopback address, so the metrics may be readable from \
                         other machines"
                ),
            );
        }
        Some(address)
    }
}

/// The page for people at `/`, with the announce URL to copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PageConfig {
    /// Name of the tracker on the page. Empty: the name of the daemon.
    pub name: Line,
    /// How to reach its operator: an e-mail address or a URL, which becomes a
    /// link, or any text. Empty: the page names no contact.
    pub contact: Line,
    /// Whether the page shows how many torrents, peers and seeders there are.
    pub totals: bool,
}

/// Snapshot file, which preserves torrents and peers across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotConfig {
    /// Path of the snapshot file. Empty: under systemd, a file named after the
    /// daemon in its state directory; otherwise no snapshot is kept, and the
    /// tracker always starts empty.
    pub path: PathBuf,
    /// Interval between snapshots, in seconds. A final one is written when the
    /// service stops.
    pub interval_seconds: SnapshotInterval,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            interval_seconds: Seconds::of::<300>(),
        }
    }
}

/// Path and interval of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// The file; it is written under a temporary name next to it, and then renamed.
    pub path: PathBuf,
    /// Time between two snapshots while the daemon runs.
    pub interval: Duration,
}

impl SnapshotConfig {
    /// Path and interval; `None` if there is no path. `name` is the daemon's. Reads the
    /// environment variable `STATE_DIRECTORY`, which systemd sets.
    pub fn settings(&self, name: &str) -> Option<SnapshotSettings> {
        self.settings_within(name, std::env::var_os("STATE_DIRECTORY").as_deref())
    }

    /// `state_directory` is a list of directories separated by colons; the first one is
    /// used.
    fn settings_within(
        &self,
        name: &str,
        state_directory: Option<&OsStr>,
    ) -> Option<SnapshotSettings> {
        let path = non_empty(&self.path).map(Path::to_owned).or_else(|| {
            let first = std::env::split_paths(state_directory?).next()?;
            non_empty(&first).map(|directory| directory.join(format!("{name}.snapshot")))
        })?;
        Some(SnapshotSettings {
            path,
            interval: self.interval_seconds.duration(),
        })
    }
}

/// The path, unless it is empty.
fn non_empty(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(check: impl FnOnce(&mut Checks)) -> Vec<String> {
        let mut checks = Checks::new();
        check(&mut checks);
        let faults = checks.finish(()).err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn privileges_are_kept_unless_asked_for() {
        let mut config = PrivilegesConfig {
            chroot_path: "/srv".into(),
            group: String::new(),
            ..PrivilegesConfig::default()
        };
        assert_eq!(faults(|checks| config.check(checks)), [""; 0]);
        assert_eq!(config.chroot(), None);

        config.drop_privileges = true;
        assert_eq!(
            faults(|checks| config.check(checks)),
            ["privileges.group: a group name is required when drop_privileges is true"]
        );
        assert_eq!(config.chroot(), Some(Path::new("/srv")));
        config.chroot_path = PathBuf::new();
        assert_eq!(config.chroot(), None);
    }

    #[test]
    fn snapshot_goes_to_the_state_directory_of_systemd() {
        let mut config = SnapshotConfig::default();
        let settings = |config: &SnapshotConfig, directory: Option<&str>| {
            config.settings_within("aquatic-udp", directory.map(OsStr::new))
        };
        let expected = |path: &str| {
            Some(SnapshotSettings {
                path: path.into(),
                interval: Duration::from_secs(300),
            })
        };
        let state = Some("/var/lib/aquatic-udp:/var/lib/other");
        assert_eq!(settings(&config, None), None);
        assert_eq!(
            settings(&config, state),
            expected("/var/lib/aquatic-udp/aquatic-udp.snapshot")
        );
        assert_eq!(settings(&config, Some("")), None);

        config.path = "here".into();
        assert_eq!(settings(&config, state), expected("here"));
    }
}
