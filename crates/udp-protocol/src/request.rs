//! What clients send.

use std::num::NonZeroU32;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};

use crate::wire::{Writer, field};
use crate::{
    BufferTooSmall, CONNECT_LENGTH, ConnectionId, INFO_HASH_LENGTH, SCRAPE_REQUEST_HEADER_LENGTH,
    TransactionId, UrlData, action,
};

/// The number that opens a connect request (BEP 15, "protocol_id").
pub const PROTOCOL_ID: u64 = 0x0000_0417_2710_1980;

/// Bytes of an announce without options.
pub const MIN_ANNOUNCE_LENGTH: usize = 98;

/// Bytes that every request has: connection id, action and transaction id.
const HEADER_LENGTH: usize = 16;

/// A datagram from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks for a connection id.
    Connect(ConnectRequest),
    /// Makes a peer known and asks for others.
    Announce(AnnounceRequest<'a>),
    /// Asks how many peers torrents have.
    Scrape(ScrapeRequest<'a>),
}

/// Why a datagram is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Shorter than any request.
    #[error("{length} bytes are too few for a request, which has at least 16")]
    TooShort {
        /// Bytes in the datagram.
        length: usize,
    },
    /// A connect request that does not start with [`PROTOCOL_ID`]: of another
    /// protocol, most likely.
    #[error("a connect request starts with the protocol id, not with {0:#018x}")]
    ProtocolId(u64),
    /// A request whose sender can be told what is wrong with it, provided that
    /// the connection id is valid.
    #[error("{fault}")]
    Answerable {
        /// To be checked before the sender is answered.
        connection_id: ConnectionId,
        /// To be repeated in the answer.
        transaction_id: TransactionId,
        /// What is wrong.
        fault: RequestFault,
    },
}

/// What is wrong with a request whose header was read. The texts are short
/// and meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// Neither connect, announce nor scrape.
    #[error("unknown action")]
    UnknownAction(u32),
    /// An announce of fewer than [`MIN_ANNOUNCE_LENGTH`] bytes.
    #[error("announce request is too short")]
    AnnounceTooShort,
    /// A scrape of no torrent, which elsewhere means all torrents.
    #[error("scrape request names no info hash")]
    ScrapeWithoutInfoHash,
    /// A scrape that ends within an info hash.
    #[error("scrape request ends within an info hash")]
    ScrapePartialInfoHash,
}

/// Asks for a connection id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectRequest {
    /// To be repeated in the reply.
    pub transaction_id: TransactionId,
}

/// Makes a peer known and asks for others.
///
/// The IP address among the fields of BEP 15 (offset 84) is not read, because
/// anybody could be announced with it, and is written as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceRequest<'a> {
    /// What the tracker replied to a connect request.
    pub connection_id: ConnectionId,
    /// To be repeated in the reply.
    pub transaction_id: TransactionId,
    /// The torrent.
    pub info_hash: InfoHash,
    /// What the peer calls itself.
    pub peer_id: PeerId,
    /// Bytes downloaded since the peer started, as it says.
    pub downloaded: i64,
    /// Bytes that the peer lacks; 0 makes it a seeder.
    pub left: i64,
    /// Bytes uploaded since the peer started, as it says.
    pub uploaded: i64,
    /// Why the peer announces.
    pub event: AnnounceEvent,
    /// By which a peer is known when its address changes.
    pub key: u32,
    /// How many peers to send at most; none if the client leaves it to the
    /// tracker, with 0 or a negative number (BEP 15: "-1 default").
    pub peers_wanted: Option<NonZeroU32>,
    /// Where the peer listens; 0 is possible here and is the caller's to refuse.
    pub port: u16,
    /// What follows the fields (BEP 41).
    pub url_data: UrlData<'a>,
}

/// Asks how many peers torrents have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapeRequest<'a> {
    /// What the tracker replied to a connect request.
    pub connection_id: ConnectionId,
    /// To be repeated in the reply.
    pub transaction_id: TransactionId,
    /// The bytes of at least one info hash.
    pub info_hashes: &'a [[u8; INFO_HASH_LENGTH]],
}

impl<'a> Request<'a> {
    /// Reads a datagram.
    ///
    /// Bytes after a connect request are ignored, and those after an announce
    /// are options: BEP 15 says that more fields may come.
    ///
    /// # Errors
    ///
    /// When the datagram is no request; the error knows whether the sender can
    /// be answered.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RequestError> {
        let Some((header, body)) = datagram.split_first_chunk::<HEADER_LENGTH>() else {
            return Err(RequestError::TooShort {
                length: datagram.len(),
            });
        };
        // Offsets of BEP 15: 0 connection id, 8 action, 12 transaction id.
        let connection_id = ConnectionId(field::<0, 8, _>(header));
        let transaction_id = TransactionId(field::<12, 4, _>(header));
        let answerable = |fault| RequestError::Answerable {
            connection_id,
            transaction_id,
            fault,
        };

        match u32::from_be_bytes(field::<8, 4, _>(header)) {
            action::ANNOUNCE => AnnounceRequest::parse(datagram)
                .map(Request::Announce)
                .ok_or_else(|| answerable(RequestFault::AnnounceTooShort)),
            action::CONNECT => match u64::from_be_bytes(connection_id.0) {
                PROTOCOL_ID => Ok(Request::Connect(ConnectRequest { transaction_id })),
                other => Err(RequestError::ProtocolId(other)),
            },
            action::SCRAPE => match body.as_chunks::<INFO_HASH_LENGTH>() {
                ([], []) => Err(answerable(RequestFault::ScrapeWithoutInfoHash)),
                (info_hashes, []) => Ok(Request::Scrape(ScrapeRequest {
                    connection_id,
                    transaction_id,
                    info_hashes,
                })),
                _ => Err(answerable(RequestFault::ScrapePartialInfoHash)),
            },
            other => Err(answerable(RequestFault::UnknownAction(other))),
        }
    }
}

impl ConnectRequest {
    /// The request as it is sent.
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; CONNECT_LENGTH] {
        let mut bytes = [0; CONNECT_LENGTH];
        bytes[..8].copy_from_slice(&PROTOCOL_ID.to_be_bytes());
        bytes[8..12].copy_from_slice(&action::CONNECT.to_be_bytes());
        bytes[12..].copy_from_slice(&self.transaction_id.0);
        bytes
    }
}

impl<'a> AnnounceRequest<'a> {
    /// Whether the peer has the whole torrent.
    #[inline]
    #[must_use]
    pub const fn is_seeder(&self) -> bool {
        self.left == 0
    }

    /// Reads the fields at BEP 15's offsets.
    #[inline]
    fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (fields, options) = datagram.split_first_chunk::<MIN_ANNOUNCE_LENGTH>()?;
        let peers_wanted = i32::from_be_bytes(field::<92, 4, _>(fields));
        Some(Self {
            connection_id: ConnectionId(field::<0, 8, _>(fields)),
            transaction_id: TransactionId(field::<12, 4, _>(fields)),
            info_hash: InfoHash(field::<16, 20, _>(fields)),
            peer_id: PeerId(field::<36, 20, _>(fields)),
            downloaded: i64::from_be_bytes(field::<56, 8, _>(fields)),
            left: i64::from_be_bytes(field::<64, 8, _>(fields)),
            uploaded: i64::from_be_bytes(field::<72, 8, _>(fields)),
            event: event_from_number(u32::from_be_bytes(field::<80, 4, _>(fields))),
            key: u32::from_be_bytes(field::<88, 4, _>(fields)),
            peers_wanted: u32::try_from(peers_wanted).ok().and_then(NonZeroU32::new),
            port: u16::from_be_bytes(field::<96, 2, _>(fields)),
            url_data: UrlData::from_options(options),
        })
    }

    /// Writes the request as it is sent, options included; returns its length.
    /// `peers_wanted` is written as -1 when there is none.
    ///
    /// # Errors
    ///
    /// When `out` is smaller than the request.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let peers_wanted = match self.peers_wanted {
            // More than the field can hold means as many as there are.
            Some(count) => i32::try_from(count.get()).unwrap_or(i32::MAX),
            None => -1,
        };
        let mut writer = Writer::new(out);
        writer.put(&self.connection_id.0)?;
        writer.put(&action::ANNOUNCE.to_be_bytes())?;
        writer.put(&self.transaction_id.0)?;
        writer.put(&self.info_hash.0)?;
        writer.put(&self.peer_id.0)?;
        writer.put(&self.downloaded.to_be_bytes())?;
        writer.put(&self.left.to_be_bytes())?;
        writer.put(&self.uploaded.to_be_bytes())?;
        writer.put(&event_to_number(self.event).to_be_bytes())?;
        writer.put(&[0; 4])?;
        writer.put(&self.key.to_be_bytes())?;
        writer.put(&peers_wanted.to_be_bytes())?;
        writer.put(&self.port.to_be_bytes())?;
        writer.put(self.url_data.options())?;
        Ok(writer.length())
    }
}

impl ScrapeRequest<'_> {
    /// The torrents asked for, in the order of the reply.
    #[inline]
    pub fn info_hashes(&self) -> impl ExactSizeIterator<Item = InfoHash> {
        self.info_hashes.iter().map(|&bytes| InfoHash(bytes))
    }

    /// Writes the request as it is sent; returns its length.
    ///
    /// # Errors
    ///
    /// When `out` is smaller than the request.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(out);
        writer.put(&self.connection_id.0)?;
        writer.put(&action::SCRAPE.to_be_bytes())?;
        writer.put(&self.transaction_id.0)?;
        debug_assert_eq!(writer.length(), SCRAPE_REQUEST_HEADER_LENGTH);
        writer.put(self.info_hashes.as_flattened())?;
        Ok(writer.length())
    }
}

/// BEP 15's numbers, and BEP 21's `paused`, which libtorrent sends as 4.
#[inline]
fn event_from_number(number: u32) -> AnnounceEvent {
    match number {
        1 => AnnounceEvent::Completed,
        2 => AnnounceEvent::Started,
        3 => AnnounceEvent::Stopped,
        4 => AnnounceEvent::Paused,
        _ => AnnounceEvent::None,
    }
}

fn event_to_number(event: AnnounceEvent) -> u32 {
    match event {
        AnnounceEvent::None => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
        AnnounceEvent::Paused => 4,
    }
}

#[cfg(test)]
mod tests;
