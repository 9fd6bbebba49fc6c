//! The settings for this crate itself.

use std::net::SocketAddr;

use super::checks::Checks;
use super::diagnostic::Diagnostic;
use super::sections::{LogLevel, PrivilegesConfig, SnapshotSettings};
use crate::lists::ListsConfig;

/// Settings that every daemon has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The lowest severity of messages that are logged.
    pub log_level: LogLevel,
    /// User and group to switch to once the sockets are open.
    pub privileges: PrivilegesConfig,
    /// The lists of whom and what is served.
    pub lists: ListsConfig,
    /// The address for metrics over HTTP, if they are enabled.
    pub metrics_address: Option<SocketAddr>,
    /// The snapshot, if there is one.
    pub snapshot: Option<SnapshotSettings>,
    /// Advice to be logged: values that can be used, but are probably a mistake.
    pub advice: Vec<Diagnostic>,
}

impl ProcessSettings {
    /// Validates these settings, after all others, and keeps all advice.
    pub fn check(&mut self, checks: &mut Checks) {
        self.privileges.check(checks);
        self.lists.check(checks);
        self.advice.extend(checks.take_advice());
    }
}
