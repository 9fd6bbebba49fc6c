//! What became of one peer.

use aquatic_bittorrent::InfoHash;

/// What became of a peer of `S` bytes: address and port as they are on the wire, 6
/// bytes for IPv4 and 18 for IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<const S: usize> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Address and port.
    pub peer: [u8; S],
    /// What became of it.
    pub change: Change,
}

/// What became of a peer. Whether it is new does not matter to who is told: it is
/// added if it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Change {
    /// It announced, and lacks something of the torrent.
    Leecher = 1,
    /// It announced, and has all of the torrent.
    Seeder = 2,
    /// It announced as a seeder that has just become one: a download is counted.
    Completed = 3,
    /// It was removed.
    Stopped = 4,
}

impl Change {
    /// What a byte says; `None` if it says nothing that this version knows.
    #[inline]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Leecher),
            2 => Some(Self::Seeder),
            3 => Some(Self::Completed),
            4 => Some(Self::Stopped),
            _ => None,
        }
    }
}

impl<const S: usize> Record<S> {
    /// Bytes of a record: info hash, peer, change.
    pub const LENGTH: usize = 20 + S + 1;

    /// Appends its bytes to a batch.
    #[inline]
    pub fn write(&self, batch: &mut Vec<u8>) {
        batch.extend_from_slice(&self.info_hash.0);
        batch.extend_from_slice(&self.peer);
        batch.push(self.change as u8);
    }

    /// The record that `bytes` begin with, and what follows it; `None` if they are too
    /// short, or the change is unknown.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&info_hash, rest) = bytes.split_first_chunk()?;
        let (&peer, rest) = rest.split_first_chunk()?;
        let (&change, rest) = rest.split_first()?;
        let record = Self {
            info_hash: InfoHash(info_hash),
            peer,
            change: Change::from_byte(change)?,
        };
        Some((record, rest))
    }
}
