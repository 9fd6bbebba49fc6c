//! Access list: all torrents are served, only those listed, or all except those listed.
//!
//! The file has one info hash per line: 40 hexadecimal digits, or 64 of which only the
//! first 40 are used (BEP 52). Blank lines, carriage returns and comments, from `#` to the
//! end of the line, are ignored. Any other line is an error for the whole file, so that a
//! mistake while editing never makes a tracker public.
//!
//! * [`InfoHashSet`]: the entries, with an index.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use aquatic_bittorrent::{InfoHash, ParseInfoHashError};
use arc_swap::ArcSwap;

use crate::config::{AccessListConfig, AccessListMode};
use crate::files;

mod set;

pub use set::InfoHashSet;

/// The name in messages about reloads.
pub(crate) const WHAT: &str = "access list";

/// The configuration key of the file.
pub(crate) const KEY: &str = "access_list.path";

/// Maximum length of a line: longer ones are certainly not an info hash with a comment.
pub const MAX_LINE_BYTES: usize = 4096;

/// Maximum number of entries in a list: 1.4 GB of memory.
pub const MAX_ENTRIES: usize = 64 << 20;

/// Number of bytes that are read with one call.
const READ_BUFFER: usize = 256 * 1024;

/// The current list.
#[derive(Debug, Default)]
pub enum AccessList {
    /// All torrents are served.
    #[default]
    Off,
    /// Only these torrents are served.
    Allow(InfoHashSet),
    /// All torrents except these are served.
    Deny(InfoHashSet),
}

impl AccessList {
    /// Reads the file of the list, unless the list is off. This may take long if the disk
    /// is slow.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not a regular file, or has an invalid line; or if
    /// `deadline` has passed before its end is reached.
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

    /// Whether all torrents are served, so that info hashes do not have to be checked.
    #[inline]
    pub fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// Number of info hashes in the list.
    pub fn len(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::Allow(set) | Self::Deny(set) => set.len(),
        }
    }

    /// Whether the list has no info hashes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The list that workers use, and that the main thread can replace.
pub struct Handle {
    current: ArcSwap<AccessList>,
    /// Whether the list is off. This rarely changes, so checking it costs one predictable
    /// branch.
    is_off: AtomicBool,
    loaded_at: AtomicU64,
}

impl Handle {
    /// Starts with this list.
    pub fn new(list: AccessList) -> Self {
        Self {
            is_off: AtomicBool::new(list.is_off()),
            current: ArcSwap::from_pointee(list),
            loaded_at: AtomicU64::new(seconds_since_epoch()),
        }
    }

    /// Whether the torrent is served according to the current list.
    #[inline]
    pub fn allows(&self, info_hash: &InfoHash) -> bool {
        self.is_off() || self.current.load().allows(info_hash)
    }

    /// Whether all torrents are served.
    #[inline]
    pub fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }

    /// The current list, to check several info hashes.
    #[inline]
    pub fn current(&self) -> arc_swap::Guard<Arc<AccessList>> {
        self.current.load()
    }

    /// When the list was last loaded, in seconds since 1970.
    pub fn loaded_at(&self) -> u64 {
        self.loaded_at.load(Ordering::Relaxed)
    }

    /// Replaces the list; returns the former one.
    pub fn replace(&self, list: AccessList) -> Arc<AccessList> {
        let is_off = list.is_off();
        let former = self.current.swap(Arc::new(list));
        // Afterwards: until then, a list that is turned on is not consulted.
        self.is_off.store(is_off, Ordering::Relaxed);
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

/// Why a file is not a valid access list.
#[derive(Debug, thiserror::Error)]
#[error("access list {}: {error}", .path.display())]
pub struct LoadError {
    /// The file, as the process sees it (after a chroot).
    pub path: PathBuf,
    /// The reason, which is part of the message.
    pub error: ParseError,
}

/// Why a text is not a valid access list.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// A line is not an info hash.
    #[error("line {line}: {error}; expected an info hash, or a comment after #")]
    Line {
        /// Line number, from 1.
        line: u64,
        /// The reason.
        error: ParseInfoHashError,
    },
    /// A line is too long.
    #[error("line {line} is longer than {MAX_LINE_BYTES} bytes; expected one info hash per line")]
    LongLine {
        /// Line number, from 1.
        line: u64,
    },
    /// The list has too many entries.
    #[error("line {line}: the list has more than {MAX_ENTRIES} entries")]
    TooMany {
        /// Line number, from 1.
        line: u64,
    },
    /// The end of the file was not reached in time.
    #[error("it was not read in time: {line} lines so far")]
    TooSlow {
        /// Number of lines that were read.
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
