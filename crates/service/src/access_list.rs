//! Which torrents are served: all, only those listed, or all but those listed.
//!
//! The file has one info hash a line: 40 hexadecimal digits, or 64 of which the
//! first 40 count (BEP 52). Blank lines, carriage returns and everything from
//! `#` to the end of a line are ignored. A line that is none of this fails the
//! whole load, so that a slip of an editor never opens a tracker up.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aquatic_bittorrent::{InfoHash, ParseInfoHashError};
use arc_swap::ArcSwap;
use hashbrown::HashTable;

use crate::config::AccessListSettings;

/// What it is, among what is read again at a reload.
pub(crate) const WHAT: &str = "access list";

/// Longest line that is read; what is longer is no info hash with a remark.
pub const LONGEST_LINE: usize = 4096;

/// Most entries of one list: 2 GiB of memory.
pub const MOST_ENTRIES: usize = 64 << 20;

/// The list in effect: off, or a set of info hashes and what it means.
#[derive(Debug, Default)]
pub enum AccessList {
    /// Every torrent is served.
    #[default]
    Off,
    /// Only these torrents are served.
    Allow(InfoHashSet),
    /// All but these torrents are served.
    Deny(InfoHashSet),
}

impl AccessList {
    /// Reads the file that the settings name, if any.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a line of it makes no sense.
    pub fn load(settings: &AccessListSettings) -> Result<Self, LoadError> {
        let load = |path: &Path| {
            File::open(path)
                .map_err(ParseError::Read)
                .and_then(|file| InfoHashSet::parse(BufReader::new(file)))
                .map_err(|error| LoadError {
                    path: path.to_owned(),
                    error,
                })
        };
        Ok(match settings {
            AccessListSettings::Off => Self::Off,
            AccessListSettings::Allow(path) => Self::Allow(load(path)?),
            AccessListSettings::Deny(path) => Self::Deny(load(path)?),
        })
    }

    /// Whether the torrent is served.
    #[inline]
    pub fn allows(&self, info_hash: &InfoHash) -> bool {
        match self {
            Self::Off => true,
            Self::Allow(set) => set.contains(info_hash),
            Self::Deny(set) => !set.contains(info_hash),
        }
    }

    /// Whether every torrent is served without a look at its info hash.
    #[inline]
    pub fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// How many info hashes the list has.
    pub fn len(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::Allow(set) | Self::Deny(set) => set.len(),
        }
    }

    /// Whether the list has no info hash.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The list that workers look at while the main thread exchanges it.
pub struct Handle {
    current: ArcSwap<AccessList>,
    /// Whether there is a list at all: this never changes while the process
    /// runs, so a look at it costs one predictable branch.
    is_off: bool,
    loaded_at: AtomicU64,
}

impl Handle {
    /// Puts the first list in place.
    pub fn new(list: AccessList) -> Self {
        Self {
            is_off: list.is_off(),
            current: ArcSwap::from_pointee(list),
            loaded_at: AtomicU64::new(seconds_since_epoch()),
        }
    }

    /// Whether the torrent is served by the list of this moment.
    #[inline]
    pub fn allows(&self, info_hash: &InfoHash) -> bool {
        self.is_off || self.current.load().allows(info_hash)
    }

    /// Whether every torrent is served, for as long as the process runs.
    #[inline]
    pub fn is_off(&self) -> bool {
        self.is_off
    }

    /// The list of this moment, for several questions in a row.
    #[inline]
    pub fn current(&self) -> arc_swap::Guard<Arc<AccessList>> {
        self.current.load()
    }

    /// When the list was last loaded, in seconds since 1970.
    pub fn loaded_at(&self) -> u64 {
        self.loaded_at.load(Ordering::Relaxed)
    }

    /// Reads the file again and puts it in place; returns its entries.
    ///
    /// # Errors
    ///
    /// As [`AccessList::load`]; the present list stays in place.
    pub fn reload(&self, settings: &AccessListSettings) -> Result<usize, LoadError> {
        let list = AccessList::load(settings)?;
        let entries = list.len();
        self.current.store(Arc::new(list));
        self.loaded_at
            .store(seconds_since_epoch(), Ordering::Relaxed);
        Ok(entries)
    }
}

/// Why a file is no access list.
#[derive(Debug, thiserror::Error)]
#[error("access list {}: {error}", .path.display())]
pub struct LoadError {
    /// The file, as the process sees it (after a change of the root directory).
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub error: ParseError,
}

/// Why a text is no access list.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[source] io::Error),
    /// A line is no info hash.
    #[error("line {line}: {error}; expected an info hash, or a comment after #")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        error: ParseInfoHashError,
    },
    /// A line is far too long.
    #[error("line {line} is longer than {LONGEST_LINE} bytes; expected one info hash a line")]
    LongLine {
        /// Counted from 1.
        line: u64,
    },
    /// The list is too large.
    #[error("line {line}: the list has more than {MOST_ENTRIES} entries")]
    TooMany {
        /// Counted from 1.
        line: u64,
    },
}

/// A set of info hashes.
///
/// Each process takes parts of the hashes in a way of its own, so that nobody
/// can prepare info hashes that all fall into one place.
#[derive(Default)]
pub struct InfoHashSet {
    table: HashTable<InfoHash>,
    key: u64,
}

impl InfoHashSet {
    /// Reads the text of a list.
    ///
    /// # Errors
    ///
    /// At the first line that makes no sense.
    pub fn parse(mut text: impl BufRead) -> Result<Self, ParseError> {
        let mut set = Self {
            table: HashTable::new(),
            key: random_key(),
        };
        let mut buffer = Vec::new();
        let mut line = 0;
        loop {
            line += 1;
            buffer.clear();
            let read = (&mut text)
                .take(LONGEST_LINE as u64 + 1)
                .read_until(b'\n', &mut buffer)
                .map_err(ParseError::Read)?;
            if read == 0 {
                return Ok(set);
            }
            if read > LONGEST_LINE {
                return Err(ParseError::LongLine { line });
            }
            let entry = entry(&buffer, line == 1);
            if entry.is_empty() {
                continue;
            }
            if set.len() == MOST_ENTRIES {
                return Err(ParseError::TooMany { line });
            }
            // What is not UTF-8 becomes characters that are no digits.
            let info_hash = String::from_utf8_lossy(entry)
                .parse()
                .map_err(|error| ParseError::Line { line, error })?;
            set.insert(info_hash);
        }
    }

    /// Whether the info hash is in the set.
    #[inline]
    pub fn contains(&self, info_hash: &InfoHash) -> bool {
        self.table
            .find(place(self.key, info_hash), |other| other == info_hash)
            .is_some()
    }

    /// How many info hashes are in the set.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn insert(&mut self, info_hash: InfoHash) {
        let key = self.key;
        self.table
            .entry(
                place(key, &info_hash),
                |other| *other == info_hash,
                |other| place(key, other),
            )
            .or_insert(info_hash);
    }
}

impl fmt::Debug for InfoHashSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHashSet({} entries)", self.len())
    }
}

/// Where an info hash belongs in the table.
#[inline]
fn place(key: u64, info_hash: &InfoHash) -> u64 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = info_hash.0;
    let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let second = u64::from_le_bytes([i, j, k, l, m, n, o, p]);
    // Both halves of the product depend on all bits of both factors.
    let product = u128::from(first ^ key) * u128::from(second ^ key.rotate_left(32));
    (product >> 64) as u64 ^ product as u64
}

/// The part of a line that has to be an info hash.
fn entry(line: &[u8], is_first: bool) -> &[u8] {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

    let line = match line.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) if is_first => rest,
        _ => line,
    };
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    line.trim_ascii()
}

fn random_key() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
