//! Lists of an operator: files that the start reads, and that each reload reads again.
//!
//! They are read on a thread of their own, and within a time limit. All of them take effect
//! together, or none: until the last line of the last file was read, and if any is wrong, the
//! lists before stay in effect. So both are in memory for a moment.
//!
//! * [`ListsConfig`]: what is configured. [`Contents`]: what was read. [`Lists`]: what
//!   workers use.
//! * [`List`], [`Handle`]: one list, of any kind. To add one: a section in
//!   [`config`](crate::config), and a field of each of these three structs.
//! * [`Reader`]: reads files and directories, line by line.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::access_list::AccessList;
use crate::config::{AccessListConfig, Checks};

mod handle;
mod paths;
mod reader;

pub use handle::{Handle, List, ListFacts, Loaded};
pub(crate) use paths::files;
pub use reader::{Collector, LoadError, MAX_LINE_BYTES, ParseError, Reader, parse};

/// The sections of the configuration that name lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListsConfig {
    /// Torrents that are served.
    pub access_list: AccessListConfig,
}

impl ListsConfig {
    /// The files and directories that are read, each with its key.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.access_list.paths()
    }

    /// Checks what does not depend on files.
    pub fn check(&self, checks: &mut Checks) {
        self.access_list.check(checks);
    }

    /// Maps all paths.
    pub(crate) fn resolve(&mut self, path_now: &impl Fn(&Path) -> PathBuf) {
        for path in self.access_list.paths_mut() {
            *path = path_now(path);
        }
    }
}

/// What was read from all files.
#[derive(Debug, Default)]
pub struct Contents {
    /// Torrents that are served.
    pub access_list: Loaded<AccessList>,
}

impl Contents {
    /// Names in messages about reloads, and in metrics.
    pub(crate) const WHAT: &[&str] = &[AccessList::WHAT];

    /// Reads everything. This may take long if the disk is slow.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or has an invalid line; or if `deadline` has passed before
    /// the end is reached.
    pub fn load(config: &ListsConfig, deadline: Option<Instant>) -> Result<Self, LoadError> {
        Ok(Self {
            access_list: AccessList::load(&config.access_list, deadline)?,
        })
    }

    /// What is valid, but probably a mistake.
    pub(crate) fn warnings(&self) -> Vec<&'static str> {
        let list = &self.access_list.list;
        let is_empty = !list.is_off() && list.is_empty();
        is_empty
            .then_some("the access list is empty")
            .into_iter()
            .collect()
    }
}

/// The lists that workers use, and that the main thread replaces.
#[derive(Clone, Default)]
pub struct Lists {
    /// Torrents that are served.
    pub access_list: Arc<Handle<AccessList>>,
}

impl Lists {
    /// Starts with these.
    pub fn new(contents: Contents) -> Self {
        Self {
            access_list: Arc::new(Handle::new(contents.access_list)),
        }
    }

    /// Only an access list.
    pub fn of_torrents(list: impl Into<Loaded<AccessList>>) -> Self {
        Self {
            access_list: Arc::new(Handle::new(list)),
        }
    }

    /// Says what each has after the start.
    pub(crate) fn log(&self) {
        self.access_list.log_start();
    }

    /// Puts what a reload has read into effect, and says so. Returns whether the torrents
    /// that are served may have changed.
    pub(crate) fn replace(&self, contents: Contents) -> bool {
        self.access_list.replace_and_log(contents.access_list)
    }

    /// What is known of those that are configured.
    pub(crate) fn facts(&self) -> Vec<ListFacts> {
        [self.access_list.facts()].into_iter().flatten().collect()
    }
}
