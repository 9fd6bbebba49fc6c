//! The addresses and files that another daemon's configuration claims.
//!
//! That daemon may be another release, or not be installed, so this only reads the keys
//! that all daemons share, with their current and earlier names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::addresses::parse_address;
use super::document::{self, Table};
use super::merged::Merged;
use super::old_keys::{self, Found, OldKey};
use super::sources::{Layer, Sources};

/// The claims of a configuration file.
#[derive(Debug, Default)]
pub(crate) struct NeighbourFile {
    /// Addresses for clients.
    pub(crate) addresses: Vec<Placed<SocketAddr>>,
    /// Address for metrics.
    pub(crate) metrics: Option<Placed<SocketAddr>>,
    /// Files that the daemon writes.
    pub(crate) files: Vec<Placed<PathBuf>>,
}

/// A value with its position as in messages: `file:line:column`.
#[derive(Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: String,
}

const OLD_KEYS: &[&[OldKey]] = &[
    old_keys::ADDRESSES,
    &[
        OldKey::Merged {
            keys: &[
                "statistics.run_prometheus_endpoint",
                "statistics.prometheus_endpoint_address",
            ],
            to: "metrics.address",
            merge: |found: &mut Found<'_, '_>| -> old_keys::Merged {
                old_keys::endpoint(found, "statistics")
            },
        },
        OldKey::Merged {
            keys: &[
                "metrics.run_prometheus_endpoint",
                "metrics.prometheus_endpoint_address",
            ],
            to: "metrics.address",
            merge: |found: &mut Found<'_, '_>| -> old_keys::Merged {
                old_keys::endpoint(found, "metrics")
            },
        },
    ],
];

impl NeighbourFile {
    /// Reads the valid parts of the file at `path` and its drop-ins; `None` if one cannot be
    /// read. If they have no addresses, their daemon listens on `port`.
    pub(crate) fn read(path: &Path, port: u16) -> Option<Self> {
        let layers = Sources::files(path).read_leniently().ok()?;
        Self::parse(&layers, path, port)
    }

    fn parse(layers: &[Layer], path: &Path, port: u16) -> Option<Self> {
        let known = ["network", "metrics"]
            .map(|section| (section.to_owned(), toml::Table::new().into()))
            .into_iter()
            .collect();
        let mut merged = Merged::default();
        for layer in layers {
            // Errors in these files are only reported by their own daemon.
            let (mut table, _) = document::parse(&layer.text).ok()?;
            let translation = old_keys::translate(&layer.text, &mut table, &known, OLD_KEYS);
            merged.merge(layer, table, &translation.renamed);
        }
        let place = |key: &str| match merged.origins.get(key) {
            Some(origin) => origin.place(path),
            None => format!("the defaults of {}", path.display()),
        };
        let table = &merged.table;

        let served = match document::find(table, "network.address") {
            Some(_) => texts(table, "network.address"),
            None => vec![format!("0.0.0.0:{port}"), format!("[::]:{port}")],
        };
        let parse = |text: &String| parse_address(text, "", "").ok();
        let addresses = served.iter().filter_map(parse).map(|value| Placed {
            value,
            place: place("network.address"),
        });
        let metrics = texts(table, "metrics.address");
        let metrics = metrics.first().and_then(parse).map(|value| Placed {
            value,
            place: place("metrics.address"),
        });
        let is_exporting = document::find(table, "scrape_exports.enable_scrape_exports")
            .is_some_and(|(_, value)| value.get_ref().as_bool() == Some(true));
        let files = ["snapshot.path", "scrape_exports.path"]
            .into_iter()
            .filter(|key| is_exporting || *key == "snapshot.path")
            .flat_map(|key| texts(table, key).into_iter().map(move |text| (key, text)))
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| Placed {
                value: PathBuf::from(text),
                place: place(key),
            });
        Some(Self {
            addresses: addresses.collect(),
            metrics,
            files: files.collect(),
        })
    }
}

/// The text, or list of texts, of a key.
fn texts(table: &Table<'_>, key: &str) -> Vec<String> {
    use toml::de::DeValue;

    match document::find(table, key).map(|(_, value)| value.get_ref()) {
        Some(DeValue::String(text)) => vec![text.to_string()],
        Some(DeValue::Array(items)) => items
            .iter()
            .filter_map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}
