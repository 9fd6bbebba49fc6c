//! Syntax errors of a file, explained for users who do not know TOML by heart.
//!
//! The parser continues after an error and reports each with its position; one mistake
//! often causes several. Here all errors of one value become a single one, with the key and
//! a correction.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::ops::{Deref, Range};

use toml::de::DeValue;

use super::Diagnostic;
use super::diagnostic::MAX_EXAMINED;
use super::document::{self, Table};
use super::schema_check;

/// The syntax errors in `text`, which was parsed to `table` with these `errors`. `known`
/// has the current keys with their defaults. Also returns whether these are all: when more
/// than [`MAX_EXAMINED`] values and lines have errors, others are not examined.
pub(super) fn faults(
    text: &str,
    table: &Table<'_>,
    known: &toml::Table,
    errors: &[toml::de::Error],
) -> (Vec<Diagnostic>, bool) {
    if errors.is_empty() {
        return (Vec::new(), true);
    }
    let mut entries = Vec::new();
    collect(text, "", table, Some(known), &mut entries);

    let mut of_entries: BTreeMap<usize, Vec<&toml::de::Error>> = BTreeMap::new();
    let mut faults = Vec::new();
    let mut stray_line = None;
    let mut is_complete = true;
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        let line_start = LazyCell::new(|| line_of(text, offset).start);
        let covers = |(_, entry): &(usize, &Entry<'_>)| entry.covers(offset, &line_start);
        // The innermost value starts last.
        let entry = entries
            .iter()
            .enumerate()
            .filter(covers)
            .max_by_key(|(_, entry)| entry.key_start);
        match entry {
            Some((index, _)) => of_entries.entry(index).or_default().push(error),
            None if stray_line == Some(*line_start) => {}
            None => {
                stray_line = Some(*line_start);
                faults.push(stray(text, offset, error));
            }
        }
        if faults.len() + of_entries.len() > MAX_EXAMINED {
            is_complete = false;
            break;
        }
    }
    for (index, errors) in of_entries {
        let entry = &entries[index];
        let message = of_value(text, entry, &errors);
        faults.push(Diagnostic::error(&entry.path, message).at(text, entry.value.start));
    }
    faults.sort_by_key(|fault| fault.position);
    // If several errors on a line do not belong to a value, only the first one is useful.
    faults.dedup_by_key(|fault| fault.position.map(|position| position.line));
    (faults, is_complete)
}

/// A key with its value, as parsed.
struct Entry<'d> {
    path: String,
    key_start: usize,
    value: Range<usize>,
    default: Option<&'d toml::Value>,
}

impl Entry<'_> {
    /// Whether the byte is between the key and the end of the line on which the value ends.
    /// `line_start` is the beginning of the byte's line.
    fn covers(&self, offset: usize, line_start: &impl Deref<Target = usize>) -> bool {
        self.key_start <= offset && (offset <= self.value.end || **line_start <= self.value.end)
    }
}

fn collect<'d>(
    text: &str,
    path: &str,
    table: &Table<'_>,
    known: Option<&'d toml::Table>,
    entries: &mut Vec<Entry<'d>>,
) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let full = schema_check::join(path, name);
        let default = known.and_then(|known| known.get(name));
        let span = value.span();
        for (index, item) in document::tables(value.get_ref())
            .into_iter()
            .flatten()
            .enumerate()
        {
            if let DeValue::Table(inner) = item.get_ref() {
                collect(text, &format!("{full}[{index}]"), inner, None, entries);
            }
        }
        if let DeValue::Table(inner) = value.get_ref() {
            let known = default.and_then(toml::Value::as_table);
            collect(text, &full, inner, known, entries);
            // The span of a section is its header.
            if text.as_bytes().get(span.start) == Some(&b'[') {
                continue;
            }
        }
        // So is that of a list of tables, the header of the first one.
        if span.contains(&key.span().start) {
            continue;
        }
        entries.push(Entry {
            path: full,
            key_start: key.span().start,
            value: span,
            default,
        });
    }
}

/// The message about one value.
fn of_value(text: &str, entry: &Entry<'_>, errors: &[&toml::de::Error]) -> String {
    let has = |begin: &str| {
        errors
            .iter()
            .any(|error| error.message().starts_with(begin))
    };
    let is_list = matches!(entry.default, Some(toml::Value::Array(_)));
    let raw = raw_value(text, entry.value.start);
    let is_quoted = raw.starts_with(['"', '\'']);
    if has("unclosed array") {
        return "the list that begins here has no end: write ] behind its last item".to_owned();
    }
    if raw.is_empty() {
        return match entry.default {
            Some(default) => format!("a value is missing, such as {default}"),
            None => "a value is missing".to_owned(),
        };
    }
    if is_quoted {
        let is_open = |error: &&&toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            error.message().contains(" string, expected ") && offset >= line_end(text, offset)
        };
        if errors.iter().any(|error| is_open(&error)) {
            return "the text that begins here has no closing quote".to_owned();
        }
        if has("unexpected key or value") {
            return match is_list {
                true => "unexpected characters after the string; write several as a list: [\"…\", \"…\"]",
                false => "unexpected characters after the string; a comment begins with #",
            }
            .to_owned();
        }
        return message(errors[0]);
    }
    match entry.default {
        Some(toml::Value::Boolean(_)) => format!("must be true or false, not {raw}"),
        Some(default @ toml::Value::Integer(_)) => {
            format!("must be a whole number, such as {default}, not {raw}")
        }
        Some(default @ toml::Value::Float(_)) => {
            format!("must be a number with a fraction, such as {default}, not {raw}")
        }
        _ => {
            // A list may have several lines.
            let whole = text.get(entry.value.clone()).unwrap_or("");
            let is_open = raw.starts_with('[') && !raw.contains(']');
            in_quotes(if is_open && whole.ends_with(']') {
                whole
            } else {
                raw
            })
        }
    }
}

/// The correction for a text, or a list of texts, without quotes or commas.
fn in_quotes(raw: &str) -> String {
    let quoted = |text: &str| {
        let bare = text.trim().trim_matches(QUOTES);
        toml::Value::from(bare).to_string()
    };
    // An IPv6 address with a port has brackets, but is not a list.
    let is_address = raw.parse::<std::net::SocketAddr>().is_ok();
    let list = raw
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .filter(|_| !is_address);
    match list {
        Some(list) => {
            let items = items(list);
            let list: Vec<String> = items.iter().map(|item| quoted(item.text)).collect();
            let unseparated = (1..items.len()).find(|&next| !items[next - 1].has_comma);
            let are_quoted = items.iter().all(|item| item.text.starts_with(['"', '\'']));
            match unseparated {
                Some(next) if are_quoted => {
                    let (one, other) = (&list[next - 1], &list[next]);
                    format!("a comma is missing between {one} and {other}")
                }
                Some(_) => format!(
                    "put each string in quotes, and a comma between two: [{}]",
                    list.join(", ")
                ),
                None => format!("put each string in quotes: [{}]", list.join(", ")),
            }
        }
        None => format!("put it in quotes: {}", quoted(raw)),
    }
}

/// An item of a list, as written.
struct Item<'t> {
    text: &'t str,
    /// Whether a comma follows.
    has_comma: bool,
}

/// The items of a list, which need not have quotes or commas.
fn items(list: &str) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut rest = list.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => line_end(rest, 0),
            ',' => {
                if let Some(item) = items.last_mut() {
                    item.has_comma = true;
                }
                1
            }
            '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            _ => rest
                .find(|char: char| char.is_whitespace() || ",\"'".contains(char))
                .unwrap_or(rest.len()),
        };
        let (text, after) = rest.split_at(length);
        if !matches!(first, '#' | ',') {
            items.push(Item {
                text,
                has_comma: false,
            });
        }
        rest = after.trim_start();
    }
    items
}

/// Quotes, including those of word processors.
const QUOTES: [char; 6] = ['"', '\'', '“', '”', '„', '’'];

/// An error that does not belong to a value.
fn stray(text: &str, offset: usize, error: &toml::de::Error) -> Diagnostic {
    let line = line_of(text, offset);
    let content = text[line.clone()].trim_start();
    let name: String = content
        .trim_start_matches('[')
        .chars()
        .take_while(|&char| char.is_alphanumeric() || "_-.\"'".contains(char))
        .collect();
    let name = name.trim_matches(QUOTES);
    let is_head = content.starts_with('[');
    let key = match (name, is_head) {
        ("", _) => None,
        (name, true) => Some(name.to_owned()),
        (name, false) => Some(match section_above(text, line.start) {
            Some(section) => format!("{section}.{name}"),
            None => name.to_owned(),
        }),
    };
    let said = error.message();
    let message = if said.starts_with("duplicate key") && is_head {
        "duplicate section; put all of its keys into one".to_owned()
    } else if said.starts_with("duplicate key") {
        "is set twice; remove one".to_owned()
    } else if said.starts_with("unclosed table") {
        "the closing bracket of the section name is missing".to_owned()
    } else if said.starts_with("key with no value") {
        "the value is missing: write KEY = VALUE".to_owned()
    } else {
        message(error)
    };
    let fault = match key {
        Some(key) => Diagnostic::error(key, message),
        None => Diagnostic::without_key(message),
    };
    fault.at(text, offset)
}

/// The parser's message.
pub(super) fn message(error: &toml::de::Error) -> String {
    error.message().trim().replace('\n', ", ")
}

/// The section that contains a line.
fn section_above(text: &str, line_start: usize) -> Option<&str> {
    let heads = text[..line_start].lines().rev().map(str::trim_start);
    let head = heads.filter_map(|line| line.strip_prefix('[')).next()?;
    let head = head.trim_start_matches('[');
    let (name, _) = head.split_once(']').unwrap_or((head, ""));
    Some(name.trim())
}

/// A value as written, without the comment after it.
fn raw_value(text: &str, start: usize) -> &str {
    let line = text.get(start..line_end(text, start)).unwrap_or("");
    let end = line.find(" #").unwrap_or(line.len());
    let raw = line[..end].trim();
    if raw.starts_with('#') { "" } else { raw }
}

fn line_of(text: &str, offset: usize) -> Range<usize> {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    start..line_end(text, start)
}

fn line_end(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or("");
    rest.find('\n')
        .map_or(text.len(), |newline| offset + newline)
}
