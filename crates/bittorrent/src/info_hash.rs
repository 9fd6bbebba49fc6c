//! Info hashes, which identify torrents.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The 20 bytes that identify a torrent: the SHA-1 hash of its info dictionary (BEP 3), or
/// the first 20 bytes of its SHA-256 hash (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// Why a text is not an info hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseInfoHashError {
    /// The text has neither 40 nor 64 characters.
    #[error("expected 40 hexadecimal digits (or 64, for version 2), found {0} characters")]
    Length(usize),
    /// The character at this position, counted from 1, is not a hexadecimal digit.
    #[error("character {0} is not a hexadecimal digit")]
    Digit(usize),
}

impl FromStr for InfoHash {
    type Err = ParseInfoHashError;

    /// Parses 40 hexadecimal digits, or 64 of which only the first 40 are used (BEP 52,
    /// "the truncated infohash").
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count = text.chars().count();
        if count != 40 && count != 64 {
            return Err(ParseInfoHashError::Length(count));
        }

        let mut digits = [0u8; 64];
        for (index, character) in text.chars().enumerate() {
            let digit = character
                .to_digit(16)
                .ok_or(ParseInfoHashError::Digit(index + 1))?;
            // A hexadecimal digit is below 16, so it fits.
            digits[index] = digit as u8;
        }

        let mut bytes = [0u8; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

impl InfoHash {
    /// The bytes as numbers that are ordered as the bytes are.
    const fn in_order(&self) -> (u128, u32) {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, last @ ..] = self.0;
        let first = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
        (u128::from_be_bytes(first), u32::from_be_bytes(last))
    }
}

/// Ordered by their bytes.
impl Ord for InfoHash {
    // Comparing numbers takes less than the call of `memcmp` that a derived implementation
    // makes, for instance at each step of a binary search.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.in_order().cmp(&other.in_order())
    }
}

impl PartialOrd for InfoHash {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789ABCDEF01234567";

    #[test]
    fn reads_both_versions_and_both_cases() {
        let hash: InfoHash = HEX.parse().unwrap();
        assert_eq!(hash.to_string(), HEX.to_lowercase());

        let long = format!("{HEX}{}", "f".repeat(24));
        assert_eq!(long.parse(), Ok(hash));
    }

    #[test]
    fn are_ordered_by_their_bytes() {
        let with = |place: usize, byte: u8| {
            let mut bytes = [7; 20];
            bytes[place] = byte;
            bytes
        };
        let all: Vec<[u8; 20]> = (0..20)
            .flat_map(|place| [with(place, 6), with(place, 7), with(place, 200)])
            .collect();
        for first in &all {
            for second in &all {
                assert_eq!(InfoHash(*first).cmp(&InfoHash(*second)), first.cmp(second));
            }
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let parse = |text: &str| text.parse::<InfoHash>().unwrap_err();

        assert_eq!(parse(""), ParseInfoHashError::Length(0));
        assert_eq!(parse(&HEX[1..]), ParseInfoHashError::Length(39));
        assert_eq!(parse(&HEX.replace('4', "g")), ParseInfoHashError::Digit(5));
        assert_eq!(parse(&HEX.replace('5', "é")), ParseInfoHashError::Digit(6));
    }
}
