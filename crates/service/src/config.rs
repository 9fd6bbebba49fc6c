//! Configuration files: TOML, with one struct per program.
//!
//! A program describes its configuration as a serde struct that implements [`Config`]; its
//! doc comments are the documentation. [`load()`] reads a file, the drop-ins beside it and
//! environment variables, translates keys of earlier releases, and reports all errors at
//! once, each with its line. The configuration as written (`…Config`) is then validated and
//! becomes what the program uses (`…Settings`).
//!
//! * [`load`](mod@load): reads a [`Config`] from its [`Sources`].
//! * [`Layer`], [`Environment`]: the texts and variables that are merged.
//! * [`old_keys`]: keys of earlier releases, as tables.
//! * [`sections`], [`list_sections`], [`addresses`]: sections and types that all programs share.
//! * [`keys`]: sections about keys of clients.
//! * [`rate_sections`]: sections about how many requests a source may make.
//! * [`process_settings`]: the settings for this crate itself.
//! * [`Texts`]: lists of texts that are parsed.
//! * [`numbers`]: numbers with their range and unit in their type.
//! * [`checks`]: collects errors that involve several keys.
//! * [`needs_restart`]: which keys a reload does not take over.
//! * [`Diagnostic`]: an error, warning or advice, with its position.

pub mod addresses;
pub mod checks;
pub mod keys;
pub mod list_sections;
pub mod load;
pub mod numbers;
pub mod old_keys;
pub mod process_settings;
pub mod rate_sections;
pub mod sections;
pub mod swarm_sections;

mod changes;
mod diagnostic;
mod document;
mod environment;
mod merged;
mod neighbour;
mod peer_addresses;
mod people;
mod recover;
mod render;
mod schema_check;
mod scrape_exports;
mod sources;
mod syntax;
#[cfg(test)]
mod tests;
mod texts;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use addresses::{Addresses, MetricsAddress};
pub use changes::needs_restart;
pub(crate) use changes::{Changes, take_over};
pub use checks::Checks;
pub use diagnostic::{Diagnostic, Diagnostics, Faults, Position, Severity, Source};
pub use environment::Environment;
pub use keys::{AccountingConfig, KeysConfig};
pub use list_sections::{AccessListConfig, AccessListMode, BansConfig, ClientsConfig};
pub use load::{Error, Loaded, combine, load, parse};
pub(crate) use neighbour::NeighbourFile;
pub use old_keys::OldKey;
pub use peer_addresses::{
    AddressMapConfig, AddressMapEntry, BelievedClients, Network, address_rules,
    check_peer_addresses,
};
pub use people::{Line, PublicUrl};
pub use process_settings::ProcessSettings;
pub use rate_sections::{RatesConfig, TcpRatesConfig};
pub(crate) use recover::{Recovered, recover};
pub use scrape_exports::{ExportOf, ScrapeExportSettings, ScrapeExportsConfig};
pub use sections::{
    LogLevel, MetricsConfig, PageConfig, PrivilegesConfig, SnapshotConfig, SnapshotInterval,
    SnapshotSettings, Workers,
};
pub use sources::{Layer, Sources};
pub use swarm_sections::{
    AnnounceInterval, CleaningInterval, ClusterConfig, EngineConfig, LimitsConfig, MaxPeersPerIp,
    MaxPeersPerTorrent, MaxTorrents, PeerAge, check_announce_times, check_unlisted_times,
};
pub use texts::Texts;

/// The configuration of a program, as written by its users.
///
/// Implementors have `#[serde(default, deny_unknown_fields)]` on the struct and on the
/// struct of every section; only `default` on those with a flattened field, which serde
/// does not support otherwise, as unknown keys were found before. There are no optional
/// keys: an empty string or a zero disables something, so that the default file shows
/// every key.
pub trait Config: Serialize + DeserializeOwned + Default + 'static {
    /// The default configuration with comments, generated from this struct by
    /// `cargo xtask generate`.
    const DEFAULT_TOML: &'static str;

    /// How keys of earlier releases become current ones. Tables are applied in this order;
    /// [`old_keys`] has those that programs share.
    const OLD_KEYS: &'static [&'static [OldKey]];

    /// Keys and sections, such as `network.address`, whose values take effect at a restart
    /// only. A reload takes all others over, so a daemon has to look at them in the settings
    /// of its last reload. [`NEED_RESTART`](sections::NEED_RESTART) has those that daemons
    /// share.
    const NEED_RESTART: &'static [&'static [&'static str]];

    /// All errors that involve several keys, as reported by [`Loaded::settings`].
    fn invalid(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}
