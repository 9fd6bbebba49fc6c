//! What of a configuration this crate itself acts on.

use std::net::SocketAddr;

use super::checks::Checks;
use super::diagnostic::Diagnostic;
use super::sections::{AccessListConfig, LogLevel, PrivilegesConfig, SnapshotSettings};

/// What every daemon needs of its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The least important records that are still logged.
    pub log_level: LogLevel,
    /// What to become once sockets are open.
    pub privileges: PrivilegesConfig,
    /// Which torrents are served.
    pub access_list: AccessListConfig,
    /// Where metrics are served over HTTP; `None` for nowhere.
    pub metrics_address: Option<SocketAddr>,
    /// Where the swarm is kept across restarts; `None` to start empty.
    pub snapshot: Option<SnapshotSettings>,
    /// Values that work but are probably not meant, to be logged.
    pub advice: Vec<Diagnostic>,
}

impl ProcessSettings {
    /// Checks these, the last of all settings, and keeps all advice that there is.
    pub fn check(&mut self, checks: &mut Checks) {
        self.privileges.check(checks);
        self.access_list.check(checks);
        self.advice.extend(checks.take_advice());
    }
}
