//! Which client software is served: prefixes of peer ids.
//!
//! A line of a list has a prefix, and behind it the reason that users of the client get to
//! see: `-XL0012- this client does not share what it has`. Bytes that are not printable, and
//! spaces, are written `%NN` or `\xNN`.
//!
//! * [`Clients`]: what the lists lead to. [`Prefixes`]: a list. [`ClientLine`]: a line.

use std::fmt;

use aquatic_bittorrent::PeerId;

use crate::bans::Excerpt;

#[cfg(test)]
mod tests;

/// Maximum number of prefixes: 16 MB of memory if each has a reason of the maximum length.
pub const MAX_PREFIXES: usize = 65_536;

/// Maximum length of a reason in bytes: it fits into replies of all protocols, and on one
/// line of a client's window.
pub const MAX_REASON_BYTES: usize = 200;

/// What the users of a client see that is rejected without a reason of its own.
pub const NO_REASON: &str = "this client is not allowed on this tracker";

/// Length of a peer id.
const LENGTH: usize = 20;

/// Which clients are served.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// If present, others than these are rejected.
    pub allowed: Option<Prefixes>,
    /// These are rejected.
    pub denied: Prefixes,
}

impl Clients {
    /// Whether the client with this peer id is served.
    ///
    /// # Errors
    ///
    /// Why not, in words for its user.
    pub fn check(&self, peer_id: &PeerId) -> Result<(), &str> {
        if let Some(found) = self.denied.find(peer_id) {
            return Err(found.reason.as_deref().unwrap_or(NO_REASON));
        }
        match &self.allowed {
            Some(allowed) if allowed.find(peer_id).is_none() => Err(NO_REASON),
            _ => Ok(()),
        }
    }

    /// Whether all clients are served.
    pub fn is_off(&self) -> bool {
        self.allowed.is_none() && self.denied.is_empty()
    }

    /// Whether there is an allow list, and nothing in it.
    pub fn serves_none(&self) -> bool {
        self.allowed
            .as_ref()
            .is_some_and(|allowed| allowed.entries.is_empty())
    }

    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.allowed.as_ref().map_or(0, Prefixes::len) + self.denied.len()
    }

    /// Whether there are no prefixes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that the prefixes take, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let allowed = self.allowed.as_ref().map_or(0, Prefixes::memory_bytes);
        allowed + self.denied.memory_bytes()
    }
}

/// Prefixes of peer ids.
#[derive(Default, PartialEq, Eq)]
pub struct Prefixes {
    /// Sorted by their bytes and length, which are unique.
    entries: Vec<Entry>,
    /// The lengths that they have, as bits.
    lengths: u32,
}

#[derive(PartialEq, Eq)]
struct Entry {
    prefix: Prefix,
    reason: Option<Box<str>>,
}

/// The first bytes of a peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    /// Followed by zeros.
    bytes: [u8; LENGTH],
    length: u8,
}

impl Prefix {
    fn of(start: &[u8]) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        bytes.get_mut(..start.len())?.copy_from_slice(start);
        Some(Self {
            bytes,
            length: start.len() as u8,
        })
    }
}

impl Prefixes {
    /// Of several lines with the same prefix, the first counts.
    pub fn new(lines: Vec<ClientLine>) -> Self {
        let entries = lines
            .into_iter()
            .map(|ClientLine { prefix, reason }| Entry { prefix, reason });
        let mut entries: Vec<Entry> = entries.collect();
        // Stable, so that the first stays the first.
        entries.sort_by_key(|entry| entry.prefix);
        entries.dedup_by_key(|entry| entry.prefix);
        entries.shrink_to_fit();
        let lengths = entries
            .iter()
            .fold(0, |bits, entry| bits | 1 << entry.prefix.length);
        Self { entries, lengths }
    }

    /// The longest prefix of this peer id: one binary search for each length that there is,
    /// at most 20.
    fn find(&self, peer_id: &PeerId) -> Option<&Entry> {
        let lengths = (1..=LENGTH)
            .rev()
            .filter(|length| self.lengths >> length & 1 == 1);
        lengths
            .filter_map(|length| Prefix::of(peer_id.0.get(..length)?))
            .find_map(|prefix| {
                let found = self
                    .entries
                    .binary_search_by_key(&prefix, |entry| entry.prefix);
                self.entries.get(found.ok()?)
            })
    }

    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no prefix.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory that the prefixes take, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let reasons = self
            .entries
            .iter()
            .filter_map(|entry| entry.reason.as_ref());
        self.entries.capacity() * size_of::<Entry>() + reasons.map(|it| it.len()).sum::<usize>()
    }
}

impl fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefixes({})", self.len())
    }
}

/// A prefix, and why clients with it are rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLine {
    prefix: Prefix,
    reason: Option<Box<str>>,
}

/// Why a line is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientLineError {
    /// The prefix is longer than a peer id.
    #[error("{0} is longer than a peer id, which has {LENGTH} bytes")]
    Long(Excerpt),
    /// The prefix has a byte that is not printable.
    #[error("{0} has bytes that are not printable; write them %NN or \\xNN")]
    Bytes(Excerpt),
    /// A `%` or a `\` without the digits of a byte.
    #[error(
        "expected %NN or \\xNN with two hexadecimal digits in {0}; a % is %25, and a \\ is %5c"
    )]
    Escape(Excerpt),
    /// The reason is too long.
    #[error("the reason has {0} bytes, more than {MAX_REASON_BYTES}")]
    LongReason(usize),
    /// The reason is not text.
    #[error("the reason {0} is not UTF-8 text without control characters")]
    Reason(Excerpt),
}

impl ClientLine {
    /// The start of peer ids.
    pub fn prefix(&self) -> &[u8] {
        let Prefix { bytes, length } = &self.prefix;
        bytes.get(..usize::from(*length)).unwrap_or(bytes)
    }

    /// What users of the client get to see, if not a general reason.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Parses a line; `None` if it is blank or a comment.
    ///
    /// # Errors
    ///
    /// If it is neither of these, nor a prefix and a reason.
    pub fn parse(line: &[u8]) -> Result<Option<Self>, ClientLineError> {
        let line = without_remark(line).trim_ascii();
        if line.is_empty() {
            return Ok(None);
        }
        let end = line.iter().position(u8::is_ascii_whitespace);
        let (written, reason) = line.split_at(end.unwrap_or(line.len()));
        let bytes = unescape(written)?;
        let prefix =
            Prefix::of(&bytes).ok_or_else(|| ClientLineError::Long(Excerpt::of(written)))?;
        let reason = reason.trim_ascii();
        let reason = (!reason.is_empty()).then(|| text(reason)).transpose()?;
        Ok(Some(Self { prefix, reason }))
    }
}

/// The part of a line before a `#` that begins it, or that has white space on both sides:
/// a peer id may contain one, and so may a reason.
fn without_remark(line: &[u8]) -> &[u8] {
    let is_space = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
    let begins = |place: &usize| {
        let is_first = line
            .get(..*place)
            .is_some_and(|before| before.trim_ascii().is_empty());
        let is_apart = is_space(line.get(place.wrapping_sub(1))) && is_space(line.get(place + 1));
        line.get(*place) == Some(&b'#') && (is_first || is_apart)
    };
    let end = (0..line.len()).find(begins);
    line.get(..end.unwrap_or(line.len())).unwrap_or(line)
}

fn unescape(written: &[u8]) -> Result<Vec<u8>, ClientLineError> {
    let excerpt = || Excerpt::of(written);
    let mut bytes = Vec::with_capacity(LENGTH);
    let mut rest = written;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match (byte, after) {
            (b'%', digits) | (b'\\', [b'x', digits @ ..]) => digits,
            (b'\\', _) => return Err(ClientLineError::Escape(excerpt())),
            (byte, _) if !byte.is_ascii_graphic() => return Err(ClientLineError::Bytes(excerpt())),
            (byte, _) => {
                bytes.push(byte);
                rest = after;
                continue;
            }
        };
        let (high, low, others) = match digits {
            [high, low, others @ ..] => (hexadecimal(*high), hexadecimal(*low), others),
            _ => (None, None, digits),
        };
        let (Some(high), Some(low)) = (high, low) else {
            return Err(ClientLineError::Escape(excerpt()));
        };
        bytes.push(high << 4 | low);
        rest = others;
    }
    Ok(bytes)
}

fn hexadecimal(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn text(reason: &[u8]) -> Result<Box<str>, ClientLineError> {
    if reason.len() > MAX_REASON_BYTES {
        return Err(ClientLineError::LongReason(reason.len()));
    }
    match str::from_utf8(reason) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.into()),
        _ => Err(ClientLineError::Reason(Excerpt::of(reason))),
    }
}
