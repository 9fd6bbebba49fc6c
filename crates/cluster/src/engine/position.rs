//! The position of a node in the streams, for its snapshot.

use strum::EnumCount;

use super::stream::EntryId;
use crate::batch::{Kind, NodeId};
use crate::sequences::Sequences;

const VERSION: u8 = 2;

/// The last entry of each stream that was applied.
pub(super) type Ids = [EntryId; Kind::COUNT];

/// The last entry that a node has applied of each stream, and the last sequence number of
/// each node. With it and a copy of the swarms, the next process can continue from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    ids: Ids,
    sequences: Vec<(NodeId, Kind, u64)>,
}

impl Position {
    pub(super) fn new(ids: Ids, sequences: &Sequences) -> Self {
        Self {
            ids,
            sequences: sequences.iter().collect(),
        }
    }

    pub(super) fn ids(&self) -> Ids {
        self.ids
    }

    pub(super) fn sequences(&self) -> Sequences {
        let mut sequences = Sequences::default();
        for &(node, kind, sequence) in &self.sequences {
            sequences.note(node, kind, sequence);
        }
        sequences
    }

    /// Encodes it for a file, with 17 bytes for each node and kind of peer.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for id in self.ids {
            bytes.extend(id.milliseconds.to_be_bytes());
            bytes.extend(id.number.to_be_bytes());
        }
        for (node, kind, sequence) in &self.sequences {
            bytes.extend(node.0);
            bytes.push(*kind as u8);
            bytes.extend(sequence.to_be_bytes());
        }
        bytes
    }

    /// Decodes such bytes; `None` if they are invalid.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else {
            return None;
        };
        let mut rest = rest;
        let mut ids = Ids::default();
        for id in &mut ids {
            id.milliseconds = number(&mut rest)?;
            id.number = number(&mut rest)?;
        }
        let mut sequences = Vec::new();
        while !rest.is_empty() {
            let node = NodeId(number(&mut rest)?.to_be_bytes());
            let (&kind, after) = rest.split_first()?;
            rest = after;
            let kind = Kind::from_repr(kind)?;
            sequences.push((node, kind, number(&mut rest)?));
        }
        Some(Self { ids, sequences })
    }
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (&number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequences::Arrival;

    #[test]
    fn what_is_written_is_read() {
        /// The length of a position without nodes.
        const LENGTH: usize = 1 + 16 * Kind::COUNT;
        let id = |milliseconds, number| EntryId {
            milliseconds,
            number,
        };
        let mut sequences = Sequences::default();
        sequences.note(NodeId([1; 8]), Kind::Ipv4, 7);
        let position = Position::new([id(5, 1), id(6, 0), id(7, 0)], &sequences);
        let bytes = position.to_bytes();
        let mut read = Position::parse(&bytes).expect("a position");
        assert_eq!(read, position);
        let arrival = read.sequences().note(NodeId([1; 8]), Kind::Ipv4, 7);
        assert_eq!(arrival, Arrival::Repeat);

        for length in 0..bytes.len() {
            let part = Position::parse(&bytes[..length]);
            assert_eq!(part.is_some(), length == LENGTH, "{length}");
        }
        read = Position::parse(&[&bytes[..], &bytes[LENGTH..]].concat()).expect("two nodes");
        assert_eq!(read.sequences.len(), 2);
        let mut other = bytes.clone();
        other[0] = 1;
        assert_eq!(Position::parse(&other), None);
        other = bytes;
        other[LENGTH + 8] = 9;
        assert_eq!(Position::parse(&other), None);
    }
}
