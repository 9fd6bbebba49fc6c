//! Keys of earlier releases, and how they become current ones.
//!
//! A program lists tables of [`OldKey`] in [`Config::OLD_KEYS`](super::Config); the tables
//! here are those that several programs share. They are applied before the file is compared
//! with the current keys. Each key with another name or meaning causes one warning.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeValue;

use super::Diagnostic;
use super::document::{self, Table};

mod addresses;
mod shared;

pub use addresses::ADDRESSES;
pub use shared::{CONNECTION_CLEANING, CPU_PINNING, EVENT_LOOP, METRICS, TLS, WORKERS, endpoint};

/// How a key of earlier releases is handled. Keys are written with their section:
/// `network.use_ipv4`.
#[derive(Debug, Clone, Copy)]
pub enum OldKey {
    /// The key, or the whole section, no longer has a meaning.
    Dropped {
        /// The key or section.
        key: &'static str,
        /// The reason, as the end of the sentence "ignored: …".
        reason: &'static str,
    },
    /// The key has another name, or is in another section.
    Moved {
        /// The former key.
        key: &'static str,
        /// The current key.
        to: &'static str,
    },
    /// The key was renamed after release 1.0. Unlike the others, this does not show that a
    /// file was written for a release before 1.0.
    Renamed {
        /// The former key.
        key: &'static str,
        /// The current key.
        to: &'static str,
    },
    /// Several keys become one.
    Merged {
        /// The former keys.
        keys: &'static [&'static str],
        /// The current key.
        to: &'static str,
        /// Returns the value; called if at least one of the keys is present.
        merge: fn(&mut Found<'_, '_>) -> Merged,
    },
    /// A switch that is not in the file is on, because of other keys that are.
    Implied {
        /// The switch, a current key.
        key: &'static str,
        /// If the switch is on, returns the key that implies it and the sentence for the
        /// warning; called if the switch is not in the file.
        imply: fn(&Found<'_, '_>) -> Option<(&'static str, &'static str)>,
    },
    /// A key in the file has another meaning than before.
    Changed {
        /// The current key.
        key: &'static str,
        /// What has changed, if that affects this file.
        tell: fn(&Found<'_, '_>) -> Option<&'static str>,
    },
    /// A key that is not in the file had another default. The warning is only given for
    /// files that contain a key of earlier releases: others were written for this one.
    Default {
        /// The current key.
        key: &'static str,
        /// The former default, as the end of the sentence "not set: this was …".
        was: &'static str,
    },
}

/// The result of merging several keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Merged {
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// No value; the reason is the end of the sentence "ignored: …".
    Nothing(&'static str),
}

/// The values of a file, for [`OldKey::Merged`]. Values of the wrong type are reported as
/// errors and treated as absent.
#[derive(Debug)]
pub struct Found<'f, 'i> {
    text: &'f str,
    table: &'f Table<'i>,
    faults: &'f mut Vec<Diagnostic>,
}

impl<'i> Found<'_, 'i> {
    /// Looks at the values of a table that has no wrong types.
    pub(super) fn in_valid<T>(table: &Table<'i>, look: impl FnOnce(&Found<'_, 'i>) -> T) -> T {
        look(&Found {
            text: "",
            table,
            faults: &mut Vec::new(),
        })
    }

    /// Whether the key is in the file.
    pub fn has(&self, key: &str) -> bool {
        document::find(self.table, key).is_some()
    }

    /// The value of a boolean key.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        let (_, value) = document::find(self.table, key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.wrong_type(key, value.span(), "must be true or false");
        }
        boolean
    }

    /// Whether a key is in the file and true.
    pub fn is_true(&self, key: &str) -> bool {
        document::find(self.table, key)
            .is_some_and(|(_, value)| value.get_ref().as_bool() == Some(true))
    }

    /// The value of a key that is a text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let (_, value) = document::find(self.table, key)?;
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(key, value.span(), "must be a string in quotes");
        }
        text
    }

    /// The value of a key that is a text or a list of texts. Values of the wrong type are
    /// reported later, by the check of current keys.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        let (_, value) = document::find(self.table, key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(vec![text.to_string()]),
            DeValue::Array(items) => items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect(),
            _ => None,
        }
    }

    fn wrong_type(&mut self, key: &str, place: Range<usize>, message: &str) {
        let fault = Diagnostic::error(key, message).at(self.text, place.start);
        self.faults.push(fault);
    }
}

/// A key in a file that has another name or meaning than before.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The warning.
    pub(super) told: Diagnostic,
    /// The current key.
    pub(super) today: Option<String>,
}

impl Change {
    /// That of a current key.
    pub(super) fn of(key: &str, told: Diagnostic) -> Self {
        Self {
            told,
            today: Some(key.to_owned()),
        }
    }
}

/// The result of translating a file.
#[derive(Debug, Default)]
pub(super) struct Translation {
    /// The changes, in the order of lines.
    pub(super) changes: Vec<Change>,
    /// Whether it has a key of a release before 1.0.
    pub(super) is_of_earlier_release: bool,
    /// Errors of former keys with the wrong type.
    pub(super) faults: Vec<Diagnostic>,
    /// Maps current keys to those in the file.
    pub(super) renamed: BTreeMap<String, String>,
}

/// Translates the former keys of `table`, which was parsed from `text`. `known` has the
/// current sections.
pub(super) fn translate(
    text: &str,
    table: &mut Table<'_>,
    known: &toml::Table,
    tables: &[&[OldKey]],
) -> Translation {
    let mut translation = Translation::default();
    for old in tables.iter().copied().flatten() {
        match old {
            OldKey::Dropped { key, reason } => {
                if let Some((name, _)) = document::remove(table, key) {
                    let message = format!("ignored: {reason}");
                    translation.warn(text, name.span(), key, None, message);
                }
            }
            OldKey::Moved { key, to } => translation.move_key(text, table, key, to),
            OldKey::Merged { keys, to, merge } => {
                translation.merge_keys(text, table, keys, to, *merge);
            }
            OldKey::Renamed { .. }
            | OldKey::Implied { .. }
            | OldKey::Changed { .. }
            | OldKey::Default { .. } => {}
        }
    }
    translation.is_of_earlier_release = !translation.changes.is_empty();
    for old in tables.iter().copied().flatten() {
        if let OldKey::Renamed { key, to } = old {
            translation.move_key(text, table, key, to);
        }
    }
    let all = tables.iter().copied().flatten();
    for section in all.flat_map(OldKey::sections) {
        if !known.contains_key(section) {
            translation.remove_section(text, table, section);
        }
    }
    translation
}

impl OldKey {
    /// The sections of the keys.
    fn sections(&self) -> impl Iterator<Item = &'static str> {
        let (one, several): (_, &'static [&'static str]) = match *self {
            Self::Dropped { key, .. } | Self::Moved { key, .. } | Self::Renamed { key, .. } => {
                (Some(key), &[])
            }
            Self::Merged { keys, .. } => (None, keys),
            Self::Implied { .. } | Self::Changed { .. } | Self::Default { .. } => (None, &[]),
        };
        let keys = one.into_iter().chain(several.iter().copied());
        keys.filter_map(|key| key.split_once('.').map(|(section, _)| section))
    }
}

impl Translation {
    /// Adds the warning about `key`, and the current key that it is about.
    fn warn(
        &mut self,
        text: &str,
        place: Range<usize>,
        key: &str,
        today: Option<&str>,
        message: String,
    ) {
        self.changes.push(Change {
            told: Diagnostic::warning(key, message).at(text, place.start),
            today: today.map(str::to_owned),
        });
    }

    /// Removes the rest of a section that no longer exists.
    fn remove_section(&mut self, text: &str, table: &mut Table<'_>, section: &str) {
        let is_section = |(_, value): (_, &document::Value<'_>)| value.get_ref().is_table();
        if !document::find(table, section).is_some_and(is_section) {
            return;
        }
        let Some((_, value)) = document::remove(table, section) else {
            return;
        };
        let DeValue::Table(inner) = value.into_inner() else {
            return;
        };
        for name in inner.keys() {
            let key = format!("{section}.{}", name.get_ref());
            let message = "unknown key, in this release and in earlier ones";
            let fault = Diagnostic::error(key, message).at(text, name.span().start);
            self.faults.push(fault);
        }
    }

    fn move_key(&mut self, text: &str, table: &mut Table<'_>, key: &str, to: &str) {
        let Some((name, value)) = document::remove(table, key) else {
            return;
        };
        if document::find(table, to).is_some() {
            let message = format!("ignored: {to} is also set");
            self.warn(text, name.span(), key, None, message);
            return;
        }
        self.warn(text, name.span(), key, Some(to), format!("renamed to {to}"));
        self.renamed.insert(to.to_owned(), key.to_owned());
        document::insert(table, to, name.span(), value);
    }

    fn merge_keys(
        &mut self,
        text: &str,
        table: &mut Table<'_>,
        keys: &[&str],
        to: &str,
        merge: fn(&mut Found<'_, '_>) -> Merged,
    ) {
        if keys.iter().all(|key| document::find(table, key).is_none()) {
            return;
        }
        let merged = merge(&mut Found {
            text,
            table,
            faults: &mut self.faults,
        });
        let mut found = Vec::new();
        for key in keys {
            if let Some((name, _)) = document::remove(table, key) {
                found.push((*key, name.span()));
            }
        }
        // A merged value keeps the position of the current key if that is in the file.
        let current = document::find(table, to).map(|(_, value)| value.span());
        let Some(place) = current
            .clone()
            .or(found.first().map(|(_, place)| place.clone()))
        else {
            return;
        };
        let (message, value) = match merged {
            Merged::Text(text) => {
                let shown = toml::Value::from(text.as_str());
                let value = document::text(text, &place);
                (format!("merged into {to}: {shown}"), Some(value))
            }
            Merged::Texts(texts) => {
                let shown = toml::Value::from(texts.clone());
                let value = document::texts(texts, &place);
                (format!("merged into {to}: {shown}"), Some(value))
            }
            Merged::Nothing(reason) => (format!("ignored: {reason}"), None),
        };
        if let Some(value) = value {
            if current.is_none() {
                let names: Vec<&str> = found.iter().map(|(key, _)| *key).collect();
                self.renamed.insert(to.to_owned(), names.join(", "));
            }
            document::insert(table, to, place, value);
        }
        for (key, place) in found {
            self.warn(text, place, key, Some(to), message.clone());
        }
    }
}
