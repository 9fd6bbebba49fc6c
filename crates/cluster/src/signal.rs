//! Offers and answers for WebTorrent peers whose connections are on another node.
//!
//! A node sends them in *signal batches* to the node that has the connection:
//!
//! | bytes | what |
//! |--:|---|
//! | 1 | version, [`SIGNAL_VERSION`] |
//! | 8 | the node that sends them |
//! | 8 | when they were sent, in milliseconds on the engine's clock |
//! | 85 and the description, each | [signals](Signal) |
//!
//! and a signal is:
//!
//! | bytes | what |
//! |--:|---|
//! | 1 | 1 for an offer, 2 for an answer |
//! | 20 | info hash |
//! | 20 | id of the peer that gets it |
//! | 20 | id of the peer that sends it |
//! | 20 | id of the offer |
//! | 4 | length of the session description |
//! | | the session description |
//!
//! Numbers are big-endian.

use aquatic_bittorrent::{InfoHash, PeerId};

use crate::batch::NodeId;

/// The version of the layout, the first byte of each signal batch.
pub const SIGNAL_VERSION: u8 = 1;

/// Length of the header of a signal batch.
const HEADER_LENGTH: usize = 17;

/// Length of a signal without its description.
const SIGNAL_LENGTH: usize = 1 + 4 * 20 + 4;

/// Maximum length of a signal batch. Session descriptions have 1,000 to 5,000 bytes.
pub const MAX_SIGNAL_BATCH_LENGTH: usize = 1 << 20;

/// Maximum length of a signal.
pub(crate) const MAX_SIGNAL_LENGTH: usize = MAX_SIGNAL_BATCH_LENGTH - HEADER_LENGTH;

/// Whether a signal is an offer or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SignalKind {
    /// A peer offers a connection.
    Offer = 1,
    /// A peer answers an offer.
    Answer = 2,
}

/// An offer or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal<'a> {
    /// Which of both.
    pub kind: SignalKind,
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer that gets it.
    pub to: PeerId,
    /// The peer that sends it.
    pub from: PeerId,
    /// What the offer is called by the peer that made it.
    pub offer_id: [u8; 20],
    /// The session description, as its sender wrote it. Nothing is known about these bytes
    /// when they come from another node.
    pub description: &'a [u8],
}

/// A validated signal batch, which borrows the received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalBatch<'a> {
    /// The node that sent it.
    pub node: NodeId,
    /// When, in milliseconds on the engine's clock.
    pub sent_at_milliseconds: u64,
    signals: &'a [u8],
}

/// Why bytes are not a valid signal batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// It is shorter than a header, or longer than the maximum.
    #[error("a signal batch cannot have {0} bytes")]
    Length(usize),
    /// It has another version.
    #[error("signals of version {0}; this node understands version {SIGNAL_VERSION}")]
    Version(u8),
    /// It is neither an offer nor an answer.
    #[error("signal of the unknown kind {0}")]
    Kind(u8),
    /// The last signal is truncated.
    #[error("the last signal is truncated")]
    Truncated,
}

impl Signal<'_> {
    /// Number of bytes that it takes in a signal batch.
    pub fn length(&self) -> usize {
        SIGNAL_LENGTH + self.description.len()
    }

    /// Appends it to a signal batch, whose length then must be at most
    /// [`MAX_SIGNAL_BATCH_LENGTH`].
    pub fn write(&self, batch: &mut Vec<u8>) {
        // Below the maximum, which has 21 bits.
        let length = self.description.len() as u32;
        batch.push(self.kind as u8);
        batch.extend_from_slice(&self.info_hash.0);
        batch.extend_from_slice(&self.to.0);
        batch.extend_from_slice(&self.from.0);
        batch.extend_from_slice(&self.offer_id);
        batch.extend_from_slice(&length.to_be_bytes());
        batch.extend_from_slice(self.description);
    }
}

impl<'a> Signal<'a> {
    /// Parses the first signal; returns it with the remaining bytes.
    fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), SignalError> {
        let (&kind, rest) = bytes.split_first().ok_or(SignalError::Truncated)?;
        let kind = match kind {
            1 => SignalKind::Offer,
            2 => SignalKind::Answer,
            other => return Err(SignalError::Kind(other)),
        };
        let fields = rest.split_first_chunk::<{ SIGNAL_LENGTH - 1 }>();
        let (fields, rest) = fields.ok_or(SignalError::Truncated)?;
        let (ids, length) = fields.as_chunks::<20>();
        let (&[info_hash, to, from, offer_id], &[a, b, c, d]) = (ids, length) else {
            unreachable!("84 bytes are four times 20, and 4");
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let length = usize::try_from(length).map_err(|_| SignalError::Truncated)?;
        let split = rest.split_at_checked(length);
        let (description, rest) = split.ok_or(SignalError::Truncated)?;
        let signal = Self {
            kind,
            info_hash: InfoHash(info_hash),
            to: PeerId(to),
            from: PeerId(from),
            offer_id,
            description,
        };
        Ok((signal, rest))
    }
}

/// A signal batch with space for the header. Then [`Signal::write`] is called for each
/// signal, and [`write_header`] at the end.
pub fn start() -> Vec<u8> {
    vec![0; HEADER_LENGTH]
}

/// Writes the header into the space that [`start`] reserved.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn write_header(batch: &mut [u8], node: NodeId, sent_at_milliseconds: u64) {
    batch[0] = SIGNAL_VERSION;
    batch[1..9].copy_from_slice(&node.0);
    batch[9..HEADER_LENGTH].copy_from_slice(&sent_at_milliseconds.to_be_bytes());
}

impl<'a> SignalBatch<'a> {
    /// Parses a signal batch from untrusted input. Nothing is allocated or copied.
    ///
    /// # Errors
    /// See [`SignalError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignalError> {
        // Another version may have other lengths, so it is reported first.
        match bytes.first() {
            Some(&version) if version != SIGNAL_VERSION => {
                return Err(SignalError::Version(version));
            }
            _ if bytes.len() > MAX_SIGNAL_BATCH_LENGTH => {
                return Err(SignalError::Length(bytes.len()));
            }
            _ => {}
        }
        let header = bytes.split_first_chunk::<HEADER_LENGTH>();
        let (header, signals) = header.ok_or(SignalError::Length(bytes.len()))?;
        let (numbers, _) = header[1..].as_chunks::<8>();
        let &[node, sent_at] = numbers else {
            unreachable!("16 bytes are twice 8");
        };
        let mut rest = signals;
        while !rest.is_empty() {
            (_, rest) = Signal::parse(rest)?;
        }
        Ok(Self {
            node: NodeId(node),
            sent_at_milliseconds: u64::from_be_bytes(sent_at),
            signals,
        })
    }

    /// Its signals, in the order in which they were sent.
    pub fn signals(&self) -> impl Iterator<Item = Signal<'a>> {
        let mut rest = self.signals;
        std::iter::from_fn(move || {
            // All were parsed before.
            let (signal, after) = Signal::parse(rest).ok()?;
            rest = after;
            Some(signal)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(*b"a node's");

    fn signal(description: &[u8]) -> Signal<'_> {
        Signal {
            kind: SignalKind::Answer,
            info_hash: InfoHash([1; 20]),
            to: PeerId([2; 20]),
            from: PeerId([3; 20]),
            offer_id: [4; 20],
            description,
        }
    }

    fn batch_of(signals: &[Signal<'_>]) -> Vec<u8> {
        let mut bytes = start();
        for signal in signals {
            let before = bytes.len();
            signal.write(&mut bytes);
            assert_eq!(bytes.len() - before, signal.length());
        }
        write_header(&mut bytes, NODE, 1_000_000);
        bytes
    }

    #[test]
    fn bytes_are_as_documented() {
        let mut expected = vec![1];
        expected.extend(b"a node's");
        expected.extend([0, 0, 0, 0, 0, 0x0f, 0x42, 0x40]);
        expected.push(2);
        for number in 1..=4 {
            expected.extend([number; 20]);
        }
        expected.extend([0, 0, 0, 2]);
        expected.extend(b"{}");
        assert_eq!(batch_of(&[signal(b"{}")]), expected);
    }

    #[test]
    fn what_is_written_is_read() {
        let offer = Signal {
            kind: SignalKind::Offer,
            ..signal(&[7; 3_000])
        };
        let signals = [signal(b""), offer, signal(b"{}")];
        let bytes = batch_of(&signals);
        let batch = SignalBatch::parse(&bytes).unwrap();
        assert_eq!(batch.node, NODE);
        assert_eq!(batch.sent_at_milliseconds, 1_000_000);
        assert!(batch.signals().eq(signals));
        let bytes = batch_of(&[]);
        let empty = SignalBatch::parse(&bytes).unwrap();
        assert_eq!(empty.signals().count(), 0);
    }

    #[test]
    fn what_is_no_batch_is_rejected() {
        let bytes = batch_of(&[signal(b"{}"), signal(b"{}")]);
        let one = batch_of(&[signal(b"{}")]).len();
        for length in 0..bytes.len() {
            let expected = match length {
                0..HEADER_LENGTH => Err(SignalError::Length(length)),
                it if it == HEADER_LENGTH || it == one => Ok(()),
                _ => Err(SignalError::Truncated),
            };
            let found = SignalBatch::parse(&bytes[..length]).map(drop);
            assert_eq!(found, expected, "{length}");
        }
        let changed = |index: usize, byte| {
            let mut bytes = bytes.clone();
            bytes[index] = byte;
            SignalBatch::parse(&bytes).map(drop)
        };
        assert_eq!(changed(0, 2), Err(SignalError::Version(2)));
        assert_eq!(changed(HEADER_LENGTH, 0), Err(SignalError::Kind(0)));
        // A length that exceeds the data, and a batch that is too long.
        let length = HEADER_LENGTH + SIGNAL_LENGTH - 4;
        assert_eq!(changed(length, 0xff), Err(SignalError::Truncated));
        let long = vec![SIGNAL_VERSION; MAX_SIGNAL_BATCH_LENGTH + 1];
        let error = SignalError::Length(MAX_SIGNAL_BATCH_LENGTH + 1);
        assert_eq!(SignalBatch::parse(&long), Err(error));
    }
}
