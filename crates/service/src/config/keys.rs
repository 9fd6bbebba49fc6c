//! Sections about keys of clients, which all daemons have.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checks::Checks;
use super::numbers::{Bytes, Count};
use super::swarm_sections::EngineConfig;

/// The configuration key of the stream.
const STREAM: &str = "accounting.stream";

/// What needs a restart of accounting: a thread is started.
pub const NEED_RESTART: &[&str] = &["accounting.path", "accounting.stream"];

/// Length of a file of accounting: from 64 KiB to a tebibyte.
pub type AccountingBytes = Bytes<0x1_0000, 0x100_0000_0000>;
/// Number of rotated files of accounting.
pub type AccountingFiles = Count<1, 10_000>;
/// Number of records in the stream of accounting.
pub type AccountingRecords = Count<1_000, 1_000_000_000>;

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
    /// Whether each of these announces is added to a stream of the server of
    /// cluster.url instead, for programs that read it there. All daemons with the
    /// same cluster.namespace add to the same stream. Requires cluster.url and
    /// keys.path; path has to be empty.
    pub stream: bool,
    /// Number of announces that the stream keeps, each of which takes about 400
    /// bytes of the server's memory. Older ones are removed, read or not.
    pub max_stream_records: AccountingRecords,
}

impl Default for AccountingConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            max_file_bytes: Bytes::of::<0x1000_0000>(),
            max_files: Count::of::<20>(),
            stream: false,
            max_stream_records: Count::of::<1_000_000>(),
        }
    }
}

impl AccountingConfig {
    /// The file, if accounts are kept in one.
    pub fn file(&self) -> Option<&Path> {
        (!self.path.as_os_str().is_empty()).then_some(&self.path)
    }

    /// Checks that there are keys if accounts are kept, and a server for the stream.
    pub fn check(&self, keys: &KeysConfig, engine: &EngineConfig, checks: &mut Checks) {
        let kept = [
            ("accounting.path", self.file().is_some()),
            (STREAM, self.stream),
        ];
        for (key, _) in kept.iter().filter(|(_, is_kept)| *is_kept) {
            if keys.file().is_none() {
                checks.fail(
                    *key,
                    "announces are accounted by the keys of clients, so it requires keys.path",
                );
            }
        }
        if self.stream && self.file().is_some() {
            checks.fail(
                STREAM,
                "announces are written either to the file accounting.path or to a stream, not \
                 to both: remove one of them",
            );
        }
        if self.stream && !engine.is_enabled() {
            checks.fail(
                STREAM,
                "the stream is in the server of a cluster, so it requires cluster.url",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_need_keys_and_one_place() {
        let faults = |path: &str, stream: bool, keys: &str, url: &str| {
            let mut checks = Checks::new();
            let accounting = AccountingConfig {
                path: path.into(),
                stream,
                ..AccountingConfig::default()
            };
            let keys = KeysConfig { path: keys.into() };
            let engine = EngineConfig {
                url: url.to_owned(),
                ..EngineConfig::default()
            };
            accounting.check(&keys, &engine, &mut checks);
            let faults = checks.finish(()).err().unwrap_or_default();
            let texts = faults.iter().map(ToString::to_string);
            texts.collect::<Vec<_>>().join("\n")
        };
        const URL: &str = "redis://engine";
        assert_eq!(faults("", false, "", ""), "");
        assert_eq!(faults("", false, "keys", ""), "");
        assert_eq!(faults("accounts", false, "keys", ""), "");
        assert_eq!(faults("", true, "keys", URL), "");
        for (path, stream, keys, url, expected) in [
            ("accounts", false, "", "", "accounting.path: announces are"),
            ("", true, "", URL, "accounting.stream: announces are"),
            ("", true, "keys", "", "it requires cluster.url"),
            ("accounts", true, "keys", URL, "remove one of them"),
        ] {
            let found = faults(path, stream, keys, url);
            assert!(found.contains(expected), "{found}");
            assert_eq!(found.lines().count(), 1, "{found}");
        }
    }
}
