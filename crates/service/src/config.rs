//! Configuration files: one struct a program, read from TOML.
//!
//! A program describes its configuration as a serde struct that implements
//! [`Config`]; its doc comments are the documentation. [`load()`] reads a file,
//! translates keys of earlier releases, and reports everything that is wrong
//! with it at once, each with its line. What the user wrote (`…Config`) then
//! becomes what the program works with (`…Settings`), which is valid by type.
//!
//! * [`load`](mod@load): from a file to a [`Config`].
//! * [`old_keys`]: keys of earlier releases, as tables.
//! * [`sections`], [`addresses`]: what all programs spell the same way.
//! * [`process_settings`]: the settings that this crate itself acts on.
//! * [`Texts`]: lists of texts that mean something.
//! * [`numbers`]: numbers with their range and unit in their type.
//! * [`checks`]: collects what is wrong with values together.
//! * [`Diagnostic`]: what there is to say, with its place.

pub mod addresses;
pub mod checks;
pub mod load;
pub mod numbers;
pub mod old_keys;
pub mod process_settings;
pub mod sections;
mod swarm_sections;

mod diagnostic;
mod document;
mod neighbour;
mod recover;
mod render;
mod schema_check;
mod syntax;
#[cfg(test)]
mod tests;
mod texts;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use addresses::{Addresses, MetricsAddress};
pub use checks::Checks;
pub use diagnostic::{Diagnostic, Diagnostics, Position, Severity};
pub(crate) use load::read_leniently;
pub use load::{Error, Loaded, load, parse};
pub(crate) use neighbour::NeighbourFile;
pub use old_keys::OldKey;
pub use process_settings::ProcessSettings;
pub(crate) use recover::{Recovered, recover};
pub use sections::{
    AccessListConfig, AccessListMode, LogLevel, MetricsConfig, PrivilegesConfig, SnapshotConfig,
    SnapshotInterval, SnapshotSettings, Workers,
};
pub use swarm_sections::{
    AnnounceInterval, CleaningInterval, ClusterConfig, LimitsConfig, MaxPeersPerIp,
    MaxPeersPerTorrent, MaxTorrents, PeerAge, check_announce_times, check_unlisted_times,
};
pub use texts::Texts;

/// The configuration of a program, as its user writes it.
///
/// Implementors carry `#[serde(default, deny_unknown_fields)]` on the struct
/// and on the struct of every section, and have no optional keys: what is off
/// is an empty string or a zero, so that the default file shows every key.
pub trait Config: Serialize + DeserializeOwned + Default + 'static {
    /// The default configuration with comments, generated from this struct by
    /// `cargo xtask generate`.
    const DEFAULT_TOML: &'static str;

    /// How the keys of earlier releases become today's. Tables are applied in
    /// this order; [`old_keys`] has those that programs share.
    const OLD_KEYS: &'static [&'static [OldKey]];

    /// Everything that is wrong with values that have the right type, as
    /// [`Loaded::settings`] will say it.
    fn invalid(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}
