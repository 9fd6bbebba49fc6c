//! Entries of a stream, and their ids.

use std::fmt;

use redis::Value;

/// The id of an entry: when it was added, on the engine's clock, and its number within that
/// millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// Unix time in milliseconds.
    pub milliseconds: u64,
    /// Number within the millisecond, from 0 on.
    pub number: u64,
}

/// The fields of an entry that nodes use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    /// The bytes of a batch; empty if the field is missing.
    pub(super) batch: Vec<u8>,
    /// The name of the node, in heartbeats.
    pub(super) name: Option<Vec<u8>>,
}

/// The field with a batch.
pub(super) const BATCH: &str = "b";
/// The field with the name of a node.
pub(super) const NAME: &str = "n";

impl EntryId {
    /// Parses the text form.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (milliseconds, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            milliseconds: milliseconds.parse().ok()?,
            number: number.parse().ok()?,
        })
    }

    /// The lowest id that is earlier by so many milliseconds.
    pub(super) fn before(self, milliseconds: u64) -> Self {
        Self {
            milliseconds: self.milliseconds.saturating_sub(milliseconds),
            number: 0,
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.milliseconds, self.number)
    }
}

/// The keys of the streams in a reply to XREAD, each with its entries.
pub(super) fn streams(reply: Value) -> Option<Vec<(Vec<u8>, Vec<Entry>)>> {
    let streams = match reply {
        Value::Nil => return Some(Vec::new()),
        Value::Array(streams) => streams,
        _ => return None,
    };
    streams.into_iter().map(stream).collect()
}

/// The entries in a reply to XRANGE.
pub(super) fn entries(reply: Value) -> Option<Vec<Entry>> {
    let Value::Array(entries) = reply else {
        return None;
    };
    entries.into_iter().map(entry).collect()
}

/// The id in a reply to XADD.
pub(super) fn id(reply: &Value) -> Option<EntryId> {
    match reply {
        Value::BulkString(id) => EntryId::parse(id),
        _ => None,
    }
}

/// The value with this name in a reply to XINFO STREAM.
pub(super) fn info<'a>(reply: &'a Value, name: &str) -> Option<&'a Value> {
    let mut pairs = reply.as_map_iter()?;
    let found = pairs.find(|(key, _)| match key {
        Value::BulkString(key) => key == name.as_bytes(),
        Value::SimpleString(key) => key == name,
        _ => false,
    });
    found.map(|(_, value)| value)
}

fn stream(stream: Value) -> Option<(Vec<u8>, Vec<Entry>)> {
    let Value::Array(parts) = stream else {
        return None;
    };
    match <[Value; 2]>::try_from(parts).ok()? {
        [Value::BulkString(key), found] => Some((key, entries(found)?)),
        _ => None,
    }
}

fn entry(entry: Value) -> Option<Entry> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let (id, fields) = match <[Value; 2]>::try_from(parts).ok()? {
        [Value::BulkString(id), Value::Array(fields)] => (EntryId::parse(&id)?, fields),
        // The entry was deleted while it was read.
        [Value::BulkString(id), Value::Nil] => (EntryId::parse(&id)?, Vec::new()),
        _ => return None,
    };
    let mut entry = Entry {
        id,
        ..Entry::default()
    };
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let (Value::BulkString(name), Value::BulkString(value)) = (name, value) else {
            continue;
        };
        if name == BATCH.as_bytes() {
            entry.batch = value;
        } else if name == NAME.as_bytes() {
            entry.name = Some(value);
        }
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn ids_are_parsed_and_written() {
        let id = EntryId {
            milliseconds: 17,
            number: 2,
        };
        assert_eq!(EntryId::parse(b"17-2"), Some(id));
        assert_eq!(id.to_string(), "17-2");
        for wrong in [
            "",
            "17",
            "17-",
            "-2",
            "a-b",
            "17-2-3",
            "18446744073709551616-0",
        ] {
            assert_eq!(EntryId::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(id > EntryId::parse(b"9-9").expect("an id"));
        assert_eq!(id.before(20), EntryId::default());
    }

    #[test]
    fn other_fields_and_deleted_entries_are_ignored() {
        let fields = ["n", "one", "x", "y", NAME, "two", BATCH, "bytes", "odd"].map(bulk);
        let entry = Value::Array(vec![bulk("1-0"), Value::Array(fields.to_vec())]);
        let deleted = Value::Array(vec![bulk("2-0"), Value::Nil]);
        let reply = Value::Array(vec![Value::Array(vec![
            bulk("key"),
            Value::Array(vec![entry, deleted]),
        ])]);
        let found = streams(reply).expect("a reply");
        let [(key, entries)] = &found[..] else {
            panic!("one stream");
        };
        assert_eq!(key, b"key");
        assert_eq!(entries[0].batch, b"bytes");
        assert_eq!(entries[0].name.as_deref(), Some(&b"two"[..]));
        assert_eq!(entries[1].batch, b"");

        assert_eq!(streams(Value::Nil), Some(Vec::new()));
        for wrong in [Value::Okay, Value::Array(vec![Value::Int(1)])] {
            assert_eq!(streams(wrong.clone()), None);
            assert_eq!(super::entries(wrong), None);
        }
    }
}
