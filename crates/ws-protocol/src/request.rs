//! Requests: the messages of clients.

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};

mod fault;
mod fields;
mod loose;
mod meaning;
mod name;
mod sent;

pub use fault::{RequestFault, RequestFaultKind};
use fields::Fields;
use loose::Loose;
use meaning::{Hashes, WrongOffer};
pub use sent::Sent;

use crate::json::Reader;

/// Maximum numbers of items of a request; further ones are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxItems {
    /// Offers of an announce.
    pub offers: usize,
    /// Torrents of a scrape.
    pub scrape_torrents: usize,
}

/// A message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// A peer announces itself, or leaves.
    Announce(Announce<'a>),
    /// A peer answers another one's offer. The message has the action of an announce, but
    /// no other announce fields, and gets a reply only if it is rejected.
    Answer(Answer<'a>),
    /// Requests the number of peers of torrents.
    Scrape(Scrape),
}

/// The action of a request, which is repeated in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// An announce, an offer or an answer.
    Announce,
    /// A scrape.
    Scrape,
}

/// A peer announces itself, or leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer.
    pub peer_id: PeerId,
    /// The event of the announce.
    pub event: AnnounceEvent,
    /// Number of bytes that the peer has not downloaded; `None` if it is unknown.
    pub left: Option<u64>,
    /// Number of bytes that the peer claims to have uploaded since it started; `None` if it
    /// says nothing, or no number.
    pub uploaded: Option<u64>,
    /// Number of bytes that the peer claims to have downloaded since it started.
    pub downloaded: Option<u64>,
    /// Maximum number of peers in the reply; `None` if it is missing, or not above 0.
    pub wanted: Option<u32>,
    /// Offers to be relayed to other peers, one each: the first [`MaxItems::offers`].
    pub offers: Vec<Offer<'a>>,
}

/// An offer to connect, for any other peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Is repeated in the answer.
    pub id: OfferId,
    /// The session description.
    pub description: SessionDescription<'a>,
}

/// An answer to another peer's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The peer that answers.
    pub peer_id: PeerId,
    /// The peer that sent the offer.
    pub to_peer_id: PeerId,
    /// The id of the offer.
    pub offer_id: OfferId,
    /// The session description.
    pub description: SessionDescription<'a>,
}

/// Requests the number of peers of torrents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrape {
    /// The first [`MaxItems::scrape_torrents`] info hashes; may be empty or contain
    /// duplicates.
    pub info_hashes: Vec<InfoHash>,
}

/// The id that a peer has given to an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfferId(pub [u8; 20]);

/// Parameters of a WebRTC connection (`RTCSessionDescription`): a JSON object, as sent by
/// the client.
///
/// What is in it is for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionDescription<'a>(&'a str);

impl<'a> Request<'a> {
    /// Parses a message.
    ///
    /// # Errors
    ///
    /// If it is not a valid request. The client gets a [`Failure`](crate::Failure).
    #[inline]
    pub fn parse(message: &'a str, max: MaxItems) -> Result<Self, RequestFault> {
        let Ok(fields) = Fields::parse(message, max) else {
            return Err(fault(RequestFaultKind::NotJson, None, message));
        };
        let action = fields.action.given();
        let request = match action {
            Some(Action::Announce) => fields.announce(),
            Some(Action::Scrape) => fields.scrape(),
            None => Err(RequestFaultKind::Action),
        };
        request.map_err(|kind| fault(kind, action, message))
    }
}

#[cold]
fn fault(kind: RequestFaultKind, action: Option<Action>, message: &str) -> RequestFault {
    RequestFault {
        kind,
        action,
        sent: Sent::of(message),
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn announce(self) -> Result<Request<'a>, RequestFaultKind> {
        let Loose::Given(Hashes::One(info_hash)) = self.info_hash else {
            return Err(RequestFaultKind::InfoHash);
        };
        let peer_id = self.peer_id.given().ok_or(RequestFaultKind::PeerId)?;
        let peer_id = PeerId(peer_id);
        if let Some(description) = self.answer.or_fault(RequestFaultKind::Answer)? {
            let to_peer_id = self.to_peer_id.given().ok_or(RequestFaultKind::ToPeerId)?;
            let offer_id = self.offer_id.given().ok_or(RequestFaultKind::OfferId)?;
            return Ok(Request::Answer(Answer {
                info_hash,
                peer_id,
                to_peer_id: PeerId(to_peer_id),
                offer_id: OfferId(offer_id),
                description,
            }));
        }
        let left = self.left.or_fault(RequestFaultKind::Left)?;
        let wanted = self.wanted.or_fault(RequestFaultKind::Wanted)?;
        let offers = self.offers.or_fault(RequestFaultKind::Offers)?;
        let offers = offers.unwrap_or_else(|| Ok(Vec::new()));
        Ok(Request::Announce(Announce {
            info_hash,
            peer_id,
            // Unknown events are ignored, as in all protocols.
            event: self.event.given().unwrap_or_default(),
            left: left.and_then(|left| left.try_into().ok()),
            // They matter to nobody but those who keep accounts, so they make no message wrong.
            uploaded: self
                .uploaded
                .given()
                .and_then(|bytes| bytes.try_into().ok()),
            downloaded: self
                .downloaded
                .given()
                .and_then(|bytes| bytes.try_into().ok()),
            wanted: wanted
                .filter(|&wanted| wanted > 0)
                .map(|wanted| wanted.try_into().unwrap_or(u32::MAX)),
            offers: offers.map_err(|WrongOffer(index)| RequestFaultKind::Offer(index))?,
        }))
    }

    fn scrape(self) -> Result<Request<'a>, RequestFaultKind> {
        let hashes = self.info_hash.or_fault(RequestFaultKind::ScrapeInfoHash)?;
        let info_hashes = match hashes.ok_or(RequestFaultKind::FullScrape)? {
            Hashes::One(info_hash) => vec![info_hash],
            Hashes::List(info_hashes) => info_hashes,
        };
        Ok(Request::Scrape(Scrape { info_hashes }))
    }
}

impl Announce<'_> {
    /// Whether the peer has nothing left to download. A peer that does not know is a
    /// leecher: a magnet link does not contain the size of the torrent.
    #[must_use]
    pub fn is_seeder(&self) -> bool {
        self.left == Some(0)
    }
}

impl<'a> SessionDescription<'a> {
    /// Creates a description from JSON; `None` if it is not an object.
    #[must_use]
    pub fn new(json: &'a str) -> Option<Self> {
        let mut reader = Reader::new(json);
        let raw = reader.raw().ok()?;
        reader.end().ok()?;
        Self::from_raw(raw)
    }

    /// Creates a description from a value without space around it.
    #[inline]
    pub(crate) fn from_raw(raw: &'a str) -> Option<Self> {
        raw.starts_with('{').then_some(Self(raw))
    }

    /// The JSON, as sent by the client.
    #[must_use]
    pub fn json(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests;
