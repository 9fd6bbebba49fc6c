//! Reads a configuration from its sources, and reports all errors in them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::Source;
use super::environment::Environment;
use super::merged::{AfterSyntaxErrors, Merged, Origin, Origins};
use super::old_keys::Change;
use super::sources::{Layer, Sources};
use super::{Config, Diagnostic, Diagnostics, document, render};

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The directory of drop-ins cannot be read.
    #[error("cannot read the configuration files in {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There are errors; one line for each.
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
    /// The origin of each key that is set.
    pub(super) origins: Origins,
}

/// Reads a configuration from its sources.
///
/// # Errors
///
/// If a file cannot be read or contains errors; all of these are reported, with lines.
pub fn load<C: Config>(sources: &Sources) -> Result<Loaded<C>, Error> {
    let files = sources.read()?;
    Ok(combine(sources.path(), &files, &sources.environment)?)
}

/// Reads a configuration from the text of one file; `path` is for messages.
///
/// # Errors
///
/// All errors in the text.
pub fn parse<C: Config>(text: &str, path: &Path) -> Result<Loaded<C>, Diagnostics> {
    combine(Some(path), &[Layer::file(text)], &Environment::default())
}

/// Reads a configuration from the texts of files and an environment. `path` is that of the
/// configuration file, for messages.
///
/// # Errors
///
/// All errors in them.
pub fn combine<C: Config>(
    path: Option<&Path>,
    files: &[Layer],
    environment: &Environment,
) -> Result<Loaded<C>, Diagnostics> {
    let faulty = |faults| Diagnostics::new(path, faults);
    let known = toml::Table::try_from(C::default())
        .map_err(|error| faulty(vec![Diagnostic::without_key(error)]))?;

    let (variables, unknown) = environment.layers(&known, C::OLD_KEYS);
    let mut merged = Merged::default();
    merged.faults = unknown;
    let mut is_well_formed = true;
    for layer in files.iter().chain(&variables) {
        is_well_formed &= merged.add::<C>(layer, &known, AfterSyntaxErrors::Stop);
    }
    merged.complete(&known, C::OLD_KEYS);
    let loaded = merged.loaded::<C>(path);
    let mut faults = merged.faults;
    if faults.is_empty() {
        let text = match files.first() {
            Some(file) => file.text.clone(),
            None => C::DEFAULT_TOML.to_owned(),
        };
        return match loaded {
            Ok(loaded) => Ok(Loaded { text, ..loaded }),
            Err(error) => Err(faulty(vec![error])),
        };
    }
    if is_well_formed {
        // Errors that involve several keys are reported as well, unless they involve a key
        // with an error, or one that may be present under a misspelled name.
        let is_unknown = |fault: &Diagnostic| {
            let key = fault.key.as_deref();
            key.is_none_or(|key| !is_known(&known, key))
        };
        let is_misspelled = faults.iter().any(is_unknown);
        let others = loaded.map(|rest| rest.located(rest.config.invalid()).list);
        let mut others = others.unwrap_or_default();
        others.retain(|other| {
            let is_certain = other.is_placed() || !is_misspelled;
            is_certain && !faults.iter().any(|fault| other.speaks_of(fault))
        });
        faults.extend(others);
    }
    Err(faulty(faults))
}

/// Whether there is a key or section of this name.
fn is_known(known: &toml::Table, path: &str) -> bool {
    let path = document::list_of(path).unwrap_or(path);
    match path.split_once('.') {
        None => known.contains_key(path),
        Some((section, rest)) => {
            let section = known.get(section).and_then(toml::Value::as_table);
            section.is_some_and(|section| is_known(section, rest))
        }
    }
}

impl<C: Config> Loaded<C> {
    /// A configuration that was not read from a file.
    pub(crate) fn of(config: C) -> Self {
        Self {
            config,
            path: None,
            changes: Vec::new(),
            text: C::DEFAULT_TOML.to_owned(),
            origins: Origins::new(),
        }
    }

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
        let told = self.changes.iter().map(|one| one.told.clone());
        Diagnostics::new(self.path.as_deref(), told.collect())
    }

    /// The drop-ins that have keys with another name or meaning than in earlier releases.
    pub(crate) fn outdated_drop_ins(&self) -> BTreeSet<&Path> {
        let sources = self
            .changes
            .iter()
            .filter_map(|one| one.told.source.as_ref());
        let drop_ins = sources.filter_map(|source| match source {
            Source::DropIn(path) => Some(path.as_path()),
            Source::Variable(_) => None,
        });
        drop_ins.collect()
    }

    /// Adds the positions of keys to diagnostics.
    pub fn located(&self, list: Vec<Diagnostic>) -> Diagnostics {
        let list = list.into_iter().map(|one| self.locate(one)).collect();
        Diagnostics::new(self.path.as_deref(), list)
    }

    /// The effective configuration, with current keys and with comments; above each key that
    /// is not set by the file itself, one says what sets it.
    pub fn effective_toml(&self) -> String {
        let of_others = |(key, origin): (&String, &Origin)| {
            let source = origin.source.is_some();
            source.then(|| (key.clone(), origin.place(Path::new(""))))
        };
        let notes: Vec<_> = self.origins.iter().filter_map(of_others).collect();
        render::with_places(&self.config, &notes)
    }

    /// The file with current keys. It is unchanged if it has no former keys; otherwise it
    /// contains all current keys with their values, and comments about what has changed.
    pub fn migrated_toml(&self) -> String {
        if self.changes.is_empty() {
            return self.text.clone();
        }
        render::with_changes(&self.config, &self.changes)
    }

    /// The environment variable that sets a key.
    pub fn variable(&self, key: &str) -> Option<&str> {
        match self.origins.get(key)?.source.as_ref()? {
            Source::Variable(name) => Some(name),
            Source::DropIn(_) => None,
        }
    }

    fn locate(&self, mut one: Diagnostic) -> Diagnostic {
        let Some(key) = &one.key else { return one };
        if let Some(origin) = self.origins.get(key) {
            if let Some(old) = &origin.old_key {
                one.message.push_str(&format!(" (translated from {old})"));
            }
            one.position = Some(origin.position);
            return one.set_in(origin.source.as_ref());
        }
        if self.path.is_some() {
            let unset = format!(" (the file does not set {key})");
            one.message.push_str(&unset);
        }
        one
    }
}
