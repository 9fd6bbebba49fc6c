//! Strings of JSON.

use std::borrow::Cow;

use wide::u8x16;

use super::Malformed;

/// How many bytes are searched at a time: 64 took as long for descriptions, and longer for
/// names.
const BLOCK: usize = 16;

/// A string between its quotes, with its escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    encoded: &'a str,
    has_escapes: bool,
}

impl<'a> Text<'a> {
    /// Reads a string up to its last quote. `rest` begins after its first one.
    #[inline]
    pub(super) fn read(rest: &'a str) -> Result<Self, Malformed> {
        let bytes = rest.as_bytes();
        let mut has_escapes = false;
        let mut start = 0;
        // Each round consumes a block, or ends it in an escape that reaches into the next one.
        'blocks: loop {
            let mut special = special_bytes(&bytes[start..]);
            while special != 0 {
                let offset = special.trailing_zeros() as usize;
                let at = start + offset;
                match bytes.get(at) {
                    Some(b'"') => {
                        let encoded = &rest[..at];
                        return Ok(Self {
                            encoded,
                            has_escapes,
                        });
                    }
                    Some(b'\\') => {
                        has_escapes = true;
                        let end = offset + escape_length(&bytes[at + 1..])?;
                        if end >= BLOCK {
                            start += end;
                            continue 'blocks;
                        }
                        special &= u32::MAX << end;
                    }
                    // Control characters have to be escaped.
                    _ => return Err(Malformed),
                }
            }
            start += BLOCK;
        }
    }

    /// As it is written, without quotes.
    #[inline]
    pub(crate) fn encoded(self) -> &'a str {
        self.encoded
    }

    /// Its characters; `None` if they are not Unicode: half of a surrogate pair.
    #[inline]
    pub(crate) fn decoded(self) -> Option<Cow<'a, str>> {
        if self.has_escapes {
            decode(self.encoded).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(self.encoded))
        }
    }

    /// The bytes that its characters stand for, if it has `N`, and each is below 256.
    ///
    /// JavaScript's "binary strings" have a character for each byte.
    #[inline]
    pub(crate) fn bytes<const N: usize>(self) -> Option<[u8; N]> {
        let mut rest = self.encoded.as_bytes();
        let mut bytes = [0; N];
        for byte in &mut bytes {
            let (&first, after) = rest.split_first()?;
            if first == b'\\' {
                (*byte, rest) = unescape(after)?;
                continue;
            }
            // The first byte of U+0100 and what follows.
            if first > 0xc3 {
                return None;
            }
            // Random bytes would be mispredicted, so there is no branch for them. From U+0080
            // on, a character has two bytes of UTF-8.
            let has_second = first >= 0x80;
            let second = after.first().copied().unwrap_or(0);
            *byte = if has_second {
                first << 6 | second & 0x3f
            } else {
                first
            };
            rest = &rest[1 + usize::from(has_second)..];
        }
        rest.is_empty().then_some(bytes)
    }
}

/// A bit for each byte of the next block that ends a string or has a meaning in it, the first
/// one the lowest. A string that has no end gets one there that is an error.
#[inline]
fn special_bytes(bytes: &[u8]) -> u32 {
    let block = match bytes.first_chunk::<BLOCK>() {
        Some(block) => *block,
        None => {
            // A control character, so that a string without an end has an error.
            let mut block = [0; BLOCK];
            block[..bytes.len()].copy_from_slice(bytes);
            block
        }
    };
    let block = u8x16::new(block);
    let quote = block.simd_eq(u8x16::splat(b'"'));
    let backslash = block.simd_eq(u8x16::splat(b'\\'));
    let control = block.simd_lt(u8x16::splat(b' '));
    (quote | backslash | control).to_bitmask()
}

/// The length of an escape with its backslash, after which `rest` begins.
#[inline]
fn escape_length(rest: &[u8]) -> Result<usize, Malformed> {
    match *rest {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(2),
        [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => Ok(6),
        _ => Err(Malformed),
    }
}

/// The byte that an escape stands for, and what follows; `None` if its character is above
/// U+00FF. `escaped` begins after the backslash.
#[inline]
fn unescape(escaped: &[u8]) -> Option<(u8, &[u8])> {
    match *escaped {
        [b'u', b'0', b'0', tens, ones, ref rest @ ..] => {
            let byte = 16 * hex_digit(tens)? + hex_digit(ones)?;
            Some((byte, rest))
        }
        [b'u', ..] => None,
        [short, ref rest @ ..] => {
            let byte = match short {
                b'b' => 8,
                b't' => b'\t',
                b'n' => b'\n',
                b'f' => 12,
                b'r' => b'\r',
                other => other,
            };
            Some((byte, rest))
        }
        [] => None,
    }
}

#[inline]
fn hex_digit(digit: u8) -> Option<u8> {
    // Below 16.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Rarely needed: names and words have no escapes.
#[cold]
fn decode(encoded: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{encoded}\"")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::text::write_bytes;

    /// Reads a string and what follows, with quotes.
    fn read(quoted: &str) -> Result<Text<'_>, Malformed> {
        Text::read(quoted.strip_prefix('"').ok_or(Malformed)?)
    }

    #[test]
    fn characters_are_bytes() {
        let bytes = |quoted| read(quoted).unwrap().bytes::<3>();
        assert_eq!(bytes(r#""abc""#), Some(*b"abc"));
        assert_eq!(bytes("\"éÿ\u{80}\""), Some([0xe9, 0xff, 0x80]));
        assert_eq!(bytes(r#""\u00e9\u00FF\u0000""#), Some([0xe9, 0xff, 0]));
        assert_eq!(bytes(r#""\"\\\/""#), Some(*b"\"\\/"));
        assert_eq!(bytes(r#""\b\f\t""#), Some([8, 12, 9]));
        assert_eq!(bytes(r#""\r\nu""#), Some(*b"\r\nu"));
        for wrong in [
            r#""""#,
            r#""ab""#,
            r#""abcd""#,
            r#""abĀ""#,
            r#""ab\u0100""#,
            r#""ab\ud800""#,
            r#""ab😀""#,
        ] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn halves_of_pairs_are_no_characters() {
        assert_eq!(read(r#""\ud800""#).unwrap().decoded(), None);
        assert_eq!(
            read(r#""\ud83d\ude00""#).unwrap().decoded().as_deref(),
            Some("😀")
        );
    }

    /// Parts of strings, valid and not, at all positions of a block and across its end.
    fn parts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            8 => "[a-zé😀 ]{1,40}",
            4 => r#"\\["\\/bfnrt]"#,
            2 => r"\\u[0-9a-fA-F]{4}",
            1 => r#"\\[ux"]?[0-9a-g]{0,3}"#,
            1 => "\"",
            1 => "[\u{0}-\u{1f}]",
        ];
        vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn strings_end_where_others_say(content in parts(), rest in "\"?.{0,80}") {
            let text = format!("{content}{rest}");
            let quoted = format!("\"{text}");
            let mut stream = serde_json::Deserializer::from_str(&quoted)
                .into_iter::<&serde_json::value::RawValue>();
            let expected = stream.next().unwrap().map(|raw| raw.get());
            match (Text::read(&text), expected) {
                (Ok(text), Ok(raw)) => {
                    prop_assert_eq!(text.encoded(), &raw[1..raw.len() - 1]);
                    prop_assert_eq!(text.has_escapes, raw.contains('\\'));
                    let decoded = serde_json::from_str::<String>(raw).ok();
                    prop_assert_eq!(text.decoded().map(Cow::into_owned), decoded);
                }
                (ours, expected) => {
                    prop_assert!(ours.is_err() && expected.is_err(), "{:?} {:?}", ours, expected);
                }
            }
        }

        #[test]
        fn what_is_written_is_read(bytes: [u8; 20], rest in ".{0,80}") {
            let mut written = Vec::new();
            write_bytes(&mut written, &bytes);
            let written = String::from_utf8(written).unwrap() + &rest;
            prop_assert_eq!(read(&written).unwrap().bytes(), Some(bytes));
        }

        #[test]
        fn bytes_are_those_of_the_decoded_string(content in r#"([a-cÿé]|\\[bn/u]|00|e9|0100){0,4}"#) {
            if let Ok(text) = read(&format!("\"{content}\"")) {
                let decoded = text.decoded().and_then(|text| crate::text::bytes_of::<3>(&text));
                prop_assert_eq!(text.bytes::<3>(), decoded);
            }
        }
    }
}
