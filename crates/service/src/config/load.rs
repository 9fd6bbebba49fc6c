//! Reads a configuration from a file, and reports all errors in it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::Position;
use super::document::{self, Table};
use super::old_keys::{self, Change};
use super::{Config, Diagnostic, Diagnostics, render, schema_check, syntax};

/// Maximum length of a file in bytes. The default file has a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file contains errors; one line for each.
    #[error(transparent)]
    Faulty(#[from] Diagnostics),
}

/// A configuration, and its origin.
#[derive(Debug, Clone)]
pub struct Loaded<C> {
    /// The configuration as written, with defaults for missing keys.
    pub config: C,
    /// The file; `None` for the defaults.
    pub path: Option<PathBuf>,
    /// The changes of keys that have another name or meaning than in earlier releases.
    pub(super) changes: Vec<Change>,
    /// The text of the file.
    pub(super) text: String,
    /// The position of each key that the file sets.
    pub(super) origins: Origins,
}

/// Origins of values, by key.
pub(super) type Origins = BTreeMap<String, Origin>;

/// The origin of a value.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    position: Position,
    /// The key in the file, if it is a former name.
    old_key: Option<String>,
}

/// Reads the file at `path`; without one, returns the defaults.
///
/// # Errors
///
/// If the file cannot be read or contains errors; all of these are reported, with lines.
pub fn load<C: Config>(path: Option<&Path>) -> Result<Loaded<C>, Error> {
    let Some(path) = path else {
        return Ok(Loaded {
            config: C::default(),
            path: None,
            changes: Vec::new(),
            text: C::DEFAULT_TOML.to_owned(),
            origins: Origins::new(),
        });
    };
    let text = read(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    Ok(parse(&text, path)?)
}

/// Reads a configuration from `text`; `path` is for messages.
///
/// # Errors
///
/// All errors in the text.
pub fn parse<C: Config>(text: &str, path: &Path) -> Result<Loaded<C>, Diagnostics> {
    let faulty = |list| Diagnostics {
        path: Some(path.to_path_buf()),
        list,
    };

    let known = toml::Table::try_from(C::default())
        .map_err(|error| faulty(vec![Diagnostic::without_key(error)]))?;
    let (mut table, errors) = document::parse(text).map_err(|error| faulty(vec![error]))?;
    if !errors.is_empty() {
        return Err(faulty(syntax::faults(text, &table, &known, &errors)));
    }

    let translation = old_keys::translate(text, &mut table, &known, C::OLD_KEYS);
    let mut faults = translation.faults;
    faults.extend(schema_check::check::<C>(
        text,
        &table,
        &known,
        &translation.renamed,
    ));
    let rest = without_faults::<C>(text, path, table, &translation.renamed, &faults);
    if faults.is_empty() {
        let loaded = rest.map_err(|error| faulty(vec![error]))?;
        return Ok(Loaded {
            changes: translation.changes,
            ..loaded
        });
    }
    // Errors that involve several keys are reported as well, unless they involve a key with
    // an error, or one that may be present under a misspelled name.
    let keys = || faults.iter().filter_map(|fault| fault.key.as_deref());
    let is_misspelled = keys().any(|key| !is_known(&known, key));
    let others = rest.map(|rest| rest.located(rest.config.invalid()).list);
    let mut others = others.unwrap_or_default();
    others.retain(|other| {
        let is_certain = other.position.is_some() || !is_misspelled;
        is_certain && !faults.iter().any(|fault| other.speaks_of(fault))
    });
    faults.extend(others);
    faults.sort_by_key(|fault| fault.position);
    Err(faulty(faults))
}

/// Whether there is a key or section of this name.
fn is_known(known: &toml::Table, path: &str) -> bool {
    match path.split_once('.') {
        None => known.contains_key(path),
        Some((section, rest)) => {
            let section = known.get(section).and_then(toml::Value::as_table);
            section.is_some_and(|section| is_known(section, rest))
        }
    }
}

/// Converts a parsed file, with defaults for values that have errors.
///
/// # Errors
///
/// Any remaining error, which can only be an unknown key.
pub(super) fn without_faults<C: Config>(
    text: &str,
    path: &Path,
    mut table: Table<'_>,
    renamed: &BTreeMap<String, String>,
    faults: &[Diagnostic],
) -> Result<Loaded<C>, Diagnostic> {
    for key in faults.iter().filter_map(|fault| fault.key.as_deref()) {
        document::remove(&mut table, key);
    }
    let origins = origins(text, &table, renamed);
    let config = C::deserialize(toml::Deserializer::from(Spanned::new(0..0, table)))
        .map_err(|error| syntax::fault(text, &error))?;
    Ok(Loaded {
        config,
        path: Some(path.to_path_buf()),
        changes: Vec::new(),
        text: text.to_owned(),
        origins,
    })
}

impl<C: Config> Loaded<C> {
    /// Converts the configuration to settings; errors get the position of their key.
    ///
    /// # Errors
    ///
    /// Those of `settings`.
    pub fn settings<S>(
        &self,
        settings: impl FnOnce(&C) -> Result<S, Vec<Diagnostic>>,
    ) -> Result<S, Error> {
        settings(&self.config).map_err(|errors| self.located(errors).into())
    }

    /// A warning for each key that has another name or meaning than in earlier releases.
    pub fn warnings(&self) -> Diagnostics {
        Diagnostics {
            path: self.path.clone(),
            list: self.changes.iter().map(|one| one.told.clone()).collect(),
        }
    }

    /// Adds the positions of keys to diagnostics.
    pub fn located(&self, mut list: Vec<Diagnostic>) -> Diagnostics {
        for one in &mut list {
            self.locate(one);
        }
        list.sort_by_key(|one| one.position);
        Diagnostics {
            path: self.path.clone(),
            list,
        }
    }

    /// The effective configuration, with current keys and with comments.
    pub fn effective_toml(&self) -> String {
        render::with_comments(&self.config)
    }

    /// The file with current keys. It is unchanged if it has no former keys; otherwise it
    /// contains all current keys with their values, and comments about what has changed.
    pub fn migrated_toml(&self) -> String {
        if self.changes.is_empty() {
            return self.text.clone();
        }
        render::with_changes(&self.config, &self.changes)
    }

    fn locate(&self, one: &mut Diagnostic) {
        let origin = one.key.as_ref().and_then(|key| self.origins.get(key));
        one.position = origin.map(|origin| origin.position);
        match origin {
            Some(Origin {
                old_key: Some(old), ..
            }) => one.message.push_str(&format!(" (translated from {old})")),
            Some(_) => {}
            None => {
                if let (Some(key), Some(_)) = (&one.key, &self.path) {
                    one.message
                        .push_str(&format!(" (the file does not set {key})"));
                }
            }
        }
    }
}

/// Reads the file at `path`, and replaces invalid UTF-8 by a replacement character.
///
/// # Errors
///
/// If the file cannot be read.
pub(crate) fn read_leniently(path: &Path) -> Result<String, Error> {
    match read_bytes(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(source) => Err(Error::Read {
            path: path.to_path_buf(),
            source,
        }),
    }
}

/// Reads a file that must be small and UTF-8.
fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bytes(path)?).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line} has characters that are not UTF-8"),
        )
    })
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;

    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// The positions of all values and sections.
fn origins(text: &str, table: &Table<'_>, renamed: &BTreeMap<String, String>) -> Origins {
    let mut origins = Origins::new();
    note_origins(text, "", table, renamed, &mut origins);
    origins
}

fn note_origins(
    text: &str,
    path: &str,
    table: &Table<'_>,
    renamed: &BTreeMap<String, String>,
    origins: &mut Origins,
) {
    for (key, value) in table {
        let full = if path.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{path}.{}", key.get_ref())
        };
        if let DeValue::Table(inner) = value.get_ref() {
            note_origins(text, &full, inner, renamed, origins);
        }
        let origin = Origin {
            position: Position::of(text, value.span().start),
            old_key: renamed.get(&full).cloned(),
        };
        origins.insert(full, origin);
    }
}
