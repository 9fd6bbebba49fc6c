//! Records that travel together, and the header that says whose they are.
//!
//! | bytes | what |
//! |--:|---|
//! | 1 | version, [`VERSION`] |
//! | 1 | kind of peer: 1 for IPv4, 2 for IPv6 |
//! | 2 | `max_peer_age` of the node, in seconds |
//! | 8 | the node |
//! | 8 | sequence number, from 1 on, for each node and kind |
//! | 8 | when the batch was closed, in milliseconds on a clock that all readers share |
//! | 27 or 39 each | [records](Record) |
//!
//! Numbers are big-endian.

use crate::record::{Record, change_of};

/// The version of the layout, which each batch begins with.
pub const VERSION: u8 = 1;

/// Bytes before the records.
pub const HEADER_LENGTH: usize = 28;

/// Bytes of a batch. With 160 more, the allocator of Redis and Valkey puts an entry
/// into its next class, and a record takes 34 bytes there instead of 27.4.
pub const MAX_BATCH_LENGTH: usize = 32_600;

/// What one run of a process is called in a cluster: random, and made anew at each
/// start, so that sequence numbers may start at 1 again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub [u8; 8]);

/// What the peers of a batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// 4 bytes of address, 2 of port.
    Ipv4 = 1,
    /// 16 bytes of address, 2 of port.
    Ipv6 = 2,
}

/// What holds for all records of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the peers are.
    pub kind: Kind,
    /// After how many seconds the node forgets a peer that does not announce again.
    pub max_peer_age_seconds: u16,
    /// Who says all this.
    pub node: NodeId,
    /// Number of the batch among those of this node and kind, from 1 on.
    pub sequence: u64,
    /// When the last record was put in, on the clock that the nodes share: the
    /// engine's, or that of the host. The ages of the peers count from here.
    pub closed_at_milliseconds: u64,
}

/// A batch in the bytes that it came in, all of which are valid.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    header: Header,
    records: &'a [u8],
}

/// The records of a batch, by its kind.
#[derive(Debug, Clone)]
pub enum Records<'a> {
    /// Of IPv4 peers.
    Ipv4(RecordIter<'a, 6>),
    /// Of IPv6 peers.
    Ipv6(RecordIter<'a, 18>),
}

/// The records of a batch, in the order in which things happened.
#[derive(Debug, Clone)]
pub struct RecordIter<'a, const S: usize>(&'a [u8]);

/// Why bytes are no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It has fewer bytes than a header, or more than a batch may have.
    #[error("{0} bytes are none that a batch can have")]
    Length(usize),
    /// It is of another version.
    #[error("version {0} is not {VERSION}, which this node understands")]
    Version(u8),
    /// Peers of this kind are not known.
    #[error("kind of peer {0} is unknown")]
    Kind(u8),
    /// Sequence numbers start at 1.
    #[error("sequence number 0")]
    SequenceZero,
    /// The last record is cut off.
    #[error("{0} bytes are left after the last whole record")]
    Remainder(usize),
    /// A record says what this version does not know.
    #[error("record {index} has the unknown change {byte}")]
    Change {
        /// Which one, from 0.
        index: usize,
        /// What it says.
        byte: u8,
    },
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Ipv4 => Self::Ipv6,
            Self::Ipv6 => Self::Ipv4,
        }
    }

    /// Bytes of a record.
    #[inline]
    pub const fn record_length(self) -> usize {
        match self {
            Self::Ipv4 => Record::<6>::LENGTH,
            Self::Ipv6 => Record::<18>::LENGTH,
        }
    }

    /// Records of a batch that is full.
    pub const fn max_records(self) -> usize {
        (MAX_BATCH_LENGTH - HEADER_LENGTH) / self.record_length()
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Ipv4),
            2 => Some(Self::Ipv6),
            _ => None,
        }
    }
}

/// Empties `batch` and leaves the space for a header. [`Record::write`] follows for
/// each record, of which there may be [`Kind::max_records`], and [`Header::write`].
pub fn start(batch: &mut Vec<u8>) {
    batch.clear();
    batch.resize(HEADER_LENGTH, 0);
}

impl Header {
    /// Writes itself into the space that [`start`] left.
    ///
    /// # Panics
    /// When there is no such space.
    pub fn write(&self, batch: &mut [u8]) {
        batch[0] = VERSION;
        batch[1] = self.kind as u8;
        batch[2..4].copy_from_slice(&self.max_peer_age_seconds.to_be_bytes());
        batch[4..12].copy_from_slice(&self.node.0);
        batch[12..20].copy_from_slice(&self.sequence.to_be_bytes());
        batch[20..28].copy_from_slice(&self.closed_at_milliseconds.to_be_bytes());
    }

    /// How many seconds are left to the peers at this time of the shared clock; 0 when
    /// they are expired. Never more than `max_peer_age`, also if the batch seems to come
    /// from the future; up to one second too many, because it is rounded up.
    pub fn remaining_seconds(&self, now_milliseconds: u64) -> u16 {
        let age = now_milliseconds.saturating_sub(self.closed_at_milliseconds) / 1000;
        // What does not fit is older than anything.
        let age = u16::try_from(age).unwrap_or(u16::MAX);
        self.max_peer_age_seconds.saturating_sub(age)
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), BatchError> {
        // A version that is not ours may have other lengths, and is said first.
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
            kind: Kind::from_byte(kind).ok_or(BatchError::Kind(kind))?,
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
    /// Reads a batch, which may come from anywhere. Nothing is allocated or copied.
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

    /// What holds for all records.
    #[inline]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What became of peers. A batch without any says that its node lives.
    #[inline]
    pub fn records(&self) -> Records<'a> {
        match self.header.kind {
            Kind::Ipv4 => Records::Ipv4(RecordIter(self.records)),
            Kind::Ipv6 => Records::Ipv6(RecordIter(self.records)),
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len() / self.header.kind.record_length()
    }

    /// Whether there are none.
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
