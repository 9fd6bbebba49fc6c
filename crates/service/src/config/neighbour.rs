//! The addresses and files that another daemon's configuration claims.
//!
//! That daemon may be another release, or not be installed, so this only reads the keys
//! that all daemons share, with their current and earlier names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::addresses::parse_address;
use super::diagnostic::Position;
use super::document::{self, Table};
use super::load::read_leniently;
use super::old_keys::{self, Found, Merged, OldKey};

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
            merge: |found: &mut Found<'_, '_>| -> Merged {
                old_keys::endpoint(found, "statistics")
            },
        },
        OldKey::Merged {
            keys: &[
                "metrics.run_prometheus_endpoint",
                "metrics.prometheus_endpoint_address",
            ],
            to: "metrics.address",
            merge: |found: &mut Found<'_, '_>| -> Merged { old_keys::endpoint(found, "metrics") },
        },
    ],
];

impl NeighbourFile {
    /// Reads the valid parts of the file at `path`; `None` if it does not exist. If it has
    /// no addresses, its daemon listens on `port`.
    pub(crate) fn read(path: &Path, port: u16) -> Option<Self> {
        let text = read_leniently(path).ok()?;
        Self::parse(&text, path, port)
    }

    fn parse(text: &str, path: &Path, port: u16) -> Option<Self> {
        let (mut table, _) = document::parse(text).ok()?;
        // Errors in this file are only reported by its own daemon.
        let known = ["network", "metrics"]
            .map(|section| (section.to_owned(), toml::Table::new().into()))
            .into_iter()
            .collect();
        let _ = old_keys::translate(text, &mut table, &known, OLD_KEYS);
        let place = |key: &str| match document::find(&table, key) {
            Some((_, value)) => {
                let position = Position::of(text, value.span().start);
                format!("{}:{position}", path.display())
            }
            None => format!("the defaults of {}", path.display()),
        };

        let served = match document::find(&table, "network.address") {
            Some(_) => texts(&table, "network.address"),
            None => vec![format!("0.0.0.0:{port}"), format!("[::]:{port}")],
        };
        let parse = |text: &String| parse_address(text, "", "").ok();
        let addresses = served.iter().filter_map(parse).map(|value| Placed {
            value,
            place: place("network.address"),
        });
        let metrics = texts(&table, "metrics.address");
        let metrics = metrics.first().and_then(parse).map(|value| Placed {
            value,
            place: place("metrics.address"),
        });
        let is_exporting = document::find(&table, "scrape_exports.enable_scrape_exports")
            .is_some_and(|(_, value)| value.get_ref().as_bool() == Some(true));
        let files = ["snapshot.path", "scrape_exports.path"]
            .into_iter()
            .filter(|key| is_exporting || *key == "snapshot.path")
            .flat_map(|key| texts(&table, key).into_iter().map(move |text| (key, text)))
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
