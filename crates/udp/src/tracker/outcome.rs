//! What became of a datagram.

use std::num::NonZeroUsize;

use aquatic_swarm::Refused;
use aquatic_udp_protocol::{BufferTooSmall, TransactionId, write_error};

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What it asked for.
    pub kind: RequestKind,
    /// Why it was not served, if it was not.
    pub unserved: Option<Unserved>,
    /// Bytes of the reply; none to remain silent.
    pub reply_length: Option<NonZeroUsize>,
}

/// What a datagram asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A connection id.
    Connect,
    /// Peers of a torrent.
    Announce,
    /// Counts of torrents.
    Scrape,
    /// Nothing that is known.
    Other,
}

/// Why a request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// It does not follow BEP 15.
    Malformed,
    /// Its connection id was never given to its address, or is too old.
    BadConnectionId,
    /// It came from port 0, to which nothing can be sent.
    SourcePortZero,
    /// It announces port 0, at which nobody can be reached.
    PortZero,
    /// The access list does not allow the torrent.
    Forbidden,
    /// The tracker has as many torrents as it may.
    MaxTorrents,
    /// The torrent has as many peers as it may.
    MaxPeersPerTorrent,
    /// The source address has as many peers as it may.
    MaxPeersPerIp,
}

impl Outcome {
    /// The reply does not fit.
    pub(super) const TOO_LARGE: Self = Self::silence(RequestKind::Other, Unserved::Malformed);

    #[inline]
    pub(super) fn served(kind: RequestKind, length: usize) -> Self {
        Self {
            kind,
            unserved: None,
            reply_length: NonZeroUsize::new(length),
        }
    }

    /// No reply.
    pub(super) const fn silence(kind: RequestKind, reason: Unserved) -> Self {
        Self {
            kind,
            unserved: Some(reason),
            reply_length: None,
        }
    }

    /// An error (BEP 15, action 3).
    #[cold]
    pub(super) fn refuse(
        kind: RequestKind,
        reason: Unserved,
        transaction_id: TransactionId,
        reply: &mut [u8],
    ) -> Result<Self, BufferTooSmall> {
        let length = write_error(reply, transaction_id, reason.message())?;
        Ok(Self {
            unserved: Some(reason),
            ..Self::served(kind, length)
        })
    }
}

impl From<Refused> for Unserved {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Torrents => Self::MaxTorrents,
            Refused::PeersPerTorrent => Self::MaxPeersPerTorrent,
            Refused::PeersPerIp => Self::MaxPeersPerIp,
        }
    }
}

impl Unserved {
    /// What the client is told, where it is told something.
    fn message(self) -> &'static str {
        match self {
            Self::Malformed => "request is malformed",
            Self::BadConnectionId => "connection id is not valid",
            Self::SourcePortZero | Self::PortZero => "port must not be 0",
            Self::Forbidden => "torrent is not allowed on this tracker",
            Self::MaxTorrents => "tracker has reached its maximum of torrents",
            Self::MaxPeersPerTorrent => "torrent has reached its maximum of peers",
            Self::MaxPeersPerIp => "address has reached its maximum of peers",
        }
    }
}
