//! Compares a file with the default configuration: unknown keys, wrong types.
//!
//! serde stops at the first fault. Here the default configuration says which
//! keys there are, and every value of the file is deserialized alone, so all
//! faults are found in one go and each has its place.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::document::{self, Table, Value};
use super::{Config, Diagnostic};

/// The longest name that is compared with those that there are, which are shorter.
const LONGEST_NAME: usize = 100;

/// Finds everything in `file` that is no key of `C` or has the wrong type.
/// `renamed` leads from keys of today to those that the file has instead.
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
        let mut alone = Table::new();
        document::insert(&mut alone, &path, value.span(), value.clone());
        let deserializer = toml::Deserializer::from(Spanned::new(0..0, alone));
        if let Err(error) = C::deserialize(deserializer) {
            let offset = error.span().unwrap_or(value.span()).start;
            let mut message = out_of_range::<C>(&path, value.get_ref())
                .unwrap_or_else(|| describe(&error, value.get_ref(), default));
            if let Some(old) = renamed.get(&path) {
                message.push_str(&format!(" (made from {old})"));
            }
            faults.push(Diagnostic::error(path, message).at(text, offset));
        }
    }
    faults.sort_by_key(|fault| fault.position);
    faults
}

struct Checker<'t, 'i> {
    text: &'t str,
    known: &'t toml::Table,
    faults: Vec<Diagnostic>,
    /// Values to deserialize: path, value, default.
    values: Vec<(String, &'t Value<'i>, &'t toml::Value)>,
}

impl<'t, 'i> Checker<'t, 'i> {
    /// Compares one section; `path` is empty for the top of the file.
    fn section(&mut self, path: &str, section: &'t Table<'i>, known: &'t toml::Table) {
        for (key, value) in section {
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

    /// What to say about a key that there is not.
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

    /// Another place that has a key of this name.
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

/// What to say about a number that is beyond its type: the same as about one that
/// only is beyond the range of the key.
fn out_of_range<C: Config>(path: &str, value: &DeValue<'_>) -> Option<String> {
    let number = value.as_integer()?;
    // The largest number that its type can have is beyond its range, too.
    let largest = [i64::MAX, u32::MAX.into(), u16::MAX.into(), u8::MAX.into()];
    let (most, config) = largest.into_iter().find_map(|most| {
        let config = toml::from_str::<C>(&format!("{path} = {most}")).ok()?;
        Some((most.to_string(), config))
    })?;
    let invalid = config
        .invalid()
        .into_iter()
        .find(|one| one.key.as_deref() == Some(path))?;
    let rest = invalid.message.strip_prefix(&most)?;
    Some(format!("{}{rest}", number_text(number)))
}

/// What to say about a value that does not fit.
fn describe(error: &toml::de::Error, value: &DeValue<'_>, default: &toml::Value) -> String {
    let message = error.message().trim();
    let expected = message
        .split_once("expected ")
        .map(|(_, expected)| expected);
    match (value, default) {
        (DeValue::Integer(number), toml::Value::Integer(_)) => {
            let number = number_text(number);
            match expected.and_then(integer_range) {
                Some((least, i64::MAX)) => {
                    format!("{number} is out of range: it must be {least} or more")
                }
                Some((least, most)) => {
                    format!("{number} is out of range: it must be from {least} to {most}")
                }
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
            if choices.is_empty() {
                return message.to_owned();
            }
            let hint = closest(text, choices.iter().copied())
                .map(|close| format!("; did you mean \"{close}\"?"))
                .unwrap_or_default();
            format!(
                "\"{text}\" is none of the choices \"{}\"{hint}",
                choices.join("\", \"")
            )
        }
        (DeValue::Array(_), toml::Value::Array(_)) => {
            "must be a list of texts in quotes".to_owned()
        }
        (value, default) => {
            let found = describe_type(value.type_str());
            match default {
                // A list may have a short form, of which only its type knows.
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

/// An integer as it was written.
fn number_text(number: &toml::de::DeInteger<'_>) -> String {
    let prefix = match number.radix() {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    format!("{prefix}{}", number.as_str())
}

/// The range of a Rust integer type, which is what serde calls it by.
fn integer_range(name: &str) -> Option<(i64, i64)> {
    Some(match name.split_whitespace().next()? {
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        // TOML integers are signed.
        "u64" | "usize" => (0, i64::MAX),
        "i32" => (i32::MIN.into(), i32::MAX.into()),
        _ => return None,
    })
}

/// A TOML type with its article.
fn describe_type(name: &str) -> &'static str {
    match name {
        "string" => "a text in quotes",
        "integer" => "a whole number",
        "float" => "a number with a fraction",
        "boolean" => "true or false",
        "array" => "a list",
        "table" => "a section",
        _ => "a date",
    }
}

/// The name that was probably meant.
fn closest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), other);
    names
        .map(|other| (distance(other), other))
        .filter(|(distance, other)| *distance <= (other.len() / 3).max(1))
        .min()
        .map(|(_, other)| other)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
