//! What became of a request.

/// What became of a message, or of the request that begins a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What it asked for.
    pub kind: RequestKind,
    /// Why it was not served, if it was not.
    pub unserved: Option<Unserved>,
}

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// To be a peer of a torrent, and to have offers relayed.
    Announce,
    /// To have the answer to an offer relayed.
    Answer,
    /// Counts of torrents.
    Scrape,
    /// A page, over HTTP.
    Page,
    /// Nothing that is known.
    Other,
}

/// Why a message was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// It is not HTTP, where a connection begins.
    NotHttp,
    /// It is TLS, which is not spoken.
    Tls,
    /// It is longer than is allowed, or has more headers.
    TooLong,
    /// It did not become complete in time.
    TooSlow,
    /// It asks for WebSocket in a way that cannot be.
    Upgrade,
    /// It comes from a page that may not use the tracker.
    Origin,
    /// A trusted proxy does not say for whom it speaks.
    ProxyHeader,
    /// Its client has as many connections as an address may have.
    MaxConnectionsPerIp,
    /// There is nothing at its path.
    UnknownPath,
    /// It has another method than GET and HEAD.
    OtherMethod,
    /// It asks over HTTP for what there is only over WebSocket.
    NotWebSocket,
    /// A frame is not what the protocol allows.
    Frame,
    /// A message is no JSON.
    NotJson,
    /// A part of it is missing or makes no sense.
    Malformed,
    /// It asks for all torrents.
    FullScrape,
    /// The access list does not allow the torrent.
    Forbidden,
    /// The connection has announced the torrent with another peer id.
    OtherPeerId,
    /// It answers on a torrent that the connection has not announced, or not
    /// with this peer id.
    NotAnnounced,
    /// It answers an offer that there is not, or not any more.
    UnknownOffer,
    /// It answers an offer too late.
    ExpiredOffer,
    /// It answers the offer of a peer that has left the torrent since.
    OffererGone,
    /// The tracker has as many torrents as it may.
    MaxTorrents,
    /// The torrent has as many peers as it may.
    MaxPeersPerTorrent,
    /// The client's address has as many peers as it may.
    MaxPeersPerIp,
    /// The connection has announced as many torrents as it may.
    MaxTorrentsPerConnection,
}

impl Outcome {
    pub(crate) const fn served(kind: RequestKind) -> Self {
        Self {
            kind,
            unserved: None,
        }
    }

    /// Answered with an error.
    pub(crate) const fn unserved(kind: RequestKind, reason: Unserved) -> Self {
        Self {
            kind,
            unserved: Some(reason),
        }
    }
}

impl Unserved {
    /// What the client is told.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Forbidden => "torrent is not allowed on this tracker",
            Self::OtherPeerId => {
                "this connection has announced the torrent with another peer_id; stop that one first"
            }
            Self::NotAnnounced => "this connection has not announced the torrent with this peer_id",
            Self::UnknownOffer => {
                "there is no offer with this offer_id from to_peer_id that could be answered"
            }
            Self::ExpiredOffer => "the offer is too old to be answered",
            Self::OffererGone => "the peer of to_peer_id has left the torrent",
            Self::MaxTorrents => "tracker has reached its maximum of torrents",
            Self::MaxPeersPerTorrent => "torrent has reached its maximum of peers",
            Self::MaxPeersPerIp => "address has reached its maximum of peers",
            Self::MaxTorrentsPerConnection => "connection has reached its maximum of torrents",
            // Answered where they are found, with what is known there.
            _ => "request is malformed",
        }
    }
}
