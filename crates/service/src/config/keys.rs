//! Sections about keys of clients, which all daemons have.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
