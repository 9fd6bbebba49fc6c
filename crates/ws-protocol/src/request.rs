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

/// How much of a request is kept; the rest is skipped.
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
    /// A peer is there, or leaves.
    Announce(Announce<'a>),
    /// A peer answers another one's offer. That is sent as an announce, too,
    /// but says nothing else, and is only answered if it is rejected.
    Answer(Answer<'a>),
    /// How many peers torrents have.
    Scrape(Scrape),
}

/// What a request is; repeated in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// An announce, an offer or an answer.
    Announce,
    /// A scrape.
    Scrape,
}

/// A peer is there, or leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce<'a> {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Which peer.
    pub peer_id: PeerId,
    /// Why it announces.
    pub event: AnnounceEvent,
    /// Bytes that the peer has not downloaded yet; `None` if it does not know or say.
    pub left: Option<u64>,
    /// How many peers it wants; `None` if that is absent, or not above 0.
    pub wanted: Option<u32>,
    /// To be sent to other peers, one each: the first [`MaxItems::offers`].
    pub offers: Vec<Offer<'a>>,
}

/// What a peer proposes to another one, whichever that will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Repeated in the answer.
    pub id: OfferId,
    /// How to connect.
    pub description: SessionDescription<'a>,
}

/// How a peer answers the offer of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who answers.
    pub peer_id: PeerId,
    /// Whose offer it was.
    pub to_peer_id: PeerId,
    /// Which offer it was.
    pub offer_id: OfferId,
    /// How to connect.
    pub description: SessionDescription<'a>,
}

/// How many peers torrents have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrape {
    /// The first [`MaxItems::scrape_torrents`] that were named; perhaps none,
    /// perhaps one twice.
    pub info_hashes: Vec<InfoHash>,
}

/// The name that a peer gives an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfferId(pub [u8; 20]);

/// How to connect over WebRTC (`RTCSessionDescription`): an object of JSON, as
/// the client wrote it.
///
/// Only its bounds are found; what is in it is for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionDescription<'a>(&'a str);

impl<'a> Request<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// It is no request, or one that cannot be answered. The client is to be sent a
    /// [`Failure`](crate::Failure).
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
            // Others mean nothing, as over every protocol.
            event: self.event.given().unwrap_or_default(),
            left: left.and_then(|left| left.try_into().ok()),
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
    /// Whether nothing is left for the peer to download. One that does not say
    /// so is a leecher: a magnet link does not tell how large a torrent is.
    #[must_use]
    pub fn is_seeder(&self) -> bool {
        self.left == Some(0)
    }
}

impl<'a> SessionDescription<'a> {
    /// Takes JSON for a description; `None` if it is no object.
    #[must_use]
    pub fn new(json: &'a str) -> Option<Self> {
        let raw: &serde_json::value::RawValue = serde_json::from_str(json).ok()?;
        Self::from_raw(raw)
    }

    #[inline]
    pub(crate) fn from_raw(raw: &'a serde_json::value::RawValue) -> Option<Self> {
        // Without space around it.
        let json = raw.get();
        json.starts_with('{').then_some(Self(json))
    }

    /// As the client wrote it.
    #[must_use]
    pub fn json(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests;
