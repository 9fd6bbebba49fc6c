//! Writes a configuration with the comments of the default file.

use toml_edit::{DocumentMut, Item, RawString, Value};

use super::old_keys::Change;
use super::{Config, Diagnostic};

/// Maximum length of a line in a comment, unless a word is longer.
const WIDTH: usize = 80;

/// The default file of `C` with the values of `config`.
pub(super) fn with_comments<C: Config>(config: &C) -> String {
    // Serializing plain values cannot fail, and the default file is checked by the test
    // that generates it.
    let Ok(values) = toml::Table::try_from(config) else {
        return C::DEFAULT_TOML.to_owned();
    };
    let Ok(mut document) = C::DEFAULT_TOML.parse::<DocumentMut>() else {
        return toml::to_string(&values).unwrap_or_default();
    };
    set_all(document.as_table_mut(), &values);
    let mut text = document.to_string();
    for (key, value) in &values {
        if let toml::Value::Array(items) = value
            && !document.contains_key(key)
        {
            add_tables(&mut text, key, items);
        }
    }
    text
}

/// Adds a list of tables, which the default file has as an example in a comment: behind that.
fn add_tables(text: &mut String, key: &str, items: &[toml::Value]) {
    let mut tables = String::new();
    for table in items.iter().filter_map(toml::Value::as_table) {
        tables.push_str(&format!("\n[[{key}]]\n"));
        for (key, value) in table {
            tables.push_str(&format!("{key} = {value}\n"));
        }
    }
    let example = text.find(&format!("\n# [[{key}]]\n"));
    let end = example.and_then(|at| Some(at + text[at..].find("\n\n")? + 1));
    text.insert_str(end.unwrap_or(text.len()), &tables);
}

/// Like [`with_comments`], with a comment for each of `changes`: above its key, or
/// otherwise at the top.
pub(super) fn with_changes<C: Config>(config: &C, changes: &[Change]) -> String {
    let mut text = with_comments(config);
    let Ok(mut document) = text.parse::<DocumentMut>() else {
        return text;
    };
    let mut top = String::new();
    for Change { told, today } in changes {
        let note = note(told);
        let key = today.as_deref();
        if !key.is_some_and(|key| annotate(document.as_table_mut(), key, &note)) {
            top.push_str(&note);
        }
    }
    text = document.to_string();
    if !top.is_empty() {
        text.insert_str(0, &format!("{top}\n"));
    }
    text
}

/// Like [`with_comments`], with a comment above each key that has a place in `places`.
pub(super) fn with_places<C: Config>(config: &C, places: &[(String, String)]) -> String {
    let text = with_comments(config);
    let Ok(mut document) = text.parse::<DocumentMut>() else {
        return text;
    };
    for (key, place) in places {
        annotate(document.as_table_mut(), key, &format!("# Set in {place}\n"));
    }
    document.to_string()
}

/// Writes a comment above a key; returns whether the key exists.
fn annotate(table: &mut toml_edit::Table, path: &str, note: &str) -> bool {
    if let Some((section, key)) = path.split_once('.') {
        let section = table.get_mut(section).and_then(Item::as_table_mut);
        return section.is_some_and(|section| annotate(section, key, note));
    }
    if let Some(Item::ArrayOfTables(tables)) = table.get_mut(path) {
        return tables.get_mut(0).is_some_and(|first| {
            let decor = first.decor_mut();
            let before = decor.prefix().and_then(RawString::as_str).unwrap_or("");
            let prefix = format!("{before}{note}");
            decor.set_prefix(prefix);
            true
        });
    }
    // A section has no comment of its own.
    let is_value = table.get(path).is_some_and(Item::is_value);
    let Some(mut key) = table.key_mut(path).filter(|_| is_value) else {
        return false;
    };
    let decor = key.leaf_decor_mut();
    let before = decor.prefix().and_then(RawString::as_str).unwrap_or("");
    let prefix = format!("{before}{note}");
    decor.set_prefix(prefix);
    true
}

/// A change as a comment, wrapped.
fn note(told: &Diagnostic) -> String {
    let mut words = "Migrated:".to_owned();
    if let Some(position) = told.position {
        words.push_str(&format!(" line {},", position.line));
    }
    if let Some(key) = &told.key {
        words.push_str(&format!(" {key}:"));
    }
    let all = format!("{words} {}", told.message);
    let mut lines = String::new();
    let mut line = "#".to_owned();
    for word in all.split(' ') {
        if line.len() > 1 && line.len() + word.len() >= WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = "#  ".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push_str(&line);
    lines.push('\n');
    lines
}

/// Sets the values of a section and its subsections.
fn set_all(table: &mut toml_edit::Table, values: &toml::Table) {
    for (key, value) in values {
        match (table.get_mut(key), value) {
            (Some(Item::Table(inner)), toml::Value::Table(values)) => set_all(inner, values),
            (Some(Item::Value(current)), value) => {
                let decor = current.decor().clone();
                *current = edited(value);
                *current.decor_mut() = decor;
            }
            // Lists of tables are added as text.
            (None, toml::Value::Array(items)) if items.iter().all(toml::Value::is_table) => {}
            (_, value) => {
                table.insert(key, Item::Value(edited(value)));
            }
        }
    }
}

/// Converts a value between the types of two libraries.
fn edited(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(boolean) => (*boolean).into(),
        toml::Value::Datetime(datetime) => (*datetime).into(),
        toml::Value::Array(items) => items.iter().map(edited).collect(),
        toml::Value::Table(table) => {
            let mut inline = toml_edit::InlineTable::new();
            for (key, value) in table {
                inline.insert(key, edited(value));
            }
            inline.into()
        }
    }
}
