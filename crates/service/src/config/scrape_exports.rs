//! The section about the export of all torrents.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::checks::Checks;
use super::numbers::Minutes;

/// Whose export it is.
pub trait ExportOf: Default {
    /// The default path of the file.
    const PATH: &'static str;
}

/// Periodic export of all torrents with their counts to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ScrapeExportsConfig<E: ExportOf> {
    /// Whether to write the export file.
    pub enable_scrape_exports: bool,
    /// Interval between exports, in minutes.
    pub frequency: Minutes<1, { 7 * 24 * 60 }>,
    /// Path of the export file. It is replaced atomically, so readers never see
    /// a partial file.
    pub path: PathBuf,
    #[serde(skip)]
    of: PhantomData<E>,
}

/// A file with all torrents that is written at intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeExportSettings {
    /// The time between two exports.
    pub interval: Duration,
    /// The file.
    pub path: PathBuf,
}

impl<E: ExportOf> Default for ScrapeExportsConfig<E> {
    fn default() -> Self {
        Self {
            enable_scrape_exports: false,
            frequency: Minutes::of::<10>(),
            path: E::PATH.into(),
            of: PhantomData,
        }
    }
}

impl<E: ExportOf> ScrapeExportsConfig<E> {
    /// The export, if there is to be one.
    pub fn settings(&self) -> Option<ScrapeExportSettings> {
        self.enable_scrape_exports.then(|| ScrapeExportSettings {
            interval: self.frequency.duration(),
            path: self.path.clone(),
        })
    }

    /// The file that is written, under its key.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let path = self.enable_scrape_exports.then(|| self.path.clone());
        path.map(|path| ("scrape_exports.path", path))
            .into_iter()
            .collect()
    }

    /// Checks that the path is not empty if it is needed.
    pub fn check(&self, checks: &mut Checks) {
        if self.enable_scrape_exports && self.path.as_os_str().is_empty() {
            checks.fail(
                "scrape_exports.path",
                "a file name is required when enable_scrape_exports is true",
            );
        }
    }
}
