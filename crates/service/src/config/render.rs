//! Writes a configuration with the comments of the default file.

use toml_edit::{DocumentMut, Item, Value};

use super::Config;

/// The default file of `C` with the values of `config`.
pub(super) fn with_comments<C: Config>(config: &C) -> String {
    // A configuration of plain values always serializes, and the default file
    // is checked by the test that generates it.
    let Ok(values) = toml::Table::try_from(config) else {
        return C::DEFAULT_TOML.to_owned();
    };
    let Ok(mut document) = C::DEFAULT_TOML.parse::<DocumentMut>() else {
        return toml::to_string(&values).unwrap_or_default();
    };
    set_all(document.as_table_mut(), &values);
    document.to_string()
}

/// Sets the values of one section and of those in it.
fn set_all(table: &mut toml_edit::Table, values: &toml::Table) {
    for (key, value) in values {
        match (table.get_mut(key), value) {
            (Some(Item::Table(inner)), toml::Value::Table(values)) => set_all(inner, values),
            (Some(Item::Value(current)), value) => {
                let decor = current.decor().clone();
                *current = edited(value);
                *current.decor_mut() = decor;
            }
            (_, value) => {
                table.insert(key, Item::Value(edited(value)));
            }
        }
    }
}

/// The same value as another library has it.
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
