//! JSON strings that encode bytes.
//!
//! WebTorrent writes info hashes, peer ids and offer ids as strings in which each character
//! encodes one byte: U+0000 to U+00FF.

/// Decodes `text`; `None` if it does not have `N` characters, or if a character is above
/// U+00FF.
#[inline]
pub(crate) fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // Only ASCII strings have as many bytes as characters.
    if text.len() == N && text.is_ascii() {
        bytes.copy_from_slice(text.as_bytes());
        return Some(bytes);
    }
    let mut characters = text.chars();
    for byte in &mut bytes {
        *byte = u8::try_from(characters.next()?).ok()?;
    }
    characters.next().is_none().then_some(bytes)
}

/// Maximum length of an encoded byte: that of an escape.
const MAX_WRITTEN: usize = 6;

/// The encoding of each byte, and its length.
static WRITTEN: [([u8; MAX_WRITTEN], u8); 256] = written();

const fn written() -> [([u8; MAX_WRITTEN], u8); 256] {
    const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
    let mut table = [([0; MAX_WRITTEN], 0); 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        table[byte] = match value {
            b'"' | b'\\' => ([b'\\', value, 0, 0, 0, 0], 2),
            // RFC 8259, 7: "the control characters (U+0000 through U+001F)"
            // must be escaped.
            0..0x20 => {
                let tens = HEXADECIMAL[(value >> 4) as usize];
                let ones = HEXADECIMAL[(value & 15) as usize];
                ([b'\\', b'u', b'0', b'0', tens, ones], 6)
            }
            0x20..0x80 => ([value, 0, 0, 0, 0, 0], 1),
            // UTF-8 of two bytes.
            0x80.. => ([0xc0 | value >> 6, 0x80 | value & 0x3f, 0, 0, 0, 0], 2),
        };
        byte += 1;
    }
    table
}

/// Appends a string that encodes 20 bytes, with its quotes.
#[inline]
pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8; 20]) {
    // Encoded on the stack, so that the capacity of `out` is checked only once.
    let mut buffer = [0; 20 * MAX_WRITTEN + 2];
    buffer[0] = b'"';
    let mut length = 1;
    for &byte in bytes {
        let (written, count) = &WRITTEN[usize::from(byte)];
        buffer[length..length + MAX_WRITTEN].copy_from_slice(written);
        length += usize::from(*count);
    }
    buffer[length] = b'"';
    out.extend_from_slice(&buffer[..=length]);
}

/// Appends a string, with its quotes.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        // Bytes of other characters are written unchanged.
        if byte.is_ascii() {
            let (written, count) = &WRITTEN[usize::from(byte)];
            out.extend_from_slice(&written[..usize::from(*count)]);
        } else {
            out.push(byte);
        }
    }
    out.push(b'"');
}

/// Appends a decimal number.
#[inline]
pub(crate) fn write_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_characters_and_not_bytes() {
        assert_eq!(bytes_of(""), Some([]));
        assert_eq!(bytes_of("aÿ\0"), Some([b'a', 0xff, 0]));
        assert_eq!(bytes_of("éé"), Some([0xe9, 0xe9]));
        assert_eq!(bytes_of::<3>("ab"), None);
        assert_eq!(bytes_of::<3>("abcd"), None);
        assert_eq!(bytes_of::<3>("éé"), None);
        assert_eq!(bytes_of::<2>("aé€"), None);
        assert_eq!(bytes_of::<2>("aĀ"), None);
        assert_eq!(bytes_of::<1>("😀"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in any::<[u8; 20]>()) {
            let mut out = Vec::new();
            write_bytes(&mut out, &bytes);
            let text: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(bytes_of(&text), Some(bytes));
        }

        #[test]
        fn strings_are_read_as_they_were(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
