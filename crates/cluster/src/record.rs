//! One change of one peer.

use aquatic_bittorrent::InfoHash;
pub use aquatic_bittorrent::PeerChange;

use crate::batch::Kind;

/// A change of a peer of `S` bytes: address and port as on the wire, 6 bytes for IPv4 and
/// 18 for IPv6, or the 20 bytes of a WebTorrent peer's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<const S: usize> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Address and port, or peer id.
    pub peer: [u8; S],
    /// What changed.
    pub change: PeerChange,
}

/// The byte that encodes a change.
#[inline]
const fn byte_of(change: PeerChange) -> u8 {
    match change {
        PeerChange::Leecher => 1,
        PeerChange::Seeder => 2,
        PeerChange::Completed => 3,
        PeerChange::Stopped => 4,
    }
}

/// Decodes a change; `None` if this version does not know it.
#[inline]
pub(crate) const fn change_of(byte: u8) -> Option<PeerChange> {
    match byte {
        1 => Some(PeerChange::Leecher),
        2 => Some(PeerChange::Seeder),
        3 => Some(PeerChange::Completed),
        4 => Some(PeerChange::Stopped),
        _ => None,
    }
}

impl<const S: usize> Record<S> {
    /// Length of a record: info hash, peer, change.
    pub const LENGTH: usize = 20 + S + 1;

    /// The kind of the peer.
    pub const KIND: Kind = match S {
        6 => Kind::Ipv4,
        18 => Kind::Ipv6,
        20 => Kind::WebTorrent,
        _ => panic!("no kind of peer has so many bytes"),
    };

    /// Appends the encoded record to a batch.
    #[inline]
    pub fn write(&self, batch: &mut Vec<u8>) {
        batch.extend_from_slice(&self.info_hash.0);
        batch.extend_from_slice(&self.peer);
        batch.push(byte_of(self.change));
    }

    /// Parses a record from the start of `bytes`, and returns it with the remaining bytes;
    /// `None` if they are too short, or the change is unknown.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&info_hash, rest) = bytes.split_first_chunk()?;
        let (&peer, rest) = rest.split_first_chunk()?;
        let (&change, rest) = rest.split_first()?;
        let record = Self {
            info_hash: InfoHash(info_hash),
            peer,
            change: change_of(change)?,
        };
        Some((record, rest))
    }
}
