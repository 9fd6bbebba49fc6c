//! The lines of lists of bans, in the formats that are in use:
//!
//! | | |
//! |---|---|
//! | networks | `192.0.2.0/24`, `2001:db8::/32` |
//! | ranges | `192.0.2.1-192.0.2.9`, `2001:db8::1 - 2001:db8::9` |
//! | addresses | `192.0.2.1` |
//! | P2P plain text, of PeerGuardian | `Some name:192.0.2.1-192.0.2.9` |
//! | ipfilter.dat, of eMule | `192.000.002.001 - 192.000.002.009 , 100 , Some name` |
//!
//! Each line is recognized by itself, so that lists can be concatenated. Names may have any
//! bytes, and octets zeros before them, which do not make them octal.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::AddressRange;

/// What a line of a list means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BanLine {
    /// Nothing: it is blank, or a comment.
    Nothing,
    /// These addresses are banned.
    Banned(BannedRange),
    /// A range of ipfilter.dat with a level that allows it, so that it is not banned.
    Allowed,
}

/// The first and the last address of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BannedRange {
    /// Of IPv4.
    Ipv4([u32; 2]),
    /// Of IPv6. IPv4-mapped addresses in it are not banned, unless it has no others.
    Ipv6([u128; 2]),
}

/// Why a line is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BanLineError {
    /// It is in none of the formats.
    #[error(
        "expected an address, a network such as 192.0.2.0/24, a range such as \
         192.0.2.1-192.0.2.9, or a line of a P2P or ipfilter.dat list, not {0}"
    )]
    Unknown(Excerpt),
    /// What follows the `/` is not a prefix length.
    #[error("{text} is no prefix length; expected 0 to {longest}")]
    Length {
        /// What follows the `/`.
        text: Excerpt,
        /// How many bits the address has.
        longest: u32,
    },
    /// Bits after the prefix are set.
    #[error("{address}/{length} has bits beyond the prefix; expected {network}/{length}")]
    Beyond {
        /// The address as written.
        address: IpAddr,
        /// The length as written.
        length: u32,
        /// The address without these bits.
        network: IpAddr,
    },
    /// The end of a range is before its start.
    #[error("the range from {0} to {1} ends before it begins")]
    Reversed(IpAddr, IpAddr),
    /// A range begins with an address of one family, and ends with one of the other.
    #[error("{0} and {1} are of different families, so there is no range between them")]
    Families(IpAddr, IpAddr),
    /// The level of a line of ipfilter.dat is not a number.
    #[error("{0} is no access level of an ipfilter.dat list; expected 0 to 255")]
    Level(Excerpt),
}

/// The beginning of a text that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// Maximum number of characters.
    const LENGTH: usize = 60;

    pub(crate) fn of(text: &[u8]) -> Self {
        // One character has at most four bytes.
        let start = text.get(..4 * Self::LENGTH).unwrap_or(text);
        let text: String = String::from_utf8_lossy(start)
            .chars()
            .take(Self::LENGTH)
            .collect();
        Self(text)
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With escape sequences for characters that could damage a log.
        write!(f, "{:?}", self.0)
    }
}

/// The highest level of ipfilter.dat that bans a range.
const LAST_BANNED_LEVEL: u8 = 127;

/// Maximum length of a range in a P2P line: two addresses of IPv6, and what may be around
/// the hyphen.
const MAX_RANGE_LENGTH: usize = 128;

impl BanLine {
    /// Parses a line.
    ///
    /// # Errors
    ///
    /// If it is neither blank, nor a comment, nor in one of the formats.
    pub fn parse(line: &[u8]) -> Result<Self, BanLineError> {
        let line = line.trim_ascii();
        if line.is_empty() || is_comment(line) {
            return Ok(Self::Nothing);
        }
        if let Some((range, rest)) = split_once(line, b',')
            && let Some(range) = from_to(range)
        {
            return leveled(range?, rest);
        }
        let remark = line.iter().position(|byte| matches!(byte, b'#' | b';'));
        let plain = line.get(..remark.unwrap_or(line.len())).unwrap_or(line);
        if let Some(range) = range(plain.trim_ascii()) {
            return range.map(Self::Banned);
        }
        match named(line) {
            Some(range) => range.map(Self::Banned),
            None => Err(BanLineError::Unknown(Excerpt::of(line))),
        }
    }
}

fn is_comment(line: &[u8]) -> bool {
    line.starts_with(b"#") || line.starts_with(b";") || line.starts_with(b"//")
}

/// The meaning of a line of ipfilter.dat. `rest` follows the range.
fn leveled(range: BannedRange, rest: &[u8]) -> Result<BanLine, BanLineError> {
    let level = split_once(rest, b',').map_or(rest, |(level, _)| level);
    let level = level.trim_ascii();
    match decimal(level).and_then(|level| u8::try_from(level).ok()) {
        None => Err(BanLineError::Level(Excerpt::of(level))),
        Some(level) if level > LAST_BANNED_LEVEL => Ok(BanLine::Allowed),
        Some(_) => Ok(BanLine::Banned(range)),
    }
}

/// A range after a name and a colon. Both may contain colons; the first one after which
/// there is a range separates them.
fn named(line: &[u8]) -> Option<Result<BannedRange, BanLineError>> {
    let start = line.len().saturating_sub(MAX_RANGE_LENGTH);
    let end = line.get(start..)?;
    let colons = end.iter().enumerate().filter(|(_, byte)| **byte == b':');
    colons
        .filter_map(|(place, _)| from_to(end.get(place + 1..)?))
        .next()
}

/// A network, a range or an address; `None` if it looks like none of them.
fn range(text: &[u8]) -> Option<Result<BannedRange, BanLineError>> {
    if let Some((written, length)) = split_once(text, b'/') {
        return Some(network(address(written)?, length));
    }
    if let Some(address) = address(text) {
        return Some(between(address, address));
    }
    from_to(text)
}

/// Two addresses with a hyphen between them.
fn from_to(text: &[u8]) -> Option<Result<BannedRange, BanLineError>> {
    let (from, to) = split_once(text, b'-')?;
    Some(between(
        address(from.trim_ascii())?,
        address(to.trim_ascii())?,
    ))
}

fn between(from: IpAddr, to: IpAddr) -> Result<BannedRange, BanLineError> {
    let range = match (from.to_canonical(), to.to_canonical(), from, to) {
        (IpAddr::V4(from), IpAddr::V4(to), ..) => {
            BannedRange::Ipv4([from, to].map(Ipv4Addr::to_bits))
        }
        (.., IpAddr::V6(from), IpAddr::V6(to)) => {
            BannedRange::Ipv6([from, to].map(Ipv6Addr::to_bits))
        }
        _ => return Err(BanLineError::Families(from, to)),
    };
    let is_reversed = match range {
        BannedRange::Ipv4([from, to]) => from > to,
        BannedRange::Ipv6([from, to]) => from > to,
    };
    match is_reversed {
        true => Err(BanLineError::Reversed(from, to)),
        false => Ok(range),
    }
}

fn network(address: IpAddr, length: &[u8]) -> Result<BannedRange, BanLineError> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = decimal(length)
        .filter(|length| *length <= longest)
        .ok_or_else(|| BanLineError::Length {
            text: Excerpt::of(length),
            longest,
        })?;
    let (first, last): (IpAddr, IpAddr) = match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            let bits = address.to_bits();
            let [first, last] = [bits & !host, bits | host].map(Ipv4Addr::from_bits);
            (first.into(), last.into())
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            let bits = address.to_bits();
            let [first, last] = [bits & !host, bits | host].map(Ipv6Addr::from_bits);
            (first.into(), last.into())
        }
    };
    if first != address {
        return Err(BanLineError::Beyond {
            address,
            length,
            network: first,
        });
    }
    between(first, last)
}

fn address(text: &[u8]) -> Option<IpAddr> {
    if let Some(address) = ipv4(text) {
        return Some(address.into());
    }
    let address: Ipv6Addr = str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.into())
}

/// Four decimal octets of at most three digits.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut texts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        let text = texts.next().filter(|text| text.len() <= 3)?;
        *octet = u8::try_from(decimal(text)?).ok()?;
    }
    texts.next().is_none().then(|| octets.into())
}

/// A number of at most nine digits, without a sign.
fn decimal(text: &[u8]) -> Option<u32> {
    let is_short = (1..=9).contains(&text.len());
    if !is_short || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == separator)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

impl From<AddressRange> for BannedRange {
    fn from(range: AddressRange) -> Self {
        match range.network() {
            IpNet::V4(range) => {
                Self::Ipv4([range.network(), range.broadcast()].map(Ipv4Addr::to_bits))
            }
            IpNet::V6(range) => {
                Self::Ipv6([range.network(), range.broadcast()].map(Ipv6Addr::to_bits))
            }
        }
    }
}
