//! The settings that this crate itself acts on, valid by type.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::checks::Checks;
use super::diagnostic::Diagnostic;
use super::sections::{AccessListConfig, LogLevel, PrivilegesConfig, SnapshotConfig};
use crate::sockets::Listening;

/// What every daemon needs of its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The least important records that are still logged.
    pub log_level: log::LevelFilter,
    /// What to become once sockets are open; `None` to stay as started.
    pub privileges: Option<PrivilegesSettings>,
    /// Which torrents are served.
    pub access_list: AccessListSettings,
    /// Where metrics are served over HTTP; `None` for nowhere.
    pub metrics_address: Option<SocketAddr>,
    /// Where the swarm is kept across restarts; `None` to start empty.
    pub snapshot: Option<SnapshotSettings>,
    /// Values that work but are probably not meant, to be logged.
    pub advice: Vec<Diagnostic>,
}

/// What a process that was started as root becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivilegesSettings {
    /// The directory that becomes the root directory; `None` for no change.
    pub chroot_path: Option<PathBuf>,
    /// Name of the user.
    pub user: String,
    /// Name of the group.
    pub group: String,
}

/// Which torrents are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessListSettings {
    /// All of them.
    Off,
    /// Only those in this file.
    Allow(PathBuf),
    /// All but those in this file.
    Deny(PathBuf),
}

/// Where and how often the swarm is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// The file; written next to it under a temporary name and then renamed.
    pub path: PathBuf,
    /// Time between two snapshots while the daemon runs.
    pub interval: Duration,
}

/// The sections of a configuration from which [`ProcessSettings`] are made.
#[derive(Debug, Clone, Copy)]
pub struct ProcessSections<'a> {
    /// Name of the daemon, `aquatic-udp`.
    pub name: &'a str,
    /// The key `log_level`.
    pub log_level: LogLevel,
    /// The section `[privileges]`.
    pub privileges: &'a PrivilegesConfig,
    /// The section `[access_list]`.
    pub access_list: &'a AccessListConfig,
    /// What is made of the keys about sockets.
    pub listening: &'a Listening,
    /// The section `[snapshot]`.
    pub snapshot: &'a SnapshotConfig,
}

impl ProcessSections<'_> {
    /// Checks the sections and turns them into settings. Reads
    /// `STATE_DIRECTORY` of the environment, which systemd sets. `advice` is
    /// empty: it is taken from `checks` when all sections have been checked.
    pub fn settings(&self, checks: &mut Checks) -> ProcessSettings {
        ProcessSettings {
            log_level: self.log_level.into(),
            privileges: self.privileges.settings(checks),
            access_list: self.access_list.settings(checks),
            metrics_address: self.listening.metrics,
            snapshot: self
                .snapshot
                .settings(self.name, std::env::var_os("STATE_DIRECTORY").as_deref()),
            advice: Vec::new(),
        }
    }
}
