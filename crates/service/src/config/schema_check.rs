//! Compares a file with the default configuration: unknown keys, wrong types.
//!
//! serde stops at the first error. Here the default configuration defines the known keys,
//! and every value of the file is deserialized separately, so all errors are found at once,
//! with their positions.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::diagnostic::MAX_EXAMINED;
use super::document::{self, Table, Value};
use super::numbers::WHOLE_NUMBER;
use super::{Config, Diagnostic};

/// A number that is out of range for every key.
const LEAST_NUMBER: &str = "-9223372036854775808";

/// Maximum number of tables of a list that are examined one by one. Of a longer one, only
/// the first error is found.
const MAX_TABLES: usize = 1_000;

/// Maximum length of a key that is compared with known keys, which are shorter.
const MAX_NAME_BYTES: usize = 100;

/// Finds everything in `file` that is not a key of `C` or has the wrong type. `renamed`
/// maps current keys to those that the file has instead. If the result is longer than
/// [`MAX_EXAMINED`], there may be more.
pub(super) fn check<C: Config>(
    text: &str,
    file: &Table<'_>,
    known: &toml::Table,
    renamed: &BTreeMap<String, String>,
) -> Vec<Diagnostic> {
    let mut checker = Checker {
        text,
        known,
        faults: Vec::new(),
        values: Vec::new(),
    };
    checker.section("", file, known);

    let Checker {
        mut faults, values, ..
    } = checker;
    for (path, value, default) in values {
        if let Some(tables) = tables_of::<C>(&path, value)
            && check_tables::<C>(text, &path, tables, &mut faults)
        {
            continue;
        }
        if let Err(error) = alone::<C>(&path, value) {
            let offset = error.span().unwrap_or(value.span()).start;
            let message = describe(&error, value.get_ref(), default);
            let origin = match renamed.get(&path) {
                Some(old) => format!(" (translated from {old})"),
                None => String::new(),
            };
            // A list may have several errors, one per line. The message about another value
            // may quote one of several lines.
            let messages: Vec<&str> = match default {
                toml::Value::Array(_) => message.lines().take(MAX_EXAMINED + 1).collect(),
                _ => vec![&message],
            };
            let fault = |one| Diagnostic::error(&path, format!("{one}{origin}")).at(text, offset);
            faults.extend(messages.into_iter().map(fault));
        }
    }
    faults.sort_by_key(|fault| fault.position);
    faults
}

/// The items of a value that has tables, if the key is a list of tables.
fn tables_of<'t, 'i, C: Config>(path: &str, value: &'t Value<'i>) -> Option<&'t DeArray<'i>> {
    let tables = document::tables(value.get_ref()).filter(|all| all.len() <= MAX_TABLES)?;
    // The keys of such a table have defaults, too.
    let empty = Spanned::new(value.span(), DeValue::Table(Table::new()));
    let takes_tables = alone::<C>(path, &document::list_with(empty)).is_ok();
    takes_tables.then_some(tables)
}

/// Finds everything that is wrong with the tables of a list, each value by itself; returns
/// whether anything is.
fn check_tables<C: Config>(
    text: &str,
    path: &str,
    tables: &DeArray<'_>,
    faults: &mut Vec<Diagnostic>,
) -> bool {
    let before = faults.len();
    for (index, item) in tables.iter().enumerate() {
        let full = format!("{path}[{index}]");
        let DeValue::Table(table) = item.get_ref() else {
            if let Err(error) = alone::<C>(path, &document::list_with(item.clone())) {
                let message = describe_item(&error, item.get_ref(), path);
                faults.push(Diagnostic::error(full, message).at(text, item.span().start));
            }
            continue;
        };
        for (key, value) in table {
            let mut only = Table::new();
            only.insert(key.clone(), value.clone());
            let only = Spanned::new(item.span(), DeValue::Table(only));
            if let Err(error) = alone::<C>(path, &document::list_with(only)) {
                let offset = error.span().unwrap_or(value.span()).start;
                let message = describe_item(&error, value.get_ref(), path);
                let fault = Diagnostic::error(join(&full, key.get_ref()), message);
                faults.push(fault.at(text, offset));
            }
            if faults.len() > before + MAX_EXAMINED {
                return true;
            }
        }
    }
    faults.len() > before
}

/// The message about a value in a table of the list `path`, or about another item.
fn describe_item(error: &toml::de::Error, value: &DeValue<'_>, path: &str) -> String {
    let message = error.message().trim();
    let Some((begin, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    match begin {
        _ if begin.starts_with("unknown field ") => {
            let name = begin.split('`').nth(1).unwrap_or_default();
            let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            let close = closest(name, known.iter().copied());
            let hint =
                close.map_or_else(String::new, |close| format!("; did you mean \"{close}\"?"));
            format!("unknown key{hint} ([[{path}]] has: {})", known.join(", "))
        }
        _ if begin.starts_with("invalid type") => {
            let wanted = match expected {
                "a string" => "a string in quotes",
                other => other,
            };
            format!("must be {wanted}, not {}", describe_type(value.type_str()))
        }
        _ => message.to_owned(),
    }
}

/// Deserializes a single value as that of its key.
fn alone<C: Config>(path: &str, value: &Value<'_>) -> Result<C, toml::de::Error> {
    let read = |value: Value<'_>| {
        let mut table = Table::new();
        document::insert(&mut table, path, value.span(), value);
        C::deserialize(toml::Deserializer::from(Spanned::new(0..0, table)))
    };
    let is_number = value.get_ref().is_integer();
    read(value.clone()).map_err(|error| match DeValue::parse(LEAST_NUMBER) {
        // A number that does not fit into any integer type is rejected before the key's
        // type can report its range, so the range is obtained with a smaller number.
        Ok(least) if is_number && !error.message().contains(WHOLE_NUMBER) => {
            let least = Spanned::new(value.span(), least.into_inner());
            read(least).err().unwrap_or(error)
        }
        _ => error,
    })
}

struct Checker<'t, 'i> {
    text: &'t str,
    known: &'t toml::Table,
    faults: Vec<Diagnostic>,
    /// Values to deserialize: path, value, default.
    values: Vec<(String, &'t Value<'i>, &'t toml::Value)>,
}

impl<'t, 'i> Checker<'t, 'i> {
    /// Checks one section; `path` is empty for the top level of the file.
    fn section(&mut self, path: &str, section: &'t Table<'i>, known: &'t toml::Table) {
        for (key, value) in section {
            if self.faults.len() > MAX_EXAMINED {
                return;
            }
            let name: &str = key.get_ref();
            let full = join(path, name);
            match (known.get(name), value.get_ref()) {
                (None, _) => {
                    let message = self.unknown(path, name, value.get_ref(), known);
                    self.fault(key.span().start, full, message);
                }
                (Some(toml::Value::Table(inner)), DeValue::Table(table)) => {
                    self.section(&full, table, inner);
                }
                (Some(toml::Value::Table(_)), other) => {
                    let found = describe_type(other.type_str());
                    let message = format!("must be a section [{full}], not {found}");
                    self.fault(value.span().start, full, message);
                }
                (Some(default), _) => self.values.push((full, value, default)),
            }
        }
    }

    fn fault(&mut self, offset: usize, key: String, message: String) {
        let fault = Diagnostic::error(key, message).at(self.text, offset);
        self.faults.push(fault);
    }

    /// The message about an unknown key.
    fn unknown(&self, path: &str, name: &str, value: &DeValue<'_>, known: &toml::Table) -> String {
        let is_section = value.is_table();
        let mut candidates = known
            .iter()
            .filter(|(_, default)| default.is_table() == is_section)
            .map(|(candidate, _)| candidate.as_str());
        let bracketed = |(name, default): (&String, &toml::Value)| match default.is_table() {
            true => Some(format!("[{}]", join(path, name))),
            false if is_section => None,
            false => Some(name.clone()),
        };
        let (sections, keys): (Vec<_>, Vec<_>) =
            known.iter().partition(|(_, default)| default.is_table());
        let all = keys.into_iter().chain(sections);
        let names = all.filter_map(bracketed).collect::<Vec<_>>().join(", ");

        let kind = if is_section { "section" } else { "key" };
        let mut message = format!("unknown {kind}");
        if let Some(close) = closest(name, &mut candidates) {
            let close = if is_section {
                format!("[{}]", join(path, close))
            } else {
                format!("\"{close}\"")
            };
            message.push_str(&format!("; did you mean {close}?"));
        } else if let Some(place) = self.place_of(name) {
            message.push_str(&format!("; it belongs {place}"));
        }
        let place = match path {
            _ if is_section => "there are".to_owned(),
            "" => "the top of the file has".to_owned(),
            path => format!("[{path}] has"),
        };
        message.push_str(&format!(" ({place}: {names})"));
        message
    }

    /// Another section that has a key of this name.
    fn place_of(&self, name: &str) -> Option<String> {
        if self.known.get(name).is_some_and(|value| !value.is_table()) {
            return Some("at the top of the file, before the first section".to_owned());
        }
        self.known.iter().find_map(|(section, value)| {
            let there = value.as_table()?.contains_key(name);
            there.then(|| format!("in [{section}]"))
        })
    }
}

/// The message about a value of the wrong type or out of range.
fn describe(error: &toml::de::Error, value: &DeValue<'_>, default: &toml::Value) -> String {
    let message = error.message().trim();
    let expected = message
        .split_once("expected ")
        .map(|(_, expected)| expected);
    // Messages of our own types are already written for users.
    let is_of_serde = ["invalid ", "unknown variant ", "wanted "]
        .iter()
        .any(|begin| message.starts_with(begin));
    match (value, default) {
        _ if !is_of_serde => message.to_owned(),
        (DeValue::Integer(number), toml::Value::Integer(_)) => {
            let number = number_text(number);
            match expected.and_then(allowed) {
                Some(range) => format!("{number} is out of range: it must be {range}"),
                None => format!("{number} is out of range"),
            }
        }
        (DeValue::String(text), toml::Value::String(_)) => {
            let choices: Vec<&str> = expected
                .unwrap_or("")
                .split('`')
                .skip(1)
                .step_by(2)
                .collect();
            let hint = closest(text, choices.iter().copied())
                .map(|close| format!("; did you mean \"{close}\"?"))
                .unwrap_or_default();
            format!(
                "\"{text}\" is not one of \"{}\"{hint}",
                choices.join("\", \"")
            )
        }
        (DeValue::Array(_), toml::Value::Array(_)) => match expected {
            Some(table) if table.starts_with("a table ") => format!("each item must be {table}"),
            _ => "must be a list of strings in quotes".to_owned(),
        },
        (value, default) => {
            let found = describe_type(value.type_str());
            match default {
                // A list may have a short form, which only its type knows.
                toml::Value::Array(_) => {
                    let wanted = expected.unwrap_or("a list").replace("a sequence", "a list");
                    format!("must be {wanted}, not {found}")
                }
                toml::Value::Integer(_) | toml::Value::Float(_) => {
                    let wanted = describe_type(default.type_str());
                    format!("must be {wanted}, such as {default}, not {found}")
                }
                _ => format!("must be {}, not {found}", describe_type(default.type_str())),
            }
        }
    }
}

/// An integer as it was written in the file.
fn number_text(number: &toml::de::DeInteger<'_>) -> String {
    let prefix = match number.radix() {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    format!("{prefix}{}", number.as_str())
}

/// The range of a Rust integer type.
fn allowed(name: &str) -> Option<String> {
    // TOML integers are signed.
    let max: u32 = match name {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX,
        "u64" | "usize" => return Some("0 or more".to_owned()),
        name => return name.strip_prefix(WHOLE_NUMBER).map(str::to_owned),
    };
    Some(format!("from 0 to {max}"))
}

/// A TOML type with its article.
fn describe_type(name: &str) -> &'static str {
    match name {
        "string" => "a string in quotes",
        "integer" => "a whole number",
        "float" => "a number with a fraction",
        "boolean" => "true or false",
        "array" => "a list",
        "table" => "a section",
        _ => "a date",
    }
}

/// The known name that is most similar, if any is similar enough.
pub(super) fn closest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), other);
    names
        .map(|other| (distance(other), other))
        .filter(|(distance, other)| *distance <= (other.len() / 3).max(1))
        .min()
        .map(|(_, other)| other)
}

/// The full name of a key.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
