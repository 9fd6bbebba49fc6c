//! Lists of texts that are parsed.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A list of texts, each of which is parsed as a `T`. All errors are reported together, one
/// per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts<T> {
    /// The texts as written in the file.
    written: Vec<String>,
    meant: Vec<T>,
}

impl<T: FromStr<Err: fmt::Display>> Texts<T> {
    /// Parses the texts.
    ///
    /// # Errors
    ///
    /// All errors, one per line.
    pub fn new(written: Vec<String>) -> Result<Self, String> {
        let meant = all(written.iter().map(|text| text.parse()))?;
        Ok(Self { written, meant })
    }
}

/// All values, or all errors, one per line.
pub(super) fn all<T, E: fmt::Display>(
    results: impl Iterator<Item = Result<T, E>>,
) -> Result<Vec<T>, String> {
    let mut values = Vec::new();
    let mut lines = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => lines.push(error.to_string().replace('\n', " ")),
        }
    }
    match lines.is_empty() {
        true => Ok(values),
        false => Err(lines.join("\n")),
    }
}

impl<T> Default for Texts<T> {
    fn default() -> Self {
        Self {
            written: Vec::new(),
            meant: Vec::new(),
        }
    }
}

impl<T> Deref for Texts<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.meant
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Texts<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<T> Serialize for Texts<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

#[cfg(feature = "schema")]
impl<T> schemars::JsonSchema for Texts<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Texts".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "array", "items": { "type": "string" } })
    }
}
