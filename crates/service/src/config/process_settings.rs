//! The settings that this crate itself acts on, valid by type.

use std::net::SocketAddr;

use super::checks::Checks;
use super::diagnostic::Diagnostic;
use super::sections::{
    AccessListConfig, AccessListSettings, LogLevel, PrivilegesConfig, PrivilegesSettings,
    SnapshotConfig, SnapshotSettings,
};

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
    /// Where metrics are served; `None` for nowhere.
    pub metrics_address: Option<SocketAddr>,
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
            metrics_address: self.metrics_address,
            snapshot: self
                .snapshot
                .settings(self.name, std::env::var_os("STATE_DIRECTORY").as_deref()),
            advice: Vec::new(),
        }
    }
}
