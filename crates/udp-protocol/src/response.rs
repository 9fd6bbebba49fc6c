//! Replies, as parsed by clients.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH};

use crate::wire::field;
use crate::{
    ANNOUNCE_REPLY_HEADER_LENGTH, CONNECT_LENGTH, ConnectionId, REPLY_HEADER_LENGTH,
    SCRAPE_TORRENT_LENGTH, TorrentStatistics, TransactionId, action,
};

/// The address family of the socket that received a response, which determines the length
/// of a peer (BEP 15, "IPv6").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// Peers of 6 bytes.
    Ipv4,
    /// Peers of 18 bytes.
    Ipv6,
}

impl From<SocketAddr> for AddressFamily {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::Ipv4,
            SocketAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// A parsed response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response<'a> {
    /// Contains a connection id.
    Connect(ConnectResponse),
    /// Contains peers.
    Announce(AnnounceResponse<'a>),
    /// Contains counts.
    Scrape(ScrapeResponse<'a>),
    /// Contains the reason for a rejection.
    Error(ErrorResponse<'a>),
}

/// Why a datagram is not a valid response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// It is too short for its action.
    #[error("the response is too short")]
    TooShort,
    /// Its action is unknown.
    #[error("the response has the unknown action {0}")]
    UnknownAction(u32),
    /// It ends within a peer.
    #[error("the response ends within a peer")]
    PartialPeer,
    /// It ends within a torrent.
    #[error("the response ends within a torrent")]
    PartialTorrent,
}

/// The response to a connect request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectResponse {
    /// The transaction id of the request.
    pub transaction_id: TransactionId,
    /// Must be sent with further requests.
    pub connection_id: ConnectionId,
}

/// The response to an announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceResponse<'a> {
    /// The transaction id of the request.
    pub transaction_id: TransactionId,
    /// Number of seconds until the client should announce again.
    pub interval_seconds: u32,
    /// Number of peers that are still downloading.
    pub leechers: u32,
    /// Number of peers that have the whole torrent.
    pub seeders: u32,
    /// Some of them.
    pub peers: Peers<'a>,
}

/// Peers in wire form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers<'a> {
    /// Received over IPv4.
    Ipv4(&'a [[u8; IPV4_PEER_LENGTH]]),
    /// Received over IPv6.
    Ipv6(&'a [[u8; IPV6_PEER_LENGTH]]),
}

/// The response to a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapeResponse<'a> {
    /// The transaction id of the request.
    pub transaction_id: TransactionId,
    /// The torrents in wire form, one for each info hash of the request.
    pub torrents: &'a [[u8; SCRAPE_TORRENT_LENGTH]],
}

/// An error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorResponse<'a> {
    /// The transaction id of the request.
    pub transaction_id: TransactionId,
    /// The reason, usually text.
    pub message: &'a [u8],
}

impl<'a> Response<'a> {
    /// Parses a datagram that was received on a socket of the given family.
    ///
    /// # Errors
    ///
    /// If it is not a valid response.
    #[inline]
    pub fn parse(datagram: &'a [u8], family: AddressFamily) -> Result<Self, ResponseError> {
        let (header, body) = datagram
            .split_first_chunk::<REPLY_HEADER_LENGTH>()
            .ok_or(ResponseError::TooShort)?;
        let transaction_id = TransactionId(field::<4, 4, _>(header));

        match u32::from_be_bytes(field::<0, 4, _>(header)) {
            action::CONNECT => {
                let fields = datagram
                    .first_chunk::<CONNECT_LENGTH>()
                    .ok_or(ResponseError::TooShort)?;
                Ok(Self::Connect(ConnectResponse {
                    transaction_id,
                    connection_id: ConnectionId(field::<8, 8, _>(fields)),
                }))
            }
            action::ANNOUNCE => {
                let (fields, peers) = datagram
                    .split_first_chunk::<ANNOUNCE_REPLY_HEADER_LENGTH>()
                    .ok_or(ResponseError::TooShort)?;
                Ok(Self::Announce(AnnounceResponse {
                    transaction_id,
                    interval_seconds: u32::from_be_bytes(field::<8, 4, _>(fields)),
                    leechers: u32::from_be_bytes(field::<12, 4, _>(fields)),
                    seeders: u32::from_be_bytes(field::<16, 4, _>(fields)),
                    peers: Peers::parse(peers, family).ok_or(ResponseError::PartialPeer)?,
                }))
            }
            action::SCRAPE => match body.as_chunks() {
                (torrents, []) => Ok(Self::Scrape(ScrapeResponse {
                    transaction_id,
                    torrents,
                })),
                _ => Err(ResponseError::PartialTorrent),
            },
            action::ERROR => Ok(Self::Error(ErrorResponse {
                transaction_id,
                message: body,
            })),
            other => Err(ResponseError::UnknownAction(other)),
        }
    }

    /// The transaction id, which every response has.
    #[inline]
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        match self {
            Self::Connect(response) => response.transaction_id,
            Self::Announce(response) => response.transaction_id,
            Self::Scrape(response) => response.transaction_id,
            Self::Error(response) => response.transaction_id,
        }
    }
}

impl<'a> Peers<'a> {
    fn parse(bytes: &'a [u8], family: AddressFamily) -> Option<Self> {
        match family {
            AddressFamily::Ipv4 => match bytes.as_chunks() {
                (peers, []) => Some(Self::Ipv4(peers)),
                _ => None,
            },
            AddressFamily::Ipv6 => match bytes.as_chunks() {
                (peers, []) => Some(Self::Ipv6(peers)),
                _ => None,
            },
        }
    }

    /// Number of peers.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Ipv4(peers) => peers.len(),
            Self::Ipv6(peers) => peers.len(),
        }
    }

    /// Whether there are no peers.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The addresses of the peers, in the order of the response.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + use<'a> {
        let (ipv4, ipv6): (&'a [_], &'a [_]) = match *self {
            Self::Ipv4(peers) => (peers, &[]),
            Self::Ipv6(peers) => (&[], peers),
        };
        ipv4.iter()
            .map(ipv4_address)
            .chain(ipv6.iter().map(ipv6_address))
    }
}

impl ScrapeResponse<'_> {
    /// The torrents, in the order of the request's info hashes.
    pub fn torrents(&self) -> impl ExactSizeIterator<Item = TorrentStatistics> {
        self.torrents
            .iter()
            .map(|&bytes| TorrentStatistics::from_bytes(bytes))
    }
}

fn ipv4_address(bytes: &[u8; IPV4_PEER_LENGTH]) -> SocketAddr {
    let address = Ipv4Addr::from(field::<0, 4, _>(bytes));
    SocketAddr::from((address, u16::from_be_bytes(field::<4, 2, _>(bytes))))
}

fn ipv6_address(bytes: &[u8; IPV6_PEER_LENGTH]) -> SocketAddr {
    let address = Ipv6Addr::from(field::<0, 16, _>(bytes));
    SocketAddr::from((address, u16::from_be_bytes(field::<16, 2, _>(bytes))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{AnnounceWriter, ScrapeWriter, write_connect, write_error};

    const TRANSACTION_ID: TransactionId = TransactionId(*b"\x12\x34\x56\x78");

    fn parse(bytes: &[u8]) -> Result<Response<'_>, ResponseError> {
        Response::parse(bytes, AddressFamily::Ipv4)
    }

    fn announce(bytes: &[u8], family: AddressFamily) -> AnnounceResponse<'_> {
        match Response::parse(bytes, family) {
            Ok(Response::Announce(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_connect_response() {
        let expected = Response::Connect(ConnectResponse {
            transaction_id: TRANSACTION_ID,
            connection_id: ConnectionId(*b"CONN-ID!"),
        });
        let bytes = b"\x00\x00\x00\x00\x12\x34\x56\x78CONN-ID!";
        assert_eq!(parse(bytes), Ok(expected));
        assert_eq!(expected.transaction_id(), TRANSACTION_ID);
        assert_eq!(parse(&bytes[..15]), Err(ResponseError::TooShort));
        assert_eq!(parse(&bytes[..7]), Err(ResponseError::TooShort));
    }

    #[test]
    fn reads_an_announce_response_of_either_family() {
        let header = b"\
            \x00\x00\x00\x01\x12\x34\x56\x78\
            \x00\x00\x03\x84\x00\x00\x00\x07\x00\x00\x00\x05";
        let peers = b"\
            \x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe1";
        let bytes = [&header[..], peers].concat();

        let response = announce(&bytes, AddressFamily::Ipv6);
        assert_eq!(response.interval_seconds, 900);
        assert_eq!(response.leechers, 7);
        assert_eq!(response.seeders, 5);
        let expected: SocketAddr = "[2001:db8::1]:6881".parse().unwrap();
        assert!(response.peers.addresses().eq([expected]));
        assert_eq!(response.peers.len(), 1);

        let response = announce(&bytes, AddressFamily::Ipv4);
        assert_eq!(response.peers.len(), 3);
        let expected: SocketAddr = "32.1.13.184:0".parse().unwrap();
        assert_eq!(response.peers.addresses().next(), Some(expected));

        assert!(announce(header, AddressFamily::Ipv6).peers.is_empty());
        assert_eq!(parse(&header[..19]), Err(ResponseError::TooShort));
        assert_eq!(
            parse(&bytes[..bytes.len() - 1]),
            Err(ResponseError::PartialPeer)
        );
    }

    #[test]
    fn reads_a_scrape_response() {
        let bytes = b"\
            \x00\x00\x00\x02\x12\x34\x56\x78\
            \x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03";
        let Ok(Response::Scrape(response)) = parse(bytes) else {
            panic!("a scrape of one torrent");
        };
        assert!(response.torrents().eq([TorrentStatistics {
            seeders: 1,
            completed: 2,
            leechers: 3,
        }]));
        assert_eq!(parse(&bytes[..19]), Err(ResponseError::PartialTorrent));
    }

    #[test]
    fn reads_an_error() {
        let expected = Response::Error(ErrorResponse {
            transaction_id: TRANSACTION_ID,
            message: b"no",
        });
        assert_eq!(parse(b"\x00\x00\x00\x03\x12\x34\x56\x78no"), Ok(expected));
        assert_eq!(
            parse(b"\x00\x00\x00\x04\x12\x34\x56\x78"),
            Err(ResponseError::UnknownAction(4))
        );
    }

    proptest! {
        #[test]
        fn replies_come_back(
            transaction_id: [u8; 4],
            connection_id: [u8; 8],
            counts: (u32, u32, u32),
            peers: Vec<[u8; 18]>,
            text: String,
        ) {
            let transaction_id = TransactionId(transaction_id);
            let mut out = vec![0; 64 + peers.len() * 18 + text.len()];

            let length = write_connect(&mut out, transaction_id, ConnectionId(connection_id))?;
            let expected = ConnectResponse {
                transaction_id,
                connection_id: ConnectionId(connection_id),
            };
            prop_assert_eq!(parse(&out[..length]), Ok(Response::Connect(expected)));

            let mut writer = AnnounceWriter::new(&mut out)?;
            writer.append_peers(peers.as_flattened())?;
            let length = writer.finish(transaction_id, counts.0, counts.1, counts.2);
            let expected = AnnounceResponse {
                transaction_id,
                interval_seconds: counts.0,
                seeders: counts.1,
                leechers: counts.2,
                peers: Peers::Ipv6(&peers),
            };
            prop_assert_eq!(announce(&out[..length], AddressFamily::Ipv6), expected);

            let torrent = TorrentStatistics {
                seeders: counts.0,
                completed: counts.1,
                leechers: counts.2,
            };
            let mut writer = ScrapeWriter::new(&mut out, transaction_id)?;
            writer.append(torrent)?;
            let length = writer.finish();
            let Ok(Response::Scrape(response)) = parse(&out[..length]) else {
                panic!("a scrape of one torrent");
            };
            prop_assert!(response.torrents().eq([torrent]));

            let length = write_error(&mut out, transaction_id, &text)?;
            let expected = ErrorResponse { transaction_id, message: text.as_bytes() };
            prop_assert_eq!(parse(&out[..length]), Ok(Response::Error(expected)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, action in 0_u8..5, v6: bool) {
            if let Some(field) = bytes.get_mut(..4) {
                field.copy_from_slice(&[0, 0, 0, action]);
            }
            let family = if v6 { AddressFamily::Ipv6 } else { AddressFamily::Ipv4 };
            if let Ok(Response::Announce(response)) = Response::parse(&bytes, family) {
                prop_assert_eq!(response.peers.addresses().count(), response.peers.len());
            }
        }
    }
}
