//! Keys as text.

use std::fmt;

/// Minimum number of characters of a key: 96 bits, if all of them are random.
pub const MIN_KEY_LENGTH: usize = 16;

/// Maximum number of characters of a key.
pub const MAX_KEY_LENGTH: usize = 64;

/// A key as its client sends it: 16 to 64 characters of `A-Z`, `a-z`, `0-9`, `-` and `_`,
/// none of which needs an escape in a URL. Case matters.
///
/// Keys are secrets, so this has no `Display`, and its `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyText {
    bytes: [u8; MAX_KEY_LENGTH],
    length: u8,
}

/// Why a text is not a key. The messages do not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// It is too short or too long.
    #[error(
        "the key has {length} characters; expected {MIN_KEY_LENGTH} to {MAX_KEY_LENGTH}, such as \
         32 hexadecimal digits"
    )]
    Length {
        /// The number of bytes.
        length: usize,
    },
    /// It contains something else.
    #[error("character {position} of the key is none of A-Z, a-z, 0-9, - and _")]
    Character {
        /// The position, from 1.
        position: usize,
    },
}

impl KeyText {
    /// The key with these characters.
    ///
    /// # Errors
    ///
    /// If it is too short or too long, or has other characters.
    pub fn new(text: &[u8]) -> Result<Self, KeyTextError> {
        let length = text.len();
        if !(MIN_KEY_LENGTH..=MAX_KEY_LENGTH).contains(&length) {
            return Err(KeyTextError::Length { length });
        }
        if let Some(index) = text.iter().position(|&byte| !is_allowed(byte)) {
            let position = index + 1;
            return Err(KeyTextError::Character { position });
        }
        let mut bytes = [0; MAX_KEY_LENGTH];
        bytes[..length].copy_from_slice(text);
        Ok(Self {
            bytes,
            // At most `MAX_KEY_LENGTH`.
            length: length as u8,
        })
    }

    /// The key that is written like this in a URL, perhaps with escapes (RFC 3986, 2.1),
    /// which it does not need.
    #[must_use]
    pub fn unescape(escaped: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_KEY_LENGTH];
        let mut length = 0;
        let mut rest = escaped;
        while let Some((&byte, after)) = rest.split_first() {
            let (byte, after) = match (byte, after) {
                (b'%', [high, low, after @ ..]) => {
                    (hex_digit(*high)? << 4 | hex_digit(*low)?, after)
                }
                _ => (byte, after),
            };
            *bytes.get_mut(length)? = byte;
            length += 1;
            rest = after;
        }
        Self::new(&bytes[..length]).ok()
    }

    /// Its characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({} characters)", self.length)
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_of_these_characters() {
        for text in ["0123456789abcdef", "AZaz09-_AZaz09-_", &"k".repeat(64)] {
            assert_eq!(
                KeyText::new(text.as_bytes()).unwrap().as_bytes(),
                text.as_bytes()
            );
        }
        for (text, message) in [
            (
                "0123456789abcde",
                "the key has 15 characters; expected 16 to 64",
            ),
            (&"k".repeat(65), "the key has 65 characters"),
            ("", "the key has 0 characters"),
            ("0123456789abcde.", "character 16 of the key is none of"),
            ("/123456789abcdef", "character 1 of the key is none of"),
        ] {
            let error = KeyText::new(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn escapes_are_decoded() {
        let plain = KeyText::new(b"0123456789abcd-_").unwrap();
        let unescape = |text: &str| KeyText::unescape(text.as_bytes());
        assert_eq!(unescape("0123456789abcd-_"), Some(plain));
        assert_eq!(unescape("%30123456789abcd%2D%5f"), Some(plain));
        let all: String = plain
            .as_bytes()
            .iter()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        assert_eq!(unescape(&all), Some(plain));
        for wrong in [
            "",
            "0123456789abcd%",
            "0123456789abcdef%2",
            "0123456789abcdef%g0",
        ] {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
        assert_eq!(unescape("0123456789abcdef%2F"), None);
        assert_eq!(unescape(&"%30".repeat(65)), None);
        assert!(unescape(&"%30".repeat(64)).is_some());
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = KeyText::new(b"0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "KeyText(16 characters)");
    }
}
