//! Why requests are rejected.

use aquatic_http1::{Framing, HttpFault, Status, write_page};
use aquatic_policy::SpecialAddress;
use aquatic_policy::clients::NO_REASON;
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
    /// It is TLS, where TLS is not enabled.
    Tls,
    /// It is too long, or has too many headers.
    TooLong,
    /// It did not arrive completely in time.
    TooSlow,
    /// There is nothing at its path.
    UnknownPath,
    /// It looks like an announce or a scrape, but its path is wrong.
    WrongUrl,
    /// It has another method than GET and HEAD.
    OtherMethod,
    /// A trusted proxy did not send the address of its client.
    ProxyHeader,
    /// Its client's address has reached its maximum of connections.
    MaxConnectionsPerIp,
    /// Its source has made too many requests lately.
    RateLimit,
    /// It is an invalid request to upgrade to WebSocket.
    Upgrade,
    /// It comes from a web page whose origin is not allowed.
    Origin,
    /// It is plain HTTP to a path that is only for WebSocket.
    #[strum(serialize = "not_websocket")]
    NotWebSocket,
    /// A frame violates the WebSocket protocol.
    Frame,
    /// A message is not JSON.
    NotJson,
    /// A part of it is missing or invalid.
    Malformed,
    /// It asks for all torrents.
    FullScrape,
    /// Its connection id was not issued to its address, or has expired (BEP 15).
    BadConnectionId,
    /// It came from port 0, to which nothing can be sent.
    SourcePortZero,
    /// It announces port 0, at which no peer can be reached.
    PortZero,
    /// It announces an address that nobody reaches over the public Internet.
    SpecialAddress,
    /// It has no key, which all requests need.
    MissingKey,
    /// Its key is not in the file of keys, or not any more.
    UnknownKey,
    /// Its key has expired.
    ExpiredKey,
    /// The access list does not allow the torrent.
    Forbidden,
    /// The client's address is banned.
    Banned,
    /// The client software is not allowed.
    #[strum(serialize = "client_forbidden")]
    Client,
    /// The connection has announced the torrent with another peer id.
    OtherPeerId,
    /// It is an answer for a torrent that the connection has not announced with this peer
    /// id.
    NotAnnounced,
    /// It answers an offer that does not exist, or no longer.
    UnknownOffer,
    /// It answers an offer too late.
    ExpiredOffer,
    /// It answers the offer of a peer that has left the torrent.
    OffererGone,
    /// The tracker has reached its maximum of torrents.
    MaxTorrents,
    /// The torrent has reached its maximum of peers.
    MaxPeersPerTorrent,
    /// The client's address has reached its maximum of peers.
    MaxPeersPerIp,
    /// The connection has reached its maximum of torrents.
    MaxTorrentsPerConnection,
    /// The reply does not fit its buffer: a bug of the tracker.
    ReplyTooLong,
}

impl RejectReason {
    /// The label of metrics: the name in lower case, with `_` between words.
    pub fn label(self) -> &'static str {
        self.into()
    }

    /// The message for the client.
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
            Self::RateLimit => "too many requests from your address; try again later",
            Self::MaxConnectionsPerIp => "the address has reached its maximum of connections",
            Self::Origin => "pages of this origin may not use the tracker",
            Self::NotWebSocket => "this tracker is for WebTorrent: use ws:// or wss://",
            Self::Frame => "the message is not complete",
            Self::PortZero => "port must not be 0",
            Self::SpecialAddress => {
                "peers cannot reach your address, which is private or reserved; announce from a \
                 public one"
            }
            Self::MissingKey => {
                "this tracker needs a key: use the announce URL that its site has for you"
            }
            Self::UnknownKey => "the key in the announce URL is not valid here, or no longer",
            Self::ExpiredKey => "the key in the announce URL has expired",
            Self::Forbidden => "torrent is not allowed on this tracker",
            Self::Banned => "this address is banned from this tracker",
            Self::Client => NO_REASON,
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

/// Rejects a request that is neither an announce nor a scrape, with a page that says why.
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

impl From<SpecialAddress> for RejectReason {
    fn from(_: SpecialAddress) -> Self {
        Self::SpecialAddress
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

    /// Dashboards of operators depend on these labels.
    #[test]
    fn labels_stay_as_they_are() {
        let labels: Vec<_> = RejectReason::VARIANTS.iter().map(|it| it.label()).collect();
        let expected = "not_http tls too_long too_slow unknown_path wrong_url other_method \
            proxy_header max_connections_per_ip rate_limit upgrade origin not_websocket frame \
            not_json malformed full_scrape bad_connection_id source_port_zero port_zero \
            special_address missing_key unknown_key expired_key forbidden banned client_forbidden other_peer_id \
            not_announced unknown_offer expired_offer offerer_gone max_torrents \
            max_peers_per_torrent max_peers_per_ip max_torrents_per_connection reply_too_long";
        assert_eq!(labels.join(" "), expected);
    }
}
