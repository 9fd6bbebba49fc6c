//! Access list: all torrents are served, only those listed, or all except those listed.
//!
//! A file has one info hash per line: 40 hexadecimal digits, or 64 of which only the
//! first 40 are used (BEP 52). Blank lines, carriage returns and comments, from `#` to the
//! end of the line, are ignored. Any other line is an error for the whole list, so that a
//! mistake while editing never makes a tracker public.
//!
//! * [`InfoHashSet`]: the entries, with an index.

use std::mem;
use std::path::Path;
use std::time::Instant;

use aquatic_bittorrent::InfoHash;

use crate::config::AccessListConfig;
use crate::lists::{self, Collector, List, LoadError, Loaded, Reader};

mod set;

pub use crate::lists::ParseError;
pub use set::InfoHashSet;

/// Maximum number of entries in all files together: 1.4 GB of memory.
pub const MAX_ENTRIES: usize = 64 << 20;

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

/// The list that workers use.
pub type Handle = lists::Handle<AccessList>;

impl AccessList {
    /// Reads all files of the list, if there are any. This may take long if the disk is slow.
    ///
    /// If there are both allowed and denied torrents, those that are allowed and not denied
    /// become one allow list, so a look-up costs as much as with one of them.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, is not a regular file, or has an invalid line; or if
    /// `deadline` has passed before its end is reached.
    pub fn load(
        config: &AccessListConfig,
        deadline: Option<Instant>,
    ) -> Result<Loaded<Self>, LoadError> {
        let mut reader = Reader::new(Self::WHAT, deadline);
        let mut entries = Entries::default();
        let mut read = |paths: &mut dyn Iterator<Item = (&'static str, &Path)>| {
            let mut is_configured = false;
            for (key, path) in paths {
                is_configured = true;
                reader.read(key, path, &mut entries)?;
            }
            Ok(is_configured.then(|| entries.take()))
        };
        let allowed = read(&mut config.allowed())?;
        let denied = read(&mut config.denied())?;
        let list = match (allowed, denied) {
            (None, None) => Self::Off,
            (Some(allowed), None) => Self::Allow(allowed),
            (None, Some(denied)) => Self::Deny(denied),
            (Some(allowed), Some(denied)) => Self::Allow(allowed.without(&denied)),
        };
        Ok(reader.finish(list))
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

impl List for AccessList {
    const WHAT: &'static str = "access list";

    fn is_off(&self) -> bool {
        Self::is_off(self)
    }

    fn entries(&self) -> usize {
        self.len()
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::Allow(set) | Self::Deny(set) => set.memory_bytes(),
        }
    }

    fn alarm(&self) -> Option<&'static str> {
        matches!(self, Self::Allow(_)).then_some("no torrents are served any more")
    }
}

impl Handle {
    /// Whether the torrent is served according to the current list.
    #[inline]
    pub fn allows(&self, info_hash: &InfoHash) -> bool {
        self.is_off() || self.current().allows(info_hash)
    }
}

/// Info hashes as they are read.
#[derive(Default)]
struct Entries {
    list: Vec<InfoHash>,
    /// Those that were taken away before.
    others: usize,
}

impl Entries {
    fn take(&mut self) -> InfoHashSet {
        self.others += self.list.len();
        InfoHashSet::of(mem::take(&mut self.list))
    }
}

impl Collector for Entries {
    fn expect(&mut self, bytes: u64) {
        /// Its digits and the line end.
        const MIN_ENTRY_BYTES: u64 = 41;

        // Capacity that is not used in the end takes no memory, because the system only
        // allocates pages when they are first written to.
        let most = usize::try_from(bytes / MIN_ENTRY_BYTES + 1).unwrap_or(MAX_ENTRIES);
        self.list.reserve(most.min(MAX_ENTRIES));
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(info_hash) = parse_line(line)? else {
            return Ok(());
        };
        if self.others + self.list.len() == MAX_ENTRIES {
            return Err(format!("the list has more than {MAX_ENTRIES} entries"));
        }
        self.list.push(info_hash);
        Ok(())
    }
}

/// The info hash in a line; `None` if it is blank or a comment.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse_line(line: &[u8]) -> Result<Option<InfoHash>, String> {
    let entry = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    let entry = entry.trim_ascii();
    if entry.is_empty() {
        return Ok(None);
    }
    // Invalid UTF-8 becomes characters that are not digits.
    let parsed = String::from_utf8_lossy(entry).parse();
    parsed
        .map(Some)
        .map_err(|error| format!("{error}; expected an info hash, or a comment after #"))
}

#[cfg(test)]
mod tests;
