//! Which torrents are served: all, only those listed, or all but those listed.
//!
//! The file has one info hash a line: 40 hexadecimal digits, or 64 of which the
//! first 40 count (BEP 52). Blank lines, carriage returns and everything from
//! `#` to the end of a line are ignored. A line that is none of this fails the
//! whole load, so that a slip of an editor never opens a tracker up.
//!
//! * [`InfoHashSet`]: the entries, and how they are found.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use aquatic_bittorrent::{InfoHash, ParseInfoHashError};
use arc_swap::ArcSwap;

use crate::config::{AccessListConfig, AccessListMode};
use crate::files;

mod set;

pub use set::InfoHashSet;

/// What it is, among what is read again at a reload.
pub(crate) const WHAT: &str = "access list";

/// The key that names its file.
pub(crate) const KEY: &str = "access_list.path";

/// Maximum length of a line that is read; what is longer is no info hash with a remark.
pub const MAX_LINE_BYTES: usize = 4096;

/// Maximum number of entries of a list: 1.4 GB of memory.
pub const MAX_ENTRIES: usize = 64 << 20;

/// Bytes of the file that are read at once.
const READ_BUFFER: usize = 256 * 1024;

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
    /// Reads the file of the list, if it is not off, which takes as long as the
    /// disk likes.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is no regular file, or a line of it makes
    /// no sense; or when `deadline` passes before its end.
    pub fn load(config: &AccessListConfig, deadline: Option<Instant>) -> Result<Self, LoadError> {
        let load = || {
            read(&config.path, deadline).map_err(|error| LoadError {
                path: config.path.clone(),
                error,
            })
        };
        Ok(match config.mode {
            AccessListMode::Off => Self::Off,
            AccessListMode::Allow => Self::Allow(load()?),
            AccessListMode::Deny => Self::Deny(load()?),
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

/// The list that workers read while the main thread may replace it.
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

    /// Puts another list in place; returns the one that was there.
    pub fn replace(&self, list: AccessList) -> Arc<AccessList> {
        let former = self.current.swap(Arc::new(list));
        self.loaded_at
            .store(seconds_since_epoch(), Ordering::Relaxed);
        former
    }
}

fn read(path: &Path, deadline: Option<Instant>) -> Result<InfoHashSet, ParseError> {
    let file = files::open_regular(path).map_err(ParseError::Read)?;
    let bytes = file.metadata().map_err(ParseError::Read)?.len();
    let text = BufReader::with_capacity(READ_BUFFER, file);
    InfoHashSet::parse_sized(text, bytes, deadline)
}

/// Why a file is no access list.
#[derive(Debug, thiserror::Error)]
#[error("access list {}: {error}", .path.display())]
pub struct LoadError {
    /// The file, as the process sees it (after a change of the root directory).
    pub path: PathBuf,
    /// What is wrong with it; part of the message.
    pub error: ParseError,
}

/// Why a text is no access list.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// A line is no info hash.
    #[error("line {line}: {error}; expected an info hash, or a comment after #")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        error: ParseInfoHashError,
    },
    /// A line is far too long.
    #[error("line {line} is longer than {MAX_LINE_BYTES} bytes; expected one info hash per line")]
    LongLine {
        /// Counted from 1.
        line: u64,
    },
    /// The list is too large.
    #[error("line {line}: the list has more than {MAX_ENTRIES} entries")]
    TooMany {
        /// Counted from 1.
        line: u64,
    },
    /// The file was not read to its end in time.
    #[error("it was not read in time: {line} lines so far")]
    TooSlow {
        /// Lines that were read.
        line: u64,
    },
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
