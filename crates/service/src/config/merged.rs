//! The layers of a configuration as one table.
//!
//! Each layer is translated and checked by itself, so that errors have the positions in its
//! text; its valid values are then merged over those of the layers before. What depends on
//! the absence of a key is decided at the end.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::{MAX_EXAMINED, Position, Source};
use super::document::{self, Table};
use super::old_keys::{self, Change, Found, OldKey};
use super::sources::Layer;
use super::{Config, Diagnostic, Loaded, schema_check, syntax};

/// Valid values of layers, in current keys.
#[derive(Debug, Default)]
pub(super) struct Merged<'i> {
    pub(super) table: Table<'i>,
    /// The origins of the values and sections of the table.
    pub(super) origins: Origins,
    /// The changes of former keys.
    pub(super) changes: Vec<Change>,
    /// All errors.
    pub(super) faults: Vec<Diagnostic>,
    /// Whether a layer has keys of a release before 1.0.
    is_of_earlier_release: bool,
}

/// Origins of values, by key.
pub(super) type Origins = BTreeMap<String, Origin>;

/// The origin of a value.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// What sets it; `None` for the configuration file.
    pub(super) source: Option<Source>,
    /// The position of the value.
    pub(super) position: Position,
    /// The position of its key.
    key_position: Position,
    /// The key there, if it is a former name.
    pub(super) old_key: Option<String>,
}

/// What is taken from a layer with syntax errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterSyntaxErrors {
    /// Nothing.
    Stop,
    /// Whatever the parser recovers.
    Continue,
}

impl<'i> Merged<'i> {
    /// Adds a layer; returns whether it has no syntax errors. `known` has the current keys
    /// with their defaults.
    pub(super) fn add<C: Config>(
        &mut self,
        layer: &'i Layer,
        known: &toml::Table,
        after: AfterSyntaxErrors,
    ) -> bool {
        let Layer { source, text } = layer;
        let (mut table, errors) = match document::parse(text) {
            Ok(parsed) => parsed,
            Err(fault) => {
                self.faults.push(fault.set_in(source.as_ref()));
                return false;
            }
        };
        let is_well_formed = errors.is_empty();
        let (mut faults, mut is_examined) = syntax::faults(text, &table, known, &errors);
        if is_examined && (is_well_formed || after == AfterSyntaxErrors::Continue) {
            let translation = old_keys::translate(text, &mut table, known, C::OLD_KEYS);
            faults.extend(translation.faults);
            let renamed = &translation.renamed;
            let mut others = schema_check::check::<C>(text, &table, known, renamed);
            // The parser recovers something from a value with a syntax error, which was not
            // meant.
            let is_explained = |other: &Diagnostic| {
                !is_well_formed && faults.iter().any(|fault| fault.key == other.key)
            };
            others.retain(|other| !is_explained(other));
            is_examined = others.len() <= MAX_EXAMINED;
            faults.extend(others);
            for key in faults.iter().filter_map(|fault| fault.key.as_deref()) {
                document::remove(&mut table, key);
            }
            self.is_of_earlier_release |= translation.is_of_earlier_release;
            self.changes
                .extend(translation.changes.into_iter().map(|change| Change {
                    told: change.told.set_in(source.as_ref()),
                    ..change
                }));
            // A value that was not examined may be wrong.
            if is_examined {
                self.merge(layer, table, renamed);
            }
        }
        if !is_examined {
            faults.truncate(MAX_EXAMINED);
            let message = "there are more errors than these; is this the right file?";
            faults.push(Diagnostic::without_key(message));
        }
        let placed = |fault: Diagnostic| fault.set_in(source.as_ref());
        self.faults.extend(faults.into_iter().map(placed));
        is_well_formed
    }

    /// Merges the values of a layer over the others. `renamed` maps current keys to those
    /// that the layer has instead.
    pub(super) fn merge(
        &mut self,
        layer: &Layer,
        table: Table<'i>,
        renamed: &BTreeMap<String, String>,
    ) {
        note_origins(layer, "", &table, renamed, &mut self.origins);
        document::merge(&mut self.table, table);
    }

    /// Applies what earlier releases did in the absence of a key.
    pub(super) fn complete(&mut self, known: &toml::Table, tables: &[&[OldKey]]) {
        for old in tables.iter().copied().flatten() {
            match *old {
                OldKey::Implied { key, imply } if document::find(&self.table, key).is_none() => {
                    if let Some((because, message)) = Found::in_valid(&self.table, imply) {
                        self.imply(key, because, message);
                    }
                }
                OldKey::Changed { key, tell } => {
                    let message = Found::in_valid(&self.table, tell);
                    if let (Some(origin), Some(message)) = (self.origins.get(key), message) {
                        let told = origin.warning(key, message);
                        self.changes.push(Change::of(key, told));
                    }
                }
                OldKey::Default { key, was } if self.is_of_earlier_release => {
                    self.tell_default(known, key, was);
                }
                _ => {}
            }
        }
        self.changes
            .sort_by(|one, other| one.told.compare_places(&other.told));
    }

    /// Sets a switch because of another key.
    fn imply(&mut self, key: &'static str, because: &str, message: &str) {
        let Some(origin) = self.origins.get(because).cloned() else {
            return;
        };
        self.changes
            .push(Change::of(key, origin.warning(key, message)));
        // Positions are taken from the origins by now.
        let nowhere = 0..0;
        let value = document::boolean(true, &nowhere);
        document::insert(&mut self.table, key, nowhere, value);
        self.origins.insert(key.to_owned(), origin);
    }

    /// Warns of a changed default.
    fn tell_default(&mut self, known: &toml::Table, key: &'static str, was: &str) {
        let is_told = |change: &Change| change.today.as_deref() == Some(key);
        if document::find(&self.table, key).is_some() || self.changes.iter().any(is_told) {
            return;
        }
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        let default = match (known.get(first), rest) {
            (Some(toml::Value::Table(section)), rest) => section.get(rest),
            (value, _) => value,
        };
        let default = default.map(toml::Value::to_string).unwrap_or_default();
        let message = format!("not set: the default was {was}, and is now {default}");
        self.changes
            .push(Change::of(key, Diagnostic::warning(key, message)));
    }

    /// Removes a value that has an error.
    pub(super) fn remove(&mut self, key: &str) {
        document::remove(&mut self.table, key);
        self.origins.remove(key);
    }

    /// Converts the values, with defaults for those that are missing. `path` is that of the
    /// configuration file.
    ///
    /// # Errors
    ///
    /// None is known: unknown keys and wrong types were removed.
    pub(super) fn loaded<C: Config>(&self, path: Option<&Path>) -> Result<Loaded<C>, Diagnostic> {
        let table = Spanned::new(0..0, self.table.clone());
        let config = C::deserialize(toml::Deserializer::from(table))
            .map_err(|error| Diagnostic::without_key(syntax::message(&error)))?;
        Ok(Loaded {
            config,
            path: path.map(Path::to_path_buf),
            changes: self.changes.clone(),
            text: String::new(),
            origins: self.origins.clone(),
        })
    }
}

impl Origin {
    /// The place in messages: `file:line:column`. `path` is that of the configuration file.
    pub(super) fn place(&self, path: &Path) -> String {
        let file = match &self.source {
            None => path.display().to_string(),
            Some(Source::DropIn(path)) => path.display().to_string(),
            Some(Source::Variable(name)) => return name.clone(),
        };
        format!("{file}:{}", self.position)
    }

    /// A warning about the key.
    fn warning(&self, key: &str, message: &str) -> Diagnostic {
        let mut warning = Diagnostic::warning(key, message);
        warning.position = Some(self.key_position);
        warning.set_in(self.source.as_ref())
    }
}

/// Adds the origins of all values and sections of a layer.
fn note_origins(
    layer: &Layer,
    path: &str,
    table: &Table<'_>,
    renamed: &BTreeMap<String, String>,
    origins: &mut Origins,
) {
    for (key, value) in table {
        let full = schema_check::join(path, key.get_ref());
        let origin = |at: usize, old_key: Option<&String>| Origin {
            source: layer.source.clone(),
            position: Position::of(&layer.text, at),
            key_position: Position::of(&layer.text, key.span().start),
            old_key: old_key.cloned(),
        };
        if let DeValue::Table(inner) = value.get_ref() {
            note_origins(layer, &full, inner, renamed, origins);
        }
        for (index, item) in document::tables(value.get_ref())
            .into_iter()
            .flatten()
            .enumerate()
        {
            if let DeValue::Table(inner) = item.get_ref() {
                let full = format!("{full}[{index}]");
                note_origins(layer, &full, inner, renamed, origins);
                origins.insert(full, origin(item.span().start, None));
            }
        }
        let origin = origin(value.span().start, renamed.get(&full));
        origins.insert(full, origin);
    }
}
