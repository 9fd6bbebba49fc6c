//! Environment variables that override keys: `AQUATIC_NETWORK__ADDRESS`.
//!
//! Each becomes a TOML text with its one key, so that its value is checked like that of a
//! file. Programs that are started in one environment can be told apart by their names:
//! `AQUATIC_UDP__NETWORK__ADDRESS` is only read by `aquatic-udp`, and has priority.
//!
//! Other variables begin with the same word: those of units and tests, and Kubernetes makes
//! some for a service called `aquatic`. None of them has two underscores in sequence. So
//! every variable that has, and every one that is nearly right, must be right; others are
//! ignored.

use std::ffi::OsString;

use toml::de::DeValue;

use super::diagnostic::{Diagnostic, MAX_EXAMINED, Source};
use super::document;
use super::old_keys::OldKey;
use super::schema_check::{closest, join};
use super::sources::Layer;
use crate::clock::BOOT_ID;
use crate::sockets::SOCKET_UNIT;
use crate::{destination, neighbours};

/// What the names of all variables begin with.
const PREFIX: &str = "AQUATIC_";

/// What separates a section from its keys.
const SEPARATOR: &str = "__";

/// Variables that packaged units set, which are about the unit.
const OF_UNITS: [&str; 3] = [SOCKET_UNIT, BOOT_ID, destination::VARIABLE];

/// Maximum distance from a key at which a name without a separator is taken for a mistake.
const MAX_MISTAKES: usize = 2;

/// The environment variables of a program.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The name of the program.
    program: &'static str,
    /// Name without [`PREFIX`], and value.
    variables: Vec<(String, OsString)>,
}

impl Environment {
    /// Those of this process.
    pub(super) fn of(program: &'static str) -> Self {
        Self::new(program, std::env::vars_os())
    }

    /// Those of `variables` that have the prefix.
    pub fn new<Name: Into<OsString>>(
        program: &'static str,
        variables: impl IntoIterator<Item = (Name, OsString)>,
    ) -> Self {
        let ours = |(name, value): (Name, OsString)| {
            let name: OsString = name.into();
            // No key has a name that is not UTF-8, which is reported like other mistakes.
            let name = name.to_string_lossy();
            Some((name.strip_prefix(PREFIX)?.to_owned(), value))
        };
        let mut variables: Vec<_> = variables.into_iter().filter_map(ours).collect();
        variables.sort();
        Self { program, variables }
    }

    /// Whether the variable of this name is not ignored from the outset.
    #[must_use]
    pub fn may_set_key(name: &str) -> bool {
        name.starts_with(PREFIX) && !OF_UNITS.contains(&name)
    }

    /// Whether one of them sets a key of a section, if its name is right.
    pub(super) fn has_keys(&self) -> bool {
        let mut names = self.variables.iter().map(|(name, _)| name);
        names.any(|name| name.contains(SEPARATOR))
    }

    /// The texts of all variables, in the order in which they apply, and errors. `known` has
    /// the current keys with their defaults.
    pub(super) fn layers(
        &self,
        known: &toml::Table,
        old_keys: &[&[OldKey]],
    ) -> (Vec<Layer>, Vec<Diagnostic>) {
        let keys = keys(known, old_keys);
        let own = prefix(self.program);
        let mut of_all = Vec::new();
        let mut of_this = Vec::new();
        let mut faults = Vec::new();
        for (rest, value) in &self.variables {
            let is_of = |daemon: &str| rest.starts_with(&prefix(daemon));
            let (name, layers) = match rest.strip_prefix(&own) {
                Some(name) => (name, &mut of_this),
                None if neighbours::names().any(is_of) => continue,
                None => (rest.as_str(), &mut of_all),
            };
            if faults.len() >= MAX_EXAMINED {
                let message = "there are more variables with errors than these";
                faults.push(Diagnostic::without_key(message));
                break;
            }
            let source = Source::Variable(format!("{PREFIX}{rest}"));
            let key = keys.iter().find(|key| key.variable == name);
            match (key, value.to_str()) {
                (Some(key), Some(value)) => layers.push(Layer {
                    source: Some(source),
                    text: format!("{} = {}\n", key.path, in_toml(value, key.default)),
                }),
                (Some(key), None) => {
                    let fault = Diagnostic::error(&key.path, "the value is not UTF-8");
                    faults.push(fault.set_in(Some(&source)));
                }
                (None, _) => {
                    let message = self.unknown(rest, name, &keys);
                    let fault = message.map(Diagnostic::without_key);
                    faults.extend(fault.map(|fault| fault.set_in(Some(&source))));
                }
            }
        }
        of_all.append(&mut of_this);
        (of_all, faults)
    }

    /// The message about a variable that is none of a key; `None` if it is not meant to be.
    /// `name` is that of the key, in `rest` of the variable.
    fn unknown(&self, rest: &str, name: &str, keys: &[Key<'_>]) -> Option<String> {
        if !Self::may_set_key(&format!("{PREFIX}{rest}")) {
            return None;
        }
        let prefix = rest.strip_suffix(name).unwrap_or("");
        let section = format!("{name}{SEPARATOR}");
        if let Some(key) = keys.iter().find(|key| key.variable.starts_with(&section)) {
            return Some(format!(
                "is a section, of which each key has a variable, such as {PREFIX}{prefix}{}",
                key.variable
            ));
        }
        let lower = name.to_lowercase();
        let close = if rest.contains(SEPARATOR) {
            let names: Vec<_> = keys.iter().map(|key| key.variable.to_lowercase()).collect();
            closest(&lower, names.iter().map(String::as_str)).map(str::to_uppercase)
        } else {
            // Often one underscore is missing.
            let mistakes = |key: &&Key<'_>| {
                let bare = key.variable.replace(SEPARATOR, "_").to_lowercase();
                strsim::damerau_levenshtein(&lower, &bare)
            };
            let close = keys.iter().min_by_key(mistakes);
            Some(
                close
                    .filter(|key| mistakes(key) <= MAX_MISTAKES)?
                    .variable
                    .clone(),
            )
        };
        Some(match close {
            Some(close) => format!("no key has this name; did you mean {PREFIX}{prefix}{close}?"),
            None => format!("no key has this name ({} -p shows all keys)", self.program),
        })
    }
}

/// What the names of a daemon's own variables begin with, after [`PREFIX`].
fn prefix(daemon: &str) -> String {
    let short = daemon.strip_prefix("aquatic-").unwrap_or(daemon);
    format!("{}{SEPARATOR}", short.to_uppercase().replace('-', "_"))
}

/// A key that a variable can set.
struct Key<'k> {
    /// Such as `network.address`.
    path: String,
    /// Such as `NETWORK__ADDRESS`.
    variable: String,
    default: &'k toml::Value,
}

/// All keys, with those that were renamed.
fn keys<'k>(known: &'k toml::Table, old_keys: &[&[OldKey]]) -> Vec<Key<'k>> {
    let mut keys = Vec::new();
    add_keys("", known, &mut keys);
    for old in old_keys.iter().copied().flatten() {
        if let OldKey::Renamed { key, to } = *old
            && let Some(default) = keys
                .iter()
                .find(|key| key.path == to)
                .map(|key| key.default)
        {
            keys.push(Key::new(key.to_owned(), default));
        }
    }
    keys
}

fn add_keys<'k>(section: &str, table: &'k toml::Table, keys: &mut Vec<Key<'k>>) {
    for (name, default) in table {
        let path = join(section, name);
        match default {
            toml::Value::Table(inner) => add_keys(&path, inner, keys),
            default => keys.push(Key::new(path, default)),
        }
    }
}

impl<'k> Key<'k> {
    fn new(path: String, default: &'k toml::Value) -> Self {
        Self {
            variable: path.replace('.', SEPARATOR).to_uppercase(),
            path,
            default,
        }
    }
}

/// The value of a variable in TOML, of which it may be a part already. Texts need no quotes,
/// and lists of texts, or of one table, no brackets.
fn in_toml(value: &str, default: &toml::Value) -> String {
    let value = value.trim();
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let text = format!("value = {value}\n");
    let parsed = document::parse(&text).ok();
    let parsed = parsed.filter(|(table, errors)| errors.is_empty() && table.len() == 1);
    let parsed = parsed.as_ref().and_then(|(table, _)| table.get("value"));
    match (default, parsed.map(toml::Spanned::get_ref)) {
        (toml::Value::String(_), Some(DeValue::String(_)))
        | (toml::Value::Array(_), Some(DeValue::Array(_) | DeValue::String(_))) => value.to_owned(),
        (toml::Value::Array(_), Some(DeValue::Table(_))) => format!("[{value}]"),
        (toml::Value::String(_), _) => quoted(value),
        (toml::Value::Array(_), _) => {
            let items = value.split(',').map(str::trim);
            let items: Vec<_> = items.filter(|item| !item.is_empty()).map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
        // A line break would begin another key.
        _ if value.contains(['\n', '\r']) => quoted(value),
        _ => value.to_owned(),
    }
}
