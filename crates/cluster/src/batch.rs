//! Batches: records that are sent together, with a header that identifies their node.
//!
//! | bytes | what |
//! |--:|---|
//! | 1 | version, [`VERSION`] |
//! | 1 | kind of peer: 1 for IPv4, 2 for IPv6, 3 for WebTorrent |
//! | 2 | `max_peer_age` of the node, in seconds |
//! | 8 | the node |
//! | 8 | sequence number, from 1 on, for each node and kind |
//! | 8 | when the batch was closed, in milliseconds on a clock that all readers share |
//! | 27, 39 or 41 each | [records](Record) |
//!
//! Numbers are big-endian.

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH};
use strum::{EnumCount, FromRepr, VariantArray};

use crate::record::{Record, change_of};

/// The version of the layout, the first byte of each batch.
pub const VERSION: u8 = 1;

/// Length of the header.
pub const HEADER_LENGTH: usize = 28;

/// Maximum length of a batch. With 160 bytes more, the allocator of Redis and Valkey puts
/// an entry into its next size class, where a record takes 34 bytes instead of 27.4.
pub const MAX_BATCH_LENGTH: usize = 32_600;

/// Identifies one run of a process in a cluster. It is random and new at each start, so
/// that sequence numbers can start at 1 again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub [u8; 8]);

/// How a peer is identified: by its address, or in WebTorrent by its peer id.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumCount, FromRepr, VariantArray,
)]
#[repr(u8)]
pub enum Kind {
    /// 4 bytes of address, 2 of port.
    Ipv4 = 1,
    /// 16 bytes of address, 2 of port.
    Ipv6 = 2,
    /// 20 bytes of peer id. The peer is connected to the node that made the record.
    WebTorrent = 3,
}

/// Metadata of a batch, which apply to all its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The kind of the peers.
    pub kind: Kind,
    /// Maximum age of a peer in seconds: after this time without an announce, the node
    /// removes it.
    pub max_peer_age_seconds: u16,
    /// The node that made the records.
    pub node: NodeId,
    /// Sequence number among the batches of this node and kind, from 1 on.
    pub sequence: u64,
    /// When the last record was added, on the clock that the nodes share: the engine's, or
    /// that of the host. The ages of the peers count from then.
    pub closed_at_milliseconds: u64,
}

/// A validated batch, which borrows the received bytes.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    header: Header,
    records: &'a [u8],
}

/// An iterator over the records of a batch, by its kind.
#[derive(Debug, Clone)]
pub enum Records<'a> {
    /// Records of IPv4 peers.
    Ipv4(RecordIter<'a, IPV4_PEER_LENGTH>),
    /// Records of IPv6 peers.
    Ipv6(RecordIter<'a, IPV6_PEER_LENGTH>),
    /// Records of WebTorrent peers.
    WebTorrent(RecordIter<'a, 20>),
}

/// An iterator over the records of a batch, in the order in which the changes happened.
#[derive(Debug, Clone)]
pub struct RecordIter<'a, const S: usize>(&'a [u8]);

/// Why bytes are not a valid batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It is shorter than a header, or longer than the maximum of a batch.
    #[error("{0} bytes are not a valid length of a batch")]
    Length(usize),
    /// It has another version.
    #[error("version {0} is not {VERSION}, which this node understands")]
    Version(u8),
    /// Its kind of peer is unknown.
    #[error("kind of peer {0} is unknown")]
    Kind(u8),
    /// Its sequence number is 0; the first one is 1.
    #[error("sequence number 0")]
    SequenceZero,
    /// Its last record is truncated.
    #[error("{0} bytes are left after the last whole record")]
    Remainder(usize),
    /// A record has a change that this version does not know.
    #[error("record {index} has the unknown change {byte}")]
    Change {
        /// Index of the record, from 0.
        index: usize,
        /// The byte of the change.
        byte: u8,
    },
}

impl Kind {
    /// The kinds of a node whose peers have addresses.
    pub const ADDRESSES: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The place of this kind in arrays with one item for each kind.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// Length of a record in bytes.
    #[inline]
    pub const fn record_length(self) -> usize {
        match self {
            Self::Ipv4 => Record::<IPV4_PEER_LENGTH>::LENGTH,
            Self::Ipv6 => Record::<IPV6_PEER_LENGTH>::LENGTH,
            Self::WebTorrent => Record::<20>::LENGTH,
        }
    }

    /// Maximum number of records in a batch.
    pub const fn max_records(self) -> usize {
        (MAX_BATCH_LENGTH - HEADER_LENGTH) / self.record_length()
    }
}

/// Clears `batch` and reserves space for the header. Then [`Record::write`] is called for
/// each record, at most [`Kind::max_records`] times, and [`Header::write`] at the end.
pub fn start(batch: &mut Vec<u8>) {
    batch.clear();
    batch.resize(HEADER_LENGTH, 0);
}

impl Header {
    /// Writes the header into the space that [`start`] reserved.
    ///
    /// # Panics
    /// If `batch` is shorter than a header.
    pub fn write(&self, batch: &mut [u8]) {
        batch[0] = VERSION;
        batch[1] = self.kind as u8;
        batch[2..4].copy_from_slice(&self.max_peer_age_seconds.to_be_bytes());
        batch[4..12].copy_from_slice(&self.node.0);
        batch[12..20].copy_from_slice(&self.sequence.to_be_bytes());
        batch[20..28].copy_from_slice(&self.closed_at_milliseconds.to_be_bytes());
    }

    /// How many seconds the peers have left at this time of the shared clock; 0 if they
    /// have expired. At most `max_peer_age`, even if the batch seems to be from the future.
    /// Since the age is rounded down, the result may be up to one second too high.
    pub fn remaining_seconds(&self, now_milliseconds: u64) -> u16 {
        let age = now_milliseconds.saturating_sub(self.closed_at_milliseconds) / 1000;
        // A larger age is above any `max_peer_age`.
        let age = u16::try_from(age).unwrap_or(u16::MAX);
        self.max_peer_age_seconds.saturating_sub(age)
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), BatchError> {
        // Another version may have other lengths, so it is reported first.
        match bytes.first() {
            Some(&version) if version != VERSION => return Err(BatchError::Version(version)),
            _ if bytes.len() > MAX_BATCH_LENGTH => return Err(BatchError::Length(bytes.len())),
            _ => {}
        }
        let Some((header, records)) = bytes.split_first_chunk::<HEADER_LENGTH>() else {
            return Err(BatchError::Length(bytes.len()));
        };
        let [_, kind, age_1, age_2, rest @ ..] = *header;
        let (numbers, _) = rest.as_chunks::<8>();
        let &[node, sequence, closed_at] = numbers else {
            unreachable!("24 bytes are three times 8");
        };
        let header = Self {
            kind: Kind::from_repr(kind).ok_or(BatchError::Kind(kind))?,
            max_peer_age_seconds: u16::from_be_bytes([age_1, age_2]),
            node: NodeId(node),
            sequence: u64::from_be_bytes(sequence),
            closed_at_milliseconds: u64::from_be_bytes(closed_at),
        };
        if header.sequence == 0 {
            return Err(BatchError::SequenceZero);
        }
        Ok((header, records))
    }
}

impl<'a> Batch<'a> {
    /// Parses a batch from untrusted input. Nothing is allocated or copied.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let (header, records) = Header::parse(bytes)?;
        let length = header.kind.record_length();
        let remainder = records.len() % length;
        if remainder != 0 {
            return Err(BatchError::Remainder(remainder));
        }
        let changes = records.iter().skip(length - 1).step_by(length);
        for (index, &byte) in changes.enumerate() {
            if change_of(byte).is_none() {
                return Err(BatchError::Change { index, byte });
            }
        }
        Ok(Self { header, records })
    }

    /// Metadata of all its records.
    #[inline]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its records. A batch without records is a heartbeat of its node.
    #[inline]
    pub fn records(&self) -> Records<'a> {
        match self.header.kind {
            Kind::Ipv4 => Records::Ipv4(RecordIter(self.records)),
            Kind::Ipv6 => Records::Ipv6(RecordIter(self.records)),
            Kind::WebTorrent => Records::WebTorrent(RecordIter(self.records)),
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len() / self.header.kind.record_length()
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl<const S: usize> Iterator for RecordIter<'_, S> {
    type Item = Record<S>;

    #[inline]
    fn next(&mut self) -> Option<Record<S>> {
        let (record, rest) = Record::parse(self.0)?;
        self.0 = rest;
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.len() / Record::<S>::LENGTH;
        (left, Some(left))
    }
}

impl<const S: usize> ExactSizeIterator for RecordIter<'_, S> {}

#[cfg(test)]
mod tests;
