//! Lines of a file of keys: `KEY [EXPIRY] [LABEL]`.

use super::{Expiry, KeyText, KeyTextError, ParseExpiryError};

/// Maximum length of a label in bytes.
pub const MAX_LABEL_BYTES: usize = 64;

/// A line with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLine<'a> {
    /// The key.
    pub key: KeyText,
    /// When it expires; `None` for never.
    pub expiry: Option<Expiry>,
    /// Whose key it is; may be empty.
    pub label: Label<'a>,
}

/// Whose key it is: a user's name or number, or any other text without control characters
/// and `#`, in at most [`MAX_LABEL_BYTES`] bytes; or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Label<'a>(&'a str);

/// What is wrong with a line. The messages do not contain the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line does not begin with a key.
    #[error("{0}")]
    Key(#[from] KeyTextError),
    /// What follows the key begins like a date, but is none.
    #[error("the date after the key: {0}")]
    Expiry(#[from] ParseExpiryError),
    /// The label is invalid.
    #[error("the label: {0}")]
    Label(#[from] LabelError),
}

/// Why a text is not a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// It is too long.
    #[error("it has {length} bytes; expected at most {MAX_LABEL_BYTES}")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// It contains a control character, such as a tab, or `#`.
    #[error("it contains a control character, a line break or #")]
    Character,
    /// It would be taken for a date, or for nothing.
    #[error("it must neither begin with a year and - nor begin or end with a space")]
    Form,
}

impl<'a> KeyLine<'a> {
    /// Parses a line, with or without its line end; `None` if it is blank or a comment,
    /// which begins with `#`, also behind a key.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(line: &'a [u8]) -> Result<Option<Self>, LineError> {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let (key, rest) = first_word(line);
        if key.is_empty() {
            return Ok(None);
        }
        let key = KeyText::new(key)?;
        let (word, after) = first_word(rest);
        let (expiry, label) = if begins_like_date(word) {
            let word = str::from_utf8(word).map_err(|_| ParseExpiryError::Form)?;
            (Some(word.parse()?), after)
        } else {
            (None, rest)
        };
        let label = str::from_utf8(label.trim_ascii()).map_err(|_| LabelError::NotUtf8)?;
        Ok(Some(Self {
            key,
            expiry,
            label: Label::new(label)?,
        }))
    }
}

impl<'a> Label<'a> {
    /// Checks a label.
    ///
    /// # Errors
    ///
    /// Why a line cannot have this label.
    pub fn new(text: &'a str) -> Result<Self, LabelError> {
        let length = text.len();
        if length > MAX_LABEL_BYTES {
            return Err(LabelError::Length { length });
        }
        if text
            .chars()
            .any(|character| character.is_control() || character == '#')
        {
            return Err(LabelError::Character);
        }
        if begins_like_date(text.as_bytes()) || text.trim_ascii().len() != length {
            return Err(LabelError::Form);
        }
        Ok(Self(text))
    }

    /// The text; empty without a label.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// Whether a text begins with a year and `-`.
fn begins_like_date(text: &[u8]) -> bool {
    matches!(text, [a, b, c, d, b'-', ..] if [a, b, c, d].iter().all(|it| it.is_ascii_digit()))
}

/// The first word of a line, and what follows it.
fn first_word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace);
    line.split_at(end.unwrap_or(line.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn parse(line: &str) -> (Option<String>, String) {
        let line = KeyLine::parse(line.as_bytes()).unwrap().unwrap();
        assert_eq!(line.key.as_bytes(), KEY.as_bytes());
        let expiry = line.expiry.map(|expiry| expiry.to_string());
        (expiry, line.label.as_str().to_owned())
    }

    #[test]
    fn reads_what_operators_write() {
        let none = || None;
        let day = || Some("2027-01-31".to_owned());
        for (rest, expiry, label) in [
            ("", none(), ""),
            ("\r\n", none(), ""),
            (" alice", none(), "alice"),
            ("\talice's seedbox, 2nd\n", none(), "alice's seedbox, 2nd"),
            (" 2027-01-31", day(), ""),
            ("  2027-01-31\t 1234  # until the party", day(), "1234"),
            (" 2027-01-31T00:00:00Z Zoë #", day(), "Zoë"),
            (" 1234 2027-01-31", none(), "1234 2027-01-31"),
            (" 12345-6", none(), "12345-6"),
        ] {
            assert_eq!(
                parse(&format!("{KEY}{rest}")),
                (expiry.clone(), label.to_owned())
            );
            assert_eq!(
                parse(&format!(" \t{KEY}{rest}")),
                (expiry, label.to_owned())
            );
        }
        for blank in ["", "\n", " \r\n", "# a comment", "  # another"] {
            assert_eq!(KeyLine::parse(blank.as_bytes()), Ok(None));
        }
    }

    #[test]
    fn says_what_is_wrong_without_the_key() {
        let error = |line: &[u8]| KeyLine::parse(line).unwrap_err().to_string();
        let with = |rest: &str| error(format!("{KEY}{rest}").as_bytes());
        assert!(error(b"0123456789abcde alice").starts_with("the key has 15 characters"));
        assert!(error(b"0123456789abcd=f").starts_with("character 15 of the key"));
        assert_eq!(
            with(" 2027-02-30 x"),
            "the date after the key: there is no such day"
        );
        assert!(with(" 2027-1-1").starts_with("the date after the key: expected a date"));
        assert!(with(&format!(" {}", "x".repeat(65))).starts_with("the label: it has 65 bytes"));
        assert!(with(" a\tb").contains("control character"));
        assert!(with(" a\u{85}b").contains("control character"));
        assert_eq!(
            error(b"0123456789abcdef \xff"),
            "the label: it is not UTF-8"
        );
        for line in [
            format!("{KEY} 2027-02-30"),
            format!("{KEY}. x"),
            format!("{KEY} a\tb"),
        ] {
            assert!(!error(line.as_bytes()).contains(KEY));
        }
    }

    #[test]
    fn labels_that_a_line_cannot_have() {
        for label in ["a#b", "a\nb", " a", "a ", "2027-", "2027-01-31"] {
            assert!(Label::new(label).is_err(), "{label:?}");
        }
        assert_eq!(Label::new("").unwrap(), Label::default());
    }

    proptest! {
        #[test]
        fn any_line_ends(line: Vec<u8>) {
            let _ = KeyLine::parse(&line);
        }

        #[test]
        fn any_label_comes_back(label: String, seconds: Option<u32>) {
            if let Ok(valid) = Label::new(&label) {
                let expiry = seconds.map(Expiry::at);
                let text = expiry.map_or_else(String::new, |expiry| expiry.to_string());
                let line = format!("{KEY} {text} {label}\n");
                let line = KeyLine::parse(line.as_bytes()).unwrap().unwrap();
                prop_assert_eq!((line.expiry, line.label), (expiry, valid));
            }
        }
    }
}
