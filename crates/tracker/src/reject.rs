//! Why requests are rejected.

use aquatic_http1::{Framing, HttpFault, Status, write_page};
use aquatic_swarm::LimitReached;
use strum::{EnumCount, IntoStaticStr, VariantArray};

use crate::{Outcome, RequestKind};

/// Why a request was rejected, in any of the protocols. Not every protocol has
/// every reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RejectReason {
    /// It is not HTTP, where a connection begins or a request is expected.
    NotHttp,
    /// It is TLS, which is not spoken.
    Tls,
    /// It is longer than is allowed, or has more headers.
    TooLong,
    /// It did not become complete in time.
    TooSlow,
    /// There is nothing at its path.
    UnknownPath,
    /// It looks like an announce or a scrape, at another path than these have.
    WrongUrl,
    /// It has another method than GET and HEAD.
    OtherMethod,
    /// A trusted proxy does not say for whom it speaks.
    ProxyHeader,
    /// Its client has as many connections as an address may have.
    MaxConnectionsPerIp,
    /// It asks for WebSocket in a way that cannot be.
    Upgrade,
    /// It comes from a page that may not use the tracker.
    Origin,
    /// It asks over HTTP for what there is only over WebSocket.
    #[strum(serialize = "not_websocket")]
    NotWebSocket,
    /// A frame is not what the protocol allows.
    Frame,
    /// A message is no JSON.
    NotJson,
    /// A part of it is missing or makes no sense.
    Malformed,
    /// It asks for all torrents.
    FullScrape,
    /// Its connection id was never given to its address, or is too old (BEP 15).
    BadConnectionId,
    /// It came from port 0, to which nothing can be sent.
    SourcePortZero,
    /// It announces port 0, at which nobody can be reached.
    PortZero,
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
    /// The reply is longer than a reply may be, which is a mistake of the tracker.
    ReplyTooLong,
}

impl RejectReason {
    /// The label of metrics: the name in lower case, with `_` between words.
    pub fn label(self) -> &'static str {
        self.into()
    }

    /// What the client is told.
    ///
    /// Where a parser has found a fault, the fault's own text is sent instead, which has
    /// more detail.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotHttp
            | Self::Tls
            | Self::TooLong
            | Self::WrongUrl
            | Self::ProxyHeader
            | Self::Upgrade
            | Self::NotJson
            | Self::Malformed
            | Self::FullScrape => "request is malformed",
            Self::BadConnectionId | Self::SourcePortZero | Self::ReplyTooLong => {
                "request cannot be answered"
            }
            Self::TooSlow => "the message did not arrive in time",
            Self::UnknownPath => "there is nothing here; see /",
            Self::OtherMethod => "only GET and HEAD are answered",
            Self::MaxConnectionsPerIp => "the address has reached its maximum of connections",
            Self::Origin => "pages of this origin may not use the tracker",
            Self::NotWebSocket => "this tracker is for WebTorrent: use ws:// or wss://",
            Self::Frame => "the message is not complete",
            Self::PortZero => "port must not be 0",
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
        }
    }
}

/// Appends a page that says why a request is rejected which is neither an announce nor a
/// scrape.
#[cold]
pub fn reject_with_page(
    out: &mut Vec<u8>,
    framing: Framing,
    status: Status,
    reason: RejectReason,
) -> Outcome {
    write_page(out, framing, status, &format!("{}\n", reason.text()));
    Outcome::rejected(RequestKind::Other, reason)
}

impl From<HttpFault> for RejectReason {
    fn from(fault: HttpFault) -> Self {
        match fault {
            HttpFault::NotHttp
            | HttpFault::Header
            | HttpFault::Host
            | HttpFault::Length
            | HttpFault::Incomplete => Self::NotHttp,
            HttpFault::Tls => Self::Tls,
            HttpFault::TooManyHeaders | HttpFault::TooLong => Self::TooLong,
            HttpFault::TooSlow => Self::TooSlow,
        }
    }
}

impl From<LimitReached> for RejectReason {
    fn from(reached: LimitReached) -> Self {
        match reached {
            LimitReached::Torrents => Self::MaxTorrents,
            LimitReached::PeersPerTorrent => Self::MaxPeersPerTorrent,
            LimitReached::PeersPerIp => Self::MaxPeersPerIp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operators have these in their dashboards.
    #[test]
    fn labels_stay_as_they_are() {
        let labels: Vec<_> = RejectReason::VARIANTS.iter().map(|it| it.label()).collect();
        let expected = "not_http tls too_long too_slow unknown_path wrong_url other_method \
            proxy_header max_connections_per_ip upgrade origin not_websocket frame not_json \
            malformed full_scrape bad_connection_id source_port_zero port_zero forbidden \
            other_peer_id not_announced unknown_offer expired_offer offerer_gone max_torrents \
            max_peers_per_torrent max_peers_per_ip max_torrents_per_connection \
            reply_too_long";
        assert_eq!(labels.join(" "), expected);
    }
}
