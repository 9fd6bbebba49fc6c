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

use aquatic_policy::bans::Bans;
use aquatic_policy::clients::Clients;

use crate::access_list::AccessList;
use crate::config::{AccessListConfig, BansConfig, Checks, ClientsConfig};

mod bans;
mod clients;
mod handle;
mod paths;
mod reader;
#[cfg(test)]
mod tests;

pub use bans::BanCollector;
pub use clients::ClientCollector;
pub use handle::{Handle, List, ListFacts, Loaded};
pub(crate) use paths::files;
pub use reader::{Collector, LoadError, MAX_LINE_BYTES, ParseError, Reader, parse};

/// The sections of the configuration that name lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListsConfig {
    /// Torrents that are served.
    pub access_list: AccessListConfig,
    /// Addresses that are banned.
    pub bans: BansConfig,
    /// Client software that is served.
    pub clients: ClientsConfig,
}

impl ListsConfig {
    /// The files and directories that are read, each with its key.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let clients = self.clients.paths();
        self.access_list
            .paths()
            .chain(self.bans.paths())
            .chain(clients)
    }

    /// Checks what does not depend on files.
    pub fn check(&self, checks: &mut Checks) {
        self.access_list.check(checks);
        self.bans.check(checks);
        self.clients.check(checks);
    }

    /// Maps all paths.
    pub(crate) fn resolve(&mut self, path_now: &impl Fn(&Path) -> PathBuf) {
        let Self {
            access_list,
            bans,
            clients,
        } = self;
        let paths = access_list.paths_mut().chain(bans.paths_mut());
        for path in paths.chain(clients.paths_mut()) {
            *path = path_now(path);
        }
    }
}

/// What was read from all files.
#[derive(Debug, Default)]
pub struct Contents {
    /// Torrents that are served.
    pub access_list: Loaded<AccessList>,
    /// Addresses that are banned.
    pub bans: Loaded<Bans>,
    /// Client software that is served.
    pub clients: Loaded<Clients>,
}

impl Contents {
    /// Names in messages about reloads, and in metrics.
    pub(crate) const WHAT: &[&str] = &[AccessList::WHAT, Bans::WHAT, Clients::WHAT];

    /// Reads everything. This may take long if the disk is slow.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or has an invalid line; or if `deadline` has passed before
    /// the end is reached.
    pub fn load(config: &ListsConfig, deadline: Option<Instant>) -> Result<Self, LoadError> {
        Ok(Self {
            access_list: AccessList::load(&config.access_list, deadline)?,
            bans: bans::load(&config.bans, deadline)?,
            clients: clients::load(&config.clients, deadline)?,
        })
    }

    /// What is valid, but probably a mistake.
    pub(crate) fn warnings(&self) -> Vec<&'static str> {
        let Self {
            access_list,
            bans,
            clients,
        } = self;
        let are_empty = [
            (
                !access_list.list.is_off() && access_list.list.is_empty(),
                "the access list is empty",
            ),
            (
                bans.files > 0 && bans.list.is_empty(),
                "the ban list is empty",
            ),
            (
                clients.files > 0 && clients.list.is_empty(),
                "the client list is empty",
            ),
        ];
        let warnings = are_empty.into_iter().filter(|(is_empty, _)| *is_empty);
        warnings.map(|(_, warning)| warning).collect()
    }
}

/// The lists that workers use, and that the main thread replaces.
#[derive(Clone, Default)]
pub struct Lists {
    /// Torrents that are served.
    pub access_list: Arc<Handle<AccessList>>,
    /// Addresses that are banned.
    pub bans: Arc<Handle<Bans>>,
    /// Client software that is served.
    pub clients: Arc<Handle<Clients>>,
}

impl Lists {
    /// Starts with these.
    pub fn new(contents: Contents) -> Self {
        Self {
            access_list: Arc::new(Handle::new(contents.access_list)),
            bans: Arc::new(Handle::new(contents.bans)),
            clients: Arc::new(Handle::new(contents.clients)),
        }
    }

    /// Only an access list.
    pub fn of_torrents(list: impl Into<Loaded<AccessList>>) -> Self {
        Self {
            access_list: Arc::new(Handle::new(list)),
            ..Self::default()
        }
    }

    /// Says what each has after the start.
    pub(crate) fn log(&self) {
        self.access_list.log_start();
        self.bans.log_start();
        self.clients.log_start();
    }

    /// Puts what a reload has read into effect, and says so. Returns whether the torrents
    /// that are served may have changed.
    pub(crate) fn replace(&self, contents: Contents) -> bool {
        self.bans.replace_and_log(contents.bans);
        self.clients.replace_and_log(contents.clients);
        self.access_list.replace_and_log(contents.access_list)
    }

    /// What is known of those that are configured.
    pub(crate) fn facts(&self) -> Vec<ListFacts> {
        let Self {
            access_list,
            bans,
            clients,
        } = self;
        let facts = [access_list.facts(), bans.facts(), clients.facts()];
        facts.into_iter().flatten().collect()
    }
}
