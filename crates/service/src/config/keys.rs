//! Sections about keys of clients, which all daemons have.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checks::Checks;
use super::numbers::{Bytes, Count};

/// What needs a restart of accounting: a thread is started.
pub const NEED_RESTART: &[&str] = &["accounting.path"];

/// Length of a file of accounting: from 64 KiB to a tebibyte.
pub type AccountingBytes = Bytes<0x1_0000, 0x100_0000_0000>;
/// Number of rotated files of accounting.
pub type AccountingFiles = Count<1, 10_000>;

/// Keys of clients, for private trackers: only who has a key is served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// File with one key per line, as written by aquatic-keys(1): the key, and
    /// optionally the date on which it expires and a label. Others than its owner
    /// and group must not be able to read it. A reload reads it again. Empty: no
    /// keys, everybody is served.
    pub path: PathBuf,
}

impl KeysConfig {
    /// The file, if there are keys.
    pub fn file(&self) -> Option<&Path> {
        (!self.path.as_os_str().is_empty()).then_some(&self.path)
    }
}

/// Announces of clients with keys, for the ratios of a private tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AccountingConfig {
    /// File to which each announce of a client with a key is appended as a line
    /// of JSON, with the key's label and what the client claims to have
    /// transferred. aquatic-accounting(7) describes it. Requires keys.path.
    /// Empty: none.
    pub path: PathBuf,
    /// Length in bytes that the file may reach. It is then renamed to its name
    /// with the time, and a new one is begun.
    pub max_file_bytes: AccountingBytes,
    /// Number of renamed files that are kept. Older ones are removed.
    pub max_files: AccountingFiles,
}

impl Default for AccountingConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            max_file_bytes: Bytes::of::<0x1000_0000>(),
            max_files: Count::of::<20>(),
        }
    }
}

impl AccountingConfig {
    /// The file, if accounts are kept.
    pub fn file(&self) -> Option<&Path> {
        (!self.path.as_os_str().is_empty()).then_some(&self.path)
    }

    /// Checks that there are keys if accounts are kept.
    pub fn check(&self, keys: &KeysConfig, checks: &mut Checks) {
        if self.file().is_some() && keys.file().is_none() {
            checks.fail(
                "accounting.path",
                "announces are accounted by the keys of clients, so it requires keys.path",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_need_keys() {
        let faults = |accounting: &str, keys: &str| {
            let mut checks = Checks::new();
            let accounting = AccountingConfig {
                path: accounting.into(),
                ..AccountingConfig::default()
            };
            let keys = KeysConfig { path: keys.into() };
            accounting.check(&keys, &mut checks);
            checks.finish(()).err().map_or(0, |faults| faults.len())
        };
        assert_eq!(faults("", ""), 0);
        assert_eq!(faults("", "keys"), 0);
        assert_eq!(faults("accounts", "keys"), 0);
        assert_eq!(faults("accounts", ""), 1);
    }
}
