//! Identifies client software by peer ids (BEP 20).
//!
//! A peer id starts with the client's name, encoded in one of several conventions; the rest
//! is random. Nothing verifies it, so it is only used for statistics. Names are from a
//! table in this crate, so the number of names is limited, whatever peer ids are sent.

use std::fmt;

use crate::PeerId;

mod known;

use known::{AZUREUS_CLIENTS, DASHED_CLIENTS, SHADOW_CLIENTS};

/// The client software that a peer id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    /// Its name as its authors write it: `qBittorrent`.
    pub name: &'static str,
    /// The version, if it follows the convention of the client.
    pub version: Option<Version>,
}

/// The version of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    parts: [u16; MAX_PARTS],
    count: u8,
    notation: Notation,
}

/// The first bytes of a peer id, which distinguish clients that are not in the table.
///
/// Peer ids can be invented, so the number of prefixes is not limited: whoever counts them
/// has to limit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerIdPrefix([u8; PREFIX_LENGTH]);

/// Length of a prefix: that of the longest common convention, `-XX1234-`.
const PREFIX_LENGTH: usize = 8;

/// Maximum number of components in a version.
const MAX_PARTS: usize = 4;

/// How a client uses the four characters of a version in Azureus style, and how its
/// versions are written. The convention leaves both to the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Notation {
    /// Four numbers below 62. The last one is omitted if it is 0 or a letter (which marks
    /// for example a beta version): `4630` is 4.6.3.
    Digits,
    /// Two numbers of two digits: `0155` is 1.55.
    Pairs,
    /// One number, and one of two digits: `2940` is 2.94. Transmission used this before
    /// version 4, which uses digits.
    Transmission,
}

impl Client {
    /// Identifies the client by `peer_id`, if that follows a known convention and the
    /// client is in the table.
    #[must_use]
    pub fn identify(peer_id: &PeerId) -> Option<Self> {
        let bytes = &peer_id.0;
        azureus_style(bytes)
            .or_else(|| dotted_style(bytes))
            .or_else(|| dashed_style(bytes))
            .or_else(|| style_of_their_own(bytes))
            .or_else(|| shadow_style(bytes))
    }
}

/// Name and version, such as `qBittorrent 4.6.3`.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.version
            .map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts().iter().enumerate() {
            match (index, self.notation) {
                (0, _) => write!(f, "{part}")?,
                (_, Notation::Digits) => write!(f, ".{part}")?,
                (_, Notation::Pairs | Notation::Transmission) => write!(f, ".{part:02}")?,
            }
        }
        Ok(())
    }
}

/// The prefix of a peer id.
#[must_use]
pub fn peer_id_prefix(peer_id: &PeerId) -> PeerIdPrefix {
    let mut prefix = [0; PREFIX_LENGTH];
    prefix.copy_from_slice(&peer_id.0[..PREFIX_LENGTH]);
    PeerIdPrefix(prefix)
}

/// Printable ASCII is unchanged; every other byte and `%` become `%` and two hexadecimal
/// digits: at most 24 characters, none of which has to be quoted.
impl fmt::Display for PeerIdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;

        self.0.iter().try_for_each(|&byte| match byte {
            b'%' | b'"' | b'\\' => write!(f, "%{byte:02X}"),
            byte if byte.is_ascii_graphic() => f.write_char(char::from(byte)),
            byte => write!(f, "%{byte:02X}"),
        })
    }
}

impl Version {
    /// The components of the version, the most significant first.
    #[must_use]
    pub fn parts(&self) -> &[u16] {
        &self.parts[..usize::from(self.count)]
    }

    fn new(parts: &[u16], notation: Notation) -> Option<Self> {
        let mut all = [0; MAX_PARTS];
        all.get_mut(..parts.len())?.copy_from_slice(parts);
        Some(Self {
            parts: all,
            // At most MAX_PARTS, see above.
            count: parts.len() as u8,
            notation,
        })
    }

    /// Parses decimal numbers between separators, up to the first other byte or empty
    /// number.
    fn from_separated(text: &[u8], separator: u8) -> Option<Self> {
        let mut parts = [0; MAX_PARTS];
        let mut count = 0;
        for (number, part) in text.split(|&byte| byte == separator).zip(&mut parts) {
            let digits = std::str::from_utf8(number).ok()?;
            match digits.parse() {
                Ok(value) => *part = value,
                Err(_) => break,
            }
            count += 1;
        }
        if count == 0 {
            return None;
        }
        Self::new(&parts[..count], Notation::Digits)
    }

    fn from_azureus(text: [u8; 4], notation: Notation) -> Option<Self> {
        let pair = |tens, ones| Some(decimal_digit(tens)? * 10 + decimal_digit(ones)?);
        let [a, b, c, d] = text;
        match notation {
            Notation::Pairs => Self::new(&[pair(a, b)?, pair(c, d)?], notation),
            Notation::Transmission if a < b'4' => {
                Self::new(&[decimal_digit(a)?, pair(b, c)?], notation)
            }
            Notation::Transmission | Notation::Digits => {
                let parts = [digit(a)?, digit(b)?, digit(c)?, digit(d)?];
                let count = if d == b'0' || d.is_ascii_alphabetic() {
                    3
                } else {
                    4
                };
                Self::new(&parts[..count], Notation::Digits)
            }
        }
    }
}

fn decimal_digit(byte: u8) -> Option<u16> {
    byte.is_ascii_digit().then(|| u16::from(byte - b'0'))
}

/// Decodes a number below 62 from a character: digits, upper case, lower case.
fn digit(byte: u8) -> Option<u16> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'Z' => byte - b'A' + 10,
        b'a'..=b'z' => byte - b'a' + 36,
        _ => return None,
    };
    Some(u16::from(value))
}

/// `-XX1234-`: two characters for the client, four for its version.
fn azureus_style(bytes: &[u8; 20]) -> Option<Client> {
    let [b'-', x, y, a, b, c, d, b'-', ..] = *bytes else {
        return None;
    };
    let (_, name, notation) = AZUREUS_CLIENTS.iter().find(|(code, ..)| *code == [x, y])?;
    Some(Client {
        name,
        version: Version::from_azureus([a, b, c, d], *notation),
    })
}

/// `-ML3.1.7-`, only used by MLDonkey.
fn dotted_style(bytes: &[u8; 20]) -> Option<Client> {
    let version = bytes.strip_prefix(b"-ML")?;
    let end = version.iter().position(|&byte| byte == b'-')?;
    Some(Client {
        name: "MLDonkey",
        version: Some(Version::from_separated(&version[..end], b'.')?),
    })
}

/// `M7-10-5--` or `A2-1-37-0-`: numbers between dashes.
fn dashed_style(bytes: &[u8; 20]) -> Option<Client> {
    let (code, name) = DASHED_CLIENTS
        .iter()
        .find(|(code, _)| bytes.starts_with(code))?;
    let version = &bytes[code.len()..];
    // The random part may start with digits, so at most three numbers are read, as in the
    // convention.
    let mut dashes = version
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'-');
    let (end, _) = dashes.nth(2)?;
    let version = Version::from_separated(&version[..end], b'-')?;
    (version.parts().len() == 3).then_some(Client {
        name,
        version: Some(version),
    })
}

/// Clients with their own conventions.
fn style_of_their_own(bytes: &[u8; 20]) -> Option<Client> {
    // Old versions of BitComet, and BitLord, which is derived from it: a binary version.
    if let [b'e', b'x', b'b', b'c', major, minor, rest @ ..] = bytes {
        let name = if rest.starts_with(b"LORD") {
            "BitLord"
        } else {
            "BitComet"
        };
        let version = Version::new(&[u16::from(*major), u16::from(*minor)], Notation::Pairs);
        return Some(Client { name, version });
    }
    // `TIX0284-`: like Azureus style, with one more letter and without the first dash.
    if let [b'T', b'I', b'X', a, b, c, d, b'-', ..] = *bytes {
        return Some(Client {
            name: "Tixati",
            version: Version::from_azureus([a, b, c, d], Notation::Pairs),
        });
    }
    // `XBT054d-`: three digits, and a letter for a debug build.
    if let [b'X', b'B', b'T', a, b, c, b'd' | b'-', ..] = *bytes {
        return Some(Client {
            name: "XBT",
            version: Version::from_azureus([a, b, c, b'0'], Notation::Digits),
        });
    }
    None
}

/// `T03I-----`: one letter for the client, up to five characters for its version, padded
/// with dashes, and three dashes.
fn shadow_style(bytes: &[u8; 20]) -> Option<Client> {
    let version = &bytes[1..6];
    let (_, name) = SHADOW_CLIENTS.iter().find(|(code, _)| *code == bytes[0])?;
    if bytes[6..9] != *b"---" {
        return None;
    }
    let end = version
        .iter()
        .position(|&byte| byte == b'-')
        .unwrap_or(version.len());
    let mut parts = [0; 5];
    for (part, &byte) in parts.iter_mut().zip(&version[..end]) {
        *part = digit(byte)?;
    }
    let count = end.min(MAX_PARTS);
    if count == 0 {
        return None;
    }
    Some(Client {
        name,
        version: Version::new(&parts[..count], Notation::Digits),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A peer id with this start, followed by a random part.
    fn peer_id(start: &[u8]) -> PeerId {
        let mut bytes = *b"9xK2-v0Qm4_t7ZrB1n8y";
        bytes[..start.len()].copy_from_slice(start);
        PeerId(bytes)
    }

    fn client(start: &[u8]) -> Option<String> {
        Client::identify(&peer_id(start)).map(|client| client.to_string())
    }

    #[test]
    fn names_clients_in_azureus_style() {
        let named = |start: &str| client(start.as_bytes()).unwrap_or_default();
        assert_eq!(named("-qB4630-"), "qBittorrent 4.6.3");
        assert_eq!(named("-DE13F0-"), "Deluge 1.3.15");
        assert_eq!(named("-LT2090-"), "libtorrent (Rasterbar) 2.0.9");
        assert_eq!(named("-lt0D80-"), "libTorrent (rTorrent) 0.13.8");
        assert_eq!(named("-UT355W-"), "µTorrent 3.5.5");
        assert_eq!(named("-AZ5757-"), "Vuze 5.7.5.7");
    }

    #[test]
    fn knows_how_clients_count() {
        let named = |start: &str| client(start.as_bytes()).unwrap_or_default();
        assert_eq!(named("-TR2940-"), "Transmission 2.94");
        assert_eq!(named("-TR3000-"), "Transmission 3.00");
        assert_eq!(named("-TR4050-"), "Transmission 4.0.5");
        assert_eq!(named("-BC0155-"), "BitComet 1.55");
        assert_eq!(named("-WW0201-"), "WebTorrent 2.01");
    }

    #[test]
    fn a_version_that_is_none_leaves_the_name() {
        let named = |start: &str| client(start.as_bytes()).unwrap_or_default();
        assert_eq!(named("-qB4.6*-"), "qBittorrent");
        assert_eq!(named("-BC1A55-"), "BitComet");
    }

    #[test]
    fn names_clients_of_other_styles() {
        let named = |start: &[u8]| client(start).unwrap_or_default();
        assert_eq!(named(b"A2-1-37-0-"), "aria2 1.37.0");
        assert_eq!(named(b"M7-10-5--"), "BitTorrent 7.10.5");
        assert_eq!(named(b"M4-4-0--12"), "BitTorrent 4.4.0");
        assert_eq!(named(b"-ML3.1.7-"), "MLDonkey 3.1.7");
        assert_eq!(named(b"TIX0284-"), "Tixati 2.84");
        assert_eq!(named(b"XBT054d-"), "XBT 0.5.4");
        assert_eq!(named(b"exbc\x00\x44"), "BitComet 0.68");
        assert_eq!(named(b"exbc\x01\x01LORD"), "BitLord 1.01");
        assert_eq!(named(b"T03I-----"), "BitTornado 0.3.18");
        assert_eq!(named(b"S58B-----"), "Shadow 5.8.11");
    }

    #[test]
    fn names_nobody_else() {
        for start in [
            &b""[..],
            b"-ZZ1234-",
            b"-qB46300",
            b"qB4630--",
            b"M7105---------------",
            b"T----------",
            b"TABCDE-x-",
            b"-MLx.y-",
            &[0; 20],
            &[0xff; 20],
        ] {
            assert_eq!(client(start), None, "{start:?}");
        }
    }

    #[test]
    fn tables_have_no_doubles() {
        let mut codes = HashSet::new();
        for (code, name, _) in AZUREUS_CLIENTS {
            assert!(codes.insert(code), "{name}");
        }
    }

    #[test]
    fn prefixes_are_short_and_printable() {
        let prefix = |start: &[u8]| peer_id_prefix(&peer_id(start)).to_string();
        assert_eq!(prefix(b"-qB4630-"), "-qB4630-");
        assert_eq!(prefix(b"a%\"\\ \n\xff~"), "a%25%22%5C%20%0A%FF~");
        assert_eq!(prefix(&[0; 20]).len(), 24);
    }

    /// For any bytes after the start of a convention.
    #[test]
    fn no_peer_id_panics() {
        for first in 0..=u8::MAX {
            for fill in 0..=u8::MAX {
                for start in [
                    &b"-qB"[..],
                    b"-ML",
                    b"A2-",
                    b"exbc",
                    b"TIX",
                    b"XBT",
                    &[first],
                ] {
                    let mut bytes = [fill; 20];
                    bytes[..start.len()].copy_from_slice(start);
                    let client = Client::identify(&PeerId(bytes));
                    assert!(client.is_none_or(|client| client.to_string().len() < 64));
                }
            }
        }
    }
}
