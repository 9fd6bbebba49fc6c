//! The packets of a local link.
//!
//! The first packet is a hello: [`MAGIC`], [`VERSION`], and then
//!
//! | bytes | what |
//! |--:|---|
//! | 8 | the node |
//! | 2 | its `max_peer_age`, in seconds, big-endian |
//! | 1 to 64 | the daemon's name |
//!
//! All other packets begin with a byte for their type: a [block](BLOCK) of the daemon's
//! peers, the [end of the blocks](COMPLETE), or a [batch](BATCH).

use crate::batch::{self, NodeId};

/// Identifies the protocol.
const MAGIC: [u8; 8] = *b"aquatic\0";

/// The version of the protocol: hello, blocks, and batches.
const VERSION: u8 = 1;

const MAX_NAME_LENGTH: usize = 64;

/// Maximum length of a block in bytes.
pub const MAX_BLOCK_LENGTH: usize = 60 * 1024;

/// Maximum length of a packet in bytes. The kernel sends packets of up to some 200,000
/// bytes.
pub(super) const MAX_PACKET_LENGTH: usize = 1 + MAX_BLOCK_LENGTH;

const _: () = assert!(batch::MAX_BATCH_LENGTH < MAX_PACKET_LENGTH);

/// A block of peers follows.
pub(super) const BLOCK: u8 = b'S';
/// All blocks have been sent.
pub(super) const COMPLETE: u8 = b'E';
/// A batch follows.
pub(super) const BATCH: u8 = b'B';

/// Identifies the daemon at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) node: NodeId,
    pub(super) max_peer_age_seconds: u16,
}

/// Why a hello is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HelloError {
    #[error("it is not an aquatic daemon")]
    Foreign,
    #[error("it uses version {0} of the link protocol, but this daemon uses version {VERSION}")]
    Version(u8),
    #[error("its hello is damaged")]
    Damaged,
    #[error("it is {0}")]
    Name(String),
    #[error("it is this process")]
    Own,
}

impl Hello {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend(self.node.0);
        bytes.extend(self.max_peer_age_seconds.to_be_bytes());
        bytes.extend(self.name.bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HelloError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(HelloError::Foreign)?;
        let (&version, rest) = rest.split_first().ok_or(HelloError::Damaged)?;
        if version != VERSION {
            return Err(HelloError::Version(version));
        }
        let (&node, rest) = rest.split_first_chunk().ok_or(HelloError::Damaged)?;
        let (&age, name) = rest.split_first_chunk().ok_or(HelloError::Damaged)?;
        // The name will be logged.
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        if name.is_empty() || name.len() > MAX_NAME_LENGTH || !name.iter().all(is_name) {
            return Err(HelloError::Damaged);
        }
        Ok(Self {
            name: name.iter().copied().map(char::from).collect(),
            node: NodeId(node),
            max_peer_age_seconds: u16::from_be_bytes(age),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            name: "aquatic-udp".into(),
            node: NodeId([7; 8]),
            max_peer_age_seconds: 1200,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Hello::parse(&hello().to_bytes()), Ok(hello()));
    }

    #[test]
    fn what_is_no_hello_is_named() {
        let good = hello().to_bytes();
        let parse = Hello::parse;
        assert_eq!(parse(b""), Err(HelloError::Foreign));
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(HelloError::Foreign));
        let mut other = good.clone();
        other[8] = 9;
        assert_eq!(parse(&other), Err(HelloError::Version(9)));
        // Of a hello of another version, only the version is read.
        assert_eq!(parse(&other[..9]), Err(HelloError::Version(9)));
        for length in 8..20 {
            assert_eq!(parse(&good[..length]), Err(HelloError::Damaged));
        }
        let mut strange = good.clone();
        strange.push(b'\n');
        assert_eq!(parse(&strange), Err(HelloError::Damaged));
        let long = [&good[..], &[b'x'; MAX_NAME_LENGTH]].concat();
        assert_eq!(parse(&long), Err(HelloError::Damaged));
    }
}
