//! What is to be sent to other connections because of a message.

use std::hash::{BuildHasher as _, RandomState};
use std::{slice, vec};

use aquatic_bittorrent::{InfoHash, PeerId};
use aquatic_stream::ConnectionId;
use aquatic_ws_protocol::{Offer, OfferId, RelayedAnswer, RelayedOffer, write_text};

/// Where a connection is, in 8 bytes that are part of a peer: its worker, and which of
/// the worker's connections it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub u64);

/// Bits of an address that say which worker it is of.
const WORKER_BITS: u32 = u64::BITS - ConnectionId::BITS;

/// The maximum of workers that addresses tell apart.
pub const MAX_WORKERS: usize = 1 << WORKER_BITS;

impl Address {
    /// The address of a connection of a worker, whose number is below [`MAX_WORKERS`].
    pub fn new(worker: usize, connection: ConnectionId) -> Self {
        Self((worker as u64) << ConnectionId::BITS | connection.to_bits())
    }

    /// The number of the worker.
    pub fn worker(self) -> usize {
        (self.0 >> ConnectionId::BITS) as usize
    }

    /// The connection of that worker.
    pub fn connection(self) -> ConnectionId {
        ConnectionId::from_bits(self.0)
    }
}

/// An offer that its receiver may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingOffer {
    /// What the answer has to name, in short.
    pub name: OfferName,
    /// The connection that waits for the answer.
    pub sender: Address,
    /// Until when; seconds on the clock that never goes back.
    pub valid_until: u32,
}

/// A keyed hash of an offer's torrent, sender and id: nobody can find two that
/// are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferName(pub(super) u64);

/// The secret by which offers get their names.
#[derive(Debug, Default)]
pub(super) struct OfferNames(RandomState);

impl OfferNames {
    pub(super) fn of(&self, info_hash: InfoHash, sender: PeerId, id: OfferId) -> OfferName {
        OfferName(self.0.hash_one((info_hash.0, sender.0, id.0)))
    }
}

/// Who gets a message, and what is to be remembered with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The connection that the message is for.
    pub to: Address,
    /// The offer in it, for the receiver to answer; `None` for an answer.
    pub offer: Option<PendingOffer>,
}

/// A message for another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed<'m> {
    /// Who gets it.
    pub envelope: Envelope,
    content: Content<'m>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content<'m> {
    Offer(RelayedOffer<'m>),
    Answer(RelayedAnswer<'m>),
}

impl Relayed<'_> {
    /// Appends the message as a frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_text(out, |out| match &self.content {
            Content::Offer(offer) => offer.write(out),
            Content::Answer(answer) => answer.write(out),
        });
    }
}

/// The messages for other connections that a message leads to, which are made one by one:
/// `max_offers` of an announce at most, and one of an answer.
#[derive(Debug)]
pub enum Relays<'t, 'm> {
    /// There is none.
    None,
    /// The answer to an offer.
    Answer(Relayed<'m>),
    /// Offers, each for another peer.
    Offers(Offers<'t, 'm>),
}

/// The offers of an announce and who gets them.
#[derive(Debug)]
pub struct Offers<'t, 'm> {
    pub(super) names: &'t OfferNames,
    pub(super) info_hash: InfoHash,
    pub(super) from_peer_id: PeerId,
    pub(super) sender: Address,
    pub(super) valid_until: u32,
    pub(super) receivers: slice::Iter<'t, Address>,
    pub(super) offers: vec::IntoIter<Offer<'m>>,
}

impl<'m> Relays<'_, 'm> {
    pub(super) fn answer(to: Address, answer: RelayedAnswer<'m>) -> Self {
        Self::Answer(Relayed {
            envelope: Envelope { to, offer: None },
            content: Content::Answer(answer),
        })
    }
}

impl<'m> Iterator for Relays<'_, 'm> {
    type Item = Relayed<'m>;

    #[inline]
    fn next(&mut self) -> Option<Relayed<'m>> {
        match self {
            Self::None => None,
            Self::Answer(answer) => {
                let answer = *answer;
                *self = Self::None;
                Some(answer)
            }
            Self::Offers(offers) => offers.next(),
        }
    }
}

impl<'m> Iterator for Offers<'_, 'm> {
    type Item = Relayed<'m>;

    #[inline]
    fn next(&mut self) -> Option<Relayed<'m>> {
        let to = *self.receivers.next()?;
        let Offer { id, description } = self.offers.next()?;
        let pending = PendingOffer {
            name: self.names.of(self.info_hash, self.from_peer_id, id),
            sender: self.sender,
            valid_until: self.valid_until,
        };
        let relayed = RelayedOffer {
            info_hash: self.info_hash,
            from_peer_id: self.from_peer_id,
            offer_id: id,
            description,
        };
        Some(Relayed {
            envelope: Envelope {
                to,
                offer: Some(pending),
            },
            content: Content::Offer(relayed),
        })
    }
}
