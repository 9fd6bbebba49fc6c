//! From a file to a configuration, with everything that is wrong with it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Table;
use super::faults::{Fault, Faults, Position, located};
use super::{Config, Invalid, old_keys, render, schema_check};

/// The largest file that is read. The default file has a few kilobytes.
const MOST_BYTES: u64 = 1 << 20;

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file can be read, but not used. A line for each fault.
    #[error(transparent)]
    Faulty(#[from] Faults),
}

/// A configuration, and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded<C> {
    /// What the user wrote, defaults filled in.
    pub config: C,
    /// The file; `None` when the defaults are in effect.
    pub path: Option<PathBuf>,
    /// A line for each key of an earlier release: what became of it.
    pub warnings: Vec<String>,
    /// Where the file sets each key.
    origins: BTreeMap<String, Origin>,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
struct Origin {
    position: Position,
    /// The key in the file, when it is one of an earlier release.
    old_key: Option<String>,
}

/// Reads the file at `path`; without one, the defaults.
///
/// # Errors
///
/// The file cannot be read, or something in it is wrong: then all of it is
/// reported, with lines.
pub fn load<C: Config>(path: Option<&Path>) -> Result<Loaded<C>, Error> {
    let Some(path) = path else {
        return Ok(Loaded {
            config: C::default(),
            path: None,
            warnings: Vec::new(),
            origins: BTreeMap::new(),
        });
    };
    let text = read(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    Ok(parse(&text, path)?)
}

/// Reads a configuration from `text`; `path` is what messages call it.
///
/// # Errors
///
/// Everything that is wrong with the text.
pub fn parse<C: Config>(text: &str, path: &Path) -> Result<Loaded<C>, Faults> {
    let faulty = |faults| Faults {
        path: Some(path.to_path_buf()),
        faults,
    };

    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let faults = errors.iter().map(|error| syntax_fault(text, error));
        let mut faults: Vec<Fault> = faults.collect();
        faults.sort_by_key(|fault| fault.position);
        return Err(faulty(faults));
    }
    let mut table = document.into_inner();

    let known = toml::Table::try_from(C::default())
        .map_err(|error| faulty(vec![unplaced(error.to_string())]))?;
    let translation = old_keys::translate(text, &mut table, &known, C::OLD_KEYS);
    let mut faults = translation.faults;
    faults.extend(schema_check::check::<C>(
        text,
        &table,
        &known,
        &translation.renamed,
    ));
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.position);
        return Err(faulty(faults));
    }

    let mut origins = BTreeMap::new();
    note_origins(text, "", &table, &translation.renamed, &mut origins);
    // Each value was accepted alone, so this fails only for rules that span
    // several keys, which serde structs of plain values do not have.
    let config = C::deserialize(toml::Deserializer::from(Spanned::new(0..0, table)))
        .map_err(|error| faulty(vec![syntax_fault(text, &error)]))?;
    let warnings = translation.warnings.iter().map(|warning| {
        located(
            Some(path),
            warning.position,
            warning.key.as_deref(),
            &warning.message,
        )
    });
    Ok(Loaded {
        config,
        path: Some(path.to_path_buf()),
        warnings: warnings.collect(),
        origins,
    })
}

impl<C: Config> Loaded<C> {
    /// Turns the configuration into settings, and faults of values into errors
    /// with the line of their key.
    ///
    /// # Errors
    ///
    /// What `settings` reports.
    pub fn settings<S>(
        &self,
        settings: impl FnOnce(&C) -> Result<S, Vec<Invalid>>,
    ) -> Result<S, Error> {
        settings(&self.config).map_err(|invalid| self.invalid(invalid).into())
    }

    /// Adds the lines of the file to faults of values.
    pub fn invalid(&self, invalid: Vec<Invalid>) -> Faults {
        let mut faults: Vec<Fault> = invalid
            .into_iter()
            .map(|Invalid { key, message }| self.locate(key, message))
            .collect();
        faults.sort_by_key(|fault| fault.position);
        Faults {
            path: self.path.clone(),
            faults,
        }
    }

    /// The configuration in effect, in today's form and with comments.
    pub fn effective_toml(&self) -> String {
        render::with_comments(&self.config)
    }

    fn locate(&self, key: String, mut message: String) -> Fault {
        let origin = self.origins.get(&key);
        match origin {
            Some(Origin {
                old_key: Some(old), ..
            }) => message.push_str(&format!(" (made from {old})")),
            Some(_) => {}
            None if self.path.is_some() => {
                message.push_str(" (the default; the file does not set it)");
            }
            None => {}
        }
        Fault {
            position: origin.map(|origin| origin.position),
            key: Some(key),
            message,
        }
    }
}

/// Reads a file that should be small text.
fn read(path: &Path) -> io::Result<String> {
    use std::io::Read;

    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {MOST_BYTES} bytes"
        )));
    }
    Ok(text)
}

fn syntax_fault(text: &str, error: &toml::de::Error) -> Fault {
    Fault {
        position: error.span().map(|span| Position::of(text, span.start)),
        key: None,
        message: error.message().trim().replace('\n', ", "),
    }
}

fn unplaced(message: String) -> Fault {
    Fault {
        position: None,
        key: None,
        message,
    }
}

/// Remembers where each value and section stands.
fn note_origins(
    text: &str,
    path: &str,
    table: &Table<'_>,
    renamed: &BTreeMap<String, String>,
    origins: &mut BTreeMap<String, Origin>,
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
