//! What another daemon's file claims for it alone.
//!
//! Its program may be another release, or not there at all, so this reads only the
//! keys that all daemons spell the same way, in today's form and in earlier ones.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::addresses::parse_address;
use super::diagnostic::Position;
use super::document::{self, Table};
use super::load::read_leniently;
use super::old_keys::{self, Found, Merged, OldKey};

/// The claims of a file.
#[derive(Debug, Default)]
pub(crate) struct NeighbourFile {
    /// Where it serves clients.
    pub(crate) addresses: Vec<Placed<SocketAddr>>,
    /// Where it serves metrics.
    pub(crate) metrics: Option<Placed<SocketAddr>>,
    /// The files that it writes.
    pub(crate) files: Vec<Placed<PathBuf>>,
}

/// A value and the place of it, as messages name it: `file:line:column`.
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
    /// Reads what is in order in the file at `path`; `None` when there is none. Its
    /// daemon serves `port` when the file does not say.
    pub(crate) fn read(path: &Path, port: u16) -> Option<Self> {
        let text = read_leniently(path).ok()?;
        Self::parse(&text, path, port)
    }

    fn parse(text: &str, path: &Path, port: u16) -> Option<Self> {
        let (mut table, _) = document::parse(text).ok()?;
        // Only its own daemon says what is wrong with it.
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

/// The text, or the texts, that a key has.
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
