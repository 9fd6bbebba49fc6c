//! A parsed file whose values have positions, so that keys can be moved and removed, and
//! messages still contain the lines that the user wrote.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::Diagnostic;

/// A table with positions, as parsed.
pub(super) type Table<'i> = DeTable<'i>;

/// A value with its position.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A key with its position.
pub(super) type Key<'i> = Spanned<Cow<'i, str>>;

/// Maximum number of names in a dotted key. Each name makes a table within the previous
/// one, and the parser frees them recursively, on the stack.
const MAX_NAMES: usize = 32;

/// Parses the valid parts of a file, and returns them with the syntax errors.
///
/// # Errors
///
/// If a key has too many names to be parsed.
pub(super) fn parse(text: &str) -> Result<(Table<'_>, Vec<toml::de::Error>), Diagnostic> {
    let mut names = 1;
    for token in Source::new(text).lex() {
        names = match token.kind() {
            TokenKind::Dot => names + 1,
            TokenKind::Whitespace
            | TokenKind::Atom
            | TokenKind::BasicString
            | TokenKind::LiteralString => names,
            _ => 1,
        };
        if names > MAX_NAMES {
            let message = format!("a key of more than {MAX_NAMES} names");
            return Err(Diagnostic::without_key(message).at(text, token.span().start()));
        }
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    Ok((document.into_inner(), errors))
}

/// Finds the value of a key such as `network.address`.
pub(super) fn find<'t, 'i>(
    table: &'t Table<'i>,
    path: &str,
) -> Option<(&'t Key<'i>, &'t Value<'i>)> {
    match path.split_once('.') {
        None => table.get_key_value(path),
        Some((section, rest)) => find(table.get(section)?.get_ref().as_table()?, rest),
    }
}

/// Removes the value of a key, and its section if that is empty then. Of a key within a
/// list of tables, such as `address_map[0].to`, the whole list is removed.
pub(super) fn remove<'i>(table: &mut Table<'i>, path: &str) -> Option<(Key<'i>, Value<'i>)> {
    let removed = remove_exactly(table, path);
    match list_of(path) {
        Some(list) if removed.is_none() => remove_exactly(table, list),
        _ => removed,
    }
}

/// The list of tables that a key is in: `address_map` of `address_map[0].to`.
pub(super) fn list_of(path: &str) -> Option<&str> {
    path.split_once('[').map(|(list, _)| list)
}

fn remove_exactly<'i>(table: &mut Table<'i>, path: &str) -> Option<(Key<'i>, Value<'i>)> {
    let Some((section, rest)) = path.split_once('.') else {
        return table.remove_entry(path);
    };
    let DeValue::Table(inner) = table.get_mut(section)?.get_mut() else {
        return None;
    };
    let removed = remove_exactly(inner, rest);
    if removed.is_some() && inner.is_empty() {
        table.remove(section);
    }
    removed
}

/// Puts values above those of a table: sections are merged, other values replaced.
pub(super) fn merge<'i>(table: &mut Table<'i>, over: Table<'i>) {
    for (key, value) in over {
        let name: &str = key.get_ref();
        let below = table.get_mut(name).map(Spanned::get_mut);
        match (below, value.get_ref()) {
            (Some(DeValue::Table(below)), DeValue::Table(_)) => {
                if let DeValue::Table(value) = value.into_inner() {
                    merge(below, value);
                }
            }
            _ => {
                table.remove(name);
                table.insert(key, value);
            }
        }
    }
}

/// Inserts a value, and creates its section if necessary. If a key that should be a section
/// has another value, that remains, and the type check reports it.
pub(super) fn insert<'i>(table: &mut Table<'i>, path: &str, place: Range<usize>, value: Value<'i>) {
    let Some((section, rest)) = path.split_once('.') else {
        table.remove(path);
        table.insert(Spanned::new(place, Cow::Owned(path.to_owned())), value);
        return;
    };
    let inner = table
        .entry(Spanned::new(place.clone(), Cow::Owned(section.to_owned())))
        .or_insert_with(|| Spanned::new(place.clone(), DeValue::Table(Table::new())));
    if let DeValue::Table(inner) = inner.get_mut() {
        insert(inner, rest, place, value);
    }
}

/// The tables of a list, if it has any.
pub(super) fn tables<'t, 'i>(value: &'t DeValue<'i>) -> Option<&'t DeArray<'i>> {
    let items = value.as_array()?;
    let has_tables = items.iter().any(|item| item.get_ref().is_table());
    has_tables.then_some(items)
}

/// A list with one item.
pub(super) fn list_with<'i>(item: Value<'i>) -> Value<'i> {
    let place = item.span();
    let mut array = DeArray::new();
    array.push(item);
    Spanned::new(place, DeValue::Array(array))
}

/// A text that replaces one at `place`.
pub(super) fn text<'i>(text: String, place: &Range<usize>) -> Value<'i> {
    Spanned::new(place.clone(), DeValue::String(Cow::Owned(text)))
}

/// A boolean that replaces a value at `place`.
pub(super) fn boolean<'i>(value: bool, place: &Range<usize>) -> Value<'i> {
    Spanned::new(place.clone(), DeValue::Boolean(value))
}

/// A list of texts that replaces a value at `place`.
pub(super) fn texts<'i>(items: Vec<String>, place: &Range<usize>) -> Value<'i> {
    let mut array = DeArray::new();
    for item in items {
        array.push(text(item, place));
    }
    Spanned::new(place.clone(), DeValue::Array(array))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Table<'_> {
        DeTable::parse(text).unwrap().into_inner()
    }

    #[test]
    fn values_keep_their_places_when_moved() {
        let mut table = parse("a = 1\n[old]\nb = 2\n");
        let (key, value) = remove(&mut table, "old.b").unwrap();
        assert_eq!(key.span(), 12..13);
        assert!(find(&table, "old").is_none(), "the section is empty now");

        insert(&mut table, "new.c", key.span(), value);
        let (key, value) = find(&table, "new.c").unwrap();
        assert_eq!(key.span(), 12..13);
        assert_eq!(value.span(), 16..17);
    }

    #[test]
    fn a_scalar_is_not_taken_for_a_section() {
        let mut table = parse("network = 1\n");
        assert!(find(&table, "network.address").is_none());
        assert!(remove(&mut table, "network.address").is_none());
        let value = text("a".to_owned(), &(0..1));
        insert(&mut table, "network.address", 0..1, value);
        assert!(find(&table, "network").unwrap().1.get_ref().is_integer());
    }

    #[test]
    fn made_values_have_the_place_given() {
        let mut table = Table::new();
        let list = texts(vec!["a".to_owned(), "b".to_owned()], &(7..9));
        assert_eq!(list.span(), 7..9);
        insert(&mut table, "new.list", 7..9, list);
        let back: toml::Table =
            serde::Deserialize::deserialize(toml::Deserializer::from(Spanned::new(0..0, table)))
                .unwrap();
        assert_eq!(back, toml::from_str("new.list = ['a', 'b']").unwrap());
    }
}
