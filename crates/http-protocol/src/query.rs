//! Queries of URLs: parameters and their unescaped values.

use memchr::memchr;

/// An error in a query. The messages are for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// A parameter is missing, or has no value.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An info hash or a peer id does not have 20 bytes.
    #[error("{name} has {length} bytes instead of 20")]
    Length {
        /// The parameter.
        name: &'static str,
        /// Its unescaped length.
        length: usize,
    },
    /// A percent sign is not followed by two hexadecimal digits.
    #[error("{0} has a percent sign without two hexadecimal digits after it")]
    Escape(&'static str),
    /// An address is something else, or of another family.
    #[error("{0} is not such an address; names are not resolved")]
    Address(&'static str),
    /// The port is not a number, or too large.
    #[error("port is not a number from 1 to 65535")]
    Port,
    /// A scrape without info hashes, which other trackers answer for all torrents.
    #[error("full scrapes are not served: info_hash is missing")]
    FullScrape,
}

/// A parameter of a query, not unescaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter<'a> {
    pub(crate) name: &'a [u8],
    /// Empty if there is no `=`.
    pub(crate) value: &'a [u8],
}

/// An iterator over the parameters of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Parameters<'a> {
    #[inline]
    pub(crate) fn of(query: &'a [u8]) -> Self {
        Self { rest: query }
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Parameter<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (parameter, rest) = match memchr(b'&', self.rest) {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &self.rest[self.rest.len()..]),
            };
            self.rest = rest;
            if parameter.is_empty() {
                continue;
            }
            // Names are short, so a simple search is fast.
            let end = parameter.iter().position(|&byte| byte == b'=');
            return Some(match end {
                Some(end) => Parameter {
                    name: &parameter[..end],
                    value: &parameter[end + 1..],
                },
                None => Parameter {
                    name: parameter,
                    value: &[],
                },
            });
        }
        None
    }
}

/// Maximum length of a value in [`Short`]: enough for any number and event.
const SHORT_LENGTH: usize = 24;

/// A short unescaped value.
pub(crate) struct Short {
    bytes: [u8; SHORT_LENGTH],
    length: usize,
}

impl Short {
    /// Returns `None` if the value is longer or has an invalid escape: then it is neither a
    /// number nor a known word.
    pub(crate) fn unescape(value: &[u8]) -> Option<Self> {
        let (bytes, length) = unescape_short(value)?;
        Some(Self { bytes, length })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Parses a number without a sign; if it is too large, returns the maximum.
    pub(crate) fn number(&self) -> Option<u64> {
        let digits = self.as_bytes();
        if digits.is_empty() {
            return None;
        }
        let mut number = 0_u64;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'));
        }
        Some(number)
    }
}

/// Unescapes a value of up to `N` bytes; returns them and their number.
#[inline]
pub(crate) fn unescape_short<const N: usize>(value: &[u8]) -> Option<([u8; N], usize)> {
    let mut bytes = [0; N];
    let mut length = 0;
    for byte in Unescaped(value) {
        *bytes.get_mut(length)? = byte.ok()?;
        length += 1;
    }
    Some((bytes, length))
}

/// Unescapes the 20 bytes of parameter `name`.
#[inline]
pub(crate) fn unescape_20(name: &'static str, value: &[u8]) -> Result<[u8; 20], QueryFault> {
    let mut bytes = [0; 20];
    let mut length = 0;
    for byte in Unescaped(value) {
        let Ok(byte) = byte else {
            return Err(QueryFault::Escape(name));
        };
        if let Some(place) = bytes.get_mut(length) {
            *place = byte;
        }
        length += 1;
    }
    match length {
        20 => Ok(bytes),
        0 => Err(QueryFault::Missing(name)),
        _ => Err(QueryFault::Length { name, length }),
    }
}

/// Whether the unescaped name is `wanted`. Clients do not escape names that need no
/// escapes, but the standard says that the meaning is the same.
#[cold]
pub(crate) fn is_escaped_name(name: &[u8], wanted: &[u8]) -> bool {
    let mut wanted = wanted.iter();
    Unescaped(name).all(|byte| byte.is_ok_and(|byte| wanted.next() == Some(&byte)))
        && wanted.next().is_none()
}

/// An iterator over the unescaped bytes of a value.
///
/// A plus is a space, as in forms: trackers written in PHP, Python, Go and JavaScript
/// decode it so, so no client can rely on another meaning. Bytes that should have been
/// escaped are taken as they are.
struct Unescaped<'a>(&'a [u8]);

/// A percent sign without two hexadecimal digits.
#[derive(Debug)]
struct BadEscape;

impl Iterator for Unescaped<'_> {
    type Item = Result<u8, BadEscape>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match byte {
            b'%' => match rest {
                [high, low, rest @ ..] => {
                    self.0 = rest;
                    let digits = [high, low].map(|digit| HEX_DIGITS[usize::from(*digit)]);
                    let [high, low] = digits;
                    if (high | low) < 16 {
                        Ok(high << 4 | low)
                    } else {
                        Err(BadEscape)
                    }
                }
                _ => {
                    self.0 = &[];
                    Err(BadEscape)
                }
            },
            b'+' => Ok(b' '),
            other => Ok(other),
        })
    }
}

/// The value of each byte as a hexadecimal digit; 255 if it is none.
static HEX_DIGITS: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// Appends `bytes`, escaped except for letters, digits and `-._~` (RFC 3986, "unreserved").
pub fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let (high, low) = (byte >> 4, byte & 15);
            out.extend([b'%', DIGITS[usize::from(high)], DIGITS[usize::from(low)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parameters(query: &[u8]) -> Vec<(&[u8], &[u8])> {
        Parameters::of(query)
            .map(|parameter| (parameter.name, parameter.value))
            .collect()
    }

    #[test]
    fn splits_a_query() {
        assert_eq!(
            parameters(b"a=1&b&&c==2=&=d&e="),
            [
                (&b"a"[..], &b"1"[..]),
                (b"b", b""),
                (b"c", b"=2="),
                (b"", b"d"),
                (b"e", b""),
            ]
        );
        assert!(parameters(b"").is_empty());
        assert!(parameters(b"&&").is_empty());
    }

    #[test]
    fn reads_every_way_to_write_20_bytes() {
        let read = |value: &[u8]| unescape_20("info_hash", value);
        assert_eq!(read(b"abcdefghijklmnopqrst"), Ok(*b"abcdefghijklmnopqrst"));
        assert_eq!(
            read(b"%ab%AB%aB+%2b%20%00%ffxxxxxxxxxxxx"),
            Ok(*b"\xab\xab\xab +\x20\x00\xffxxxxxxxxxxxx")
        );
        assert_eq!(
            read(b"\x80\xff\x01=?/#;\"{}xxxxxxxxx"),
            Ok(*b"\x80\xff\x01=?/#;\"{}xxxxxxxxx")
        );
    }

    #[test]
    fn says_what_is_wrong_with_20_bytes() {
        let fault = |value: &[u8]| unescape_20("info_hash", value).unwrap_err().to_string();
        assert_eq!(fault(b""), "info_hash is missing");
        assert_eq!(fault(b"%20"), "info_hash has 1 bytes instead of 20");
        assert_eq!(fault(&[b'a'; 40]), "info_hash has 40 bytes instead of 20");
        let escape = "info_hash has a percent sign without two hexadecimal digits after it";
        assert_eq!(fault(b"%"), escape);
        assert_eq!(fault(b"abc%2"), escape);
        assert_eq!(fault(b"%g0xxxxxxxxxxxxxxxxxxx"), escape);
        assert_eq!(fault(b"%0gxxxxxxxxxxxxxxxxxxx"), escape);
    }

    #[test]
    fn numbers() {
        let number = |value: &[u8]| Short::unescape(value).and_then(|short| short.number());
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"0065535"), Some(65_535));
        assert_eq!(number(b"%36%388%31"), Some(6_881));
        assert_eq!(number(b"99999999999999999999"), Some(u64::MAX));
        for none in [&b""[..], b"-1", b"1.5", b"0x10", b"+1", b"%", &[b'1'; 25]] {
            assert_eq!(number(none), None, "{none:?}");
        }
    }

    #[test]
    fn escaped_names() {
        assert!(is_escaped_name(b"info%5fhash", b"info_hash"));
        assert!(is_escaped_name(b"%69nfo%5Fhash", b"info_hash"));
        assert!(!is_escaped_name(b"info%5fhas", b"info_hash"));
        assert!(!is_escaped_name(b"info%5fhashe", b"info_hash"));
        assert!(!is_escaped_name(b"info_hash%", b"info_hash"));
    }

    proptest! {
        #[test]
        fn any_20_bytes_come_back(bytes: [u8; 20]) {
            let mut escaped = Vec::new();
            write_escaped(&mut escaped, &bytes);
            prop_assert_eq!(unescape_20("info_hash", &escaped), Ok(bytes));
            let lower = String::from_utf8(escaped).unwrap().replace("%A", "%a");
            prop_assert_eq!(unescape_20("info_hash", lower.as_bytes()), Ok(bytes));
        }
    }
}
