//! Fields of a rejected request that the reply repeats.

use super::name::Name;
use crate::json::{Begun, Malformed, Reader};
use crate::text::write_string;

/// Maximum length of JSON that is repeated unchanged.
const MAX_REPEATED_BYTES: usize = 256;

/// Maximum number of characters of a longer string that are repeated.
const MAX_REPEATED_CHARACTERS: usize = 64;

/// Action and info hash of a message in JSON, as they were sent, whatever they are: a
/// client identifies the request by them, and npm's client crashes if an announce is
/// rejected without a string for the info hash.
///
/// Short values are unchanged, long strings are truncated, and nothing is longer than a few
/// hundred bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    action: Option<String>,
    info_hash: Option<String>,
}

impl Sent {
    /// Searches a message for the fields. Those before a syntax error are found as well.
    #[cold]
    #[must_use]
    pub fn of(message: &str) -> Self {
        let mut sent = Self {
            action: None,
            info_hash: None,
        };
        // A syntax error ends the search.
        let _: Result<(), Malformed> = sent.search(message);
        sent
    }

    fn search(&mut self, message: &str) -> Result<(), Malformed> {
        let mut reader = Reader::new(message);
        if reader.begin()? != Begun::Object {
            return Ok(());
        }
        let mut is_first = true;
        // If a name occurs several times, the last value is used, as for requests.
        while let Some(name) = reader.member(is_first)? {
            is_first = false;
            let json = reader.raw()?;
            match Name::of(name) {
                Name::Action => {
                    self.action = bounded(json).filter(|json| json.starts_with('"'));
                }
                Name::InfoHash => self.info_hash = bounded(json),
                _ => {}
            }
        }
        Ok(())
    }

    /// The action, as a JSON string. If it is missing, `announce`, the action of most
    /// messages.
    pub(crate) fn action(&self) -> &str {
        self.action.as_deref().unwrap_or(ANNOUNCE)
    }

    /// The info hash, in JSON. For an announce there always is one, which may be an empty
    /// string.
    pub(crate) fn info_hash(&self) -> Option<&str> {
        match &self.info_hash {
            Some(info_hash) => Some(info_hash),
            None if self.action() == SCRAPE => None,
            None => Some("\"\""),
        }
    }
}

const ANNOUNCE: &str = "\"announce\"";
const SCRAPE: &str = "\"scrape\"";

/// A short value unchanged, or the start of a string; `None` for null, and for long values
/// that are not strings.
fn bounded(json: &str) -> Option<String> {
    if json == "null" {
        return None;
    }
    if json.len() <= MAX_REPEATED_BYTES {
        return Some(json.to_owned());
    }
    let text: String = serde_json::from_str(json).ok()?;
    let start: String = text.chars().take(MAX_REPEATED_CHARACTERS).collect();
    let mut cut = Vec::new();
    write_string(&mut cut, &start);
    String::from_utf8(cut).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn is(message: &str, action: &str, info_hash: Option<&str>) {
        let sent = Sent::of(message);
        assert_eq!(sent.action(), action, "{message}");
        assert_eq!(sent.info_hash(), info_hash, "{message}");
    }

    #[test]
    fn short_values_are_said_again_as_they_are() {
        for value in [
            r#""""#,
            r#""short""#,
            r#""\u00e9\ud800""#,
            "\"łé\"",
            "5",
            "-1e9",
            "true",
            "[]",
            r#"["a", 1]"#,
            r#"{"a":{}}"#,
        ] {
            is(
                &format!(r#"{{"info_hash":{value},"action":"announce"}}"#),
                "\"announce\"",
                Some(value),
            );
            is(
                &format!(r#"{{"action" : "scrape" , "info_hash" : {value} , "x":[]}}"#),
                "\"scrape\"",
                Some(value),
            );
        }
    }

    #[test]
    fn what_is_not_there_is_made_up_for() {
        for message in ["", "[]", "{}", "null", "{", "nonsense", r#"{"action":1}"#] {
            is(message, ANNOUNCE, Some("\"\""));
        }
        is(
            r#"{"action":"announce","info_hash":null}"#,
            ANNOUNCE,
            Some("\"\""),
        );
        is(r#"{"action":"scrape","info_hash":null}"#, SCRAPE, None);
        is(r#"{"action":"dance"}"#, "\"dance\"", Some("\"\""));
        // The message may be truncated.
        is(
            r#"{"action":"announce","info_hash":"abc","left"#,
            ANNOUNCE,
            Some("\"abc\""),
        );
        is(
            r#"{"info_hash":"a","info_hash":"b"}"#,
            ANNOUNCE,
            Some("\"b\""),
        );
    }

    #[test]
    fn long_values_are_cut() {
        let long = "é".repeat(30_000);
        let cut = format!("\"{}\"", "é".repeat(MAX_REPEATED_CHARACTERS));
        is(
            &format!(r#"{{"info_hash":"{long}","action":"{long}"}}"#),
            &cut,
            Some(&cut),
        );
        let list = format!("[{}1]", "1,".repeat(200));
        is(
            &format!(r#"{{"info_hash":{list}}}"#),
            ANNOUNCE,
            Some("\"\""),
        );
        is(
            &format!(r#"{{"info_hash":{list},"action":"scrape"}}"#),
            SCRAPE,
            None,
        );
        let nested = "[".repeat(100_000);
        is(
            &format!(r#"{{"info_hash":{nested}"#),
            ANNOUNCE,
            Some("\"\""),
        );
    }

    proptest! {
        #[test]
        fn any_message_has_a_bounded_action_and_hash(message in ".*") {
            let sent = Sent::of(&message);
            prop_assert!(sent.action().len() <= MAX_REPEATED_BYTES.max(6 * MAX_REPEATED_CHARACTERS + 2));
            prop_assert!(sent.info_hash().is_some());
        }
    }
}
