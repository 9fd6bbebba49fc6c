//! Messages that are relayed to other connections.

use std::hash::{BuildHasher as _, RandomState};
use std::{slice, vec};

use aquatic_bittorrent::{InfoHash, PeerId};
use aquatic_stream::ConnectionId;
use aquatic_ws_protocol::{Offer, OfferId, RelayedAnswer, RelayedOffer, write_text};

/// Address of a connection, in 8 bytes that are part of a peer's record: its worker, and
/// its id within that worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub u64);

/// Number of bits for the worker.
const WORKER_BITS: u32 = u64::BITS - ConnectionId::BITS;

/// Maximum number of workers.
pub const MAX_WORKERS: usize = 1 << WORKER_BITS;

impl Address {
    /// The address of a connection. The worker's number must be below [`MAX_WORKERS`].
    pub fn new(worker: usize, connection: ConnectionId) -> Self {
        Self((worker as u64) << ConnectionId::BITS | connection.to_bits())
    }

    /// The number of the worker.
    pub fn worker(self) -> usize {
        (self.0 >> ConnectionId::BITS) as usize
    }

    /// The id of the connection within its worker.
    pub fn connection(self) -> ConnectionId {
        ConnectionId::from_bits(self.0)
    }
}

/// An offer that its receiver can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingOffer {
    /// A hash of what identifies the offer in an answer.
    pub name: OfferName,
    /// The connection that sent the offer.
    pub sender: Address,
    /// When it expires, in seconds on a monotonic clock.
    pub valid_until: u32,
}

/// A keyed hash of an offer's torrent, sender and id, for which nobody can find collisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferName(pub(super) u64);

/// The key of the hash.
#[derive(Debug, Default)]
pub(super) struct OfferNames(RandomState);

impl OfferNames {
    pub(super) fn of(&self, info_hash: InfoHash, sender: PeerId, id: OfferId) -> OfferName {
        OfferName(self.0.hash_one((info_hash.0, sender.0, id.0)))
    }
}

/// The receiver of a message, and what to remember with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The receiving connection.
    pub to: Address,
    /// The offer in the message, which the receiver can answer; `None` for an answer.
    pub offer: Option<PendingOffer>,
}

/// A message for another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed<'m> {
    /// The receiver.
    pub envelope: Envelope,
    content: Content<'m>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content<'m> {
    Offer(RelayedOffer<'m>),
    Answer(RelayedAnswer<'m>),
}

impl Relayed<'_> {
    /// Appends the message, as a WebSocket frame, to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_text(out, |out| match &self.content {
            Content::Offer(offer) => offer.write(out),
            Content::Answer(answer) => answer.write(out),
        });
    }
}

/// An iterator over the messages to relay, which are written while it is consumed: at most
/// `max_offers` for an announce, and one for an answer.
#[derive(Debug)]
pub enum Relays<'t, 'm> {
    /// No messages.
    None,
    /// The answer to an offer.
    Answer(Relayed<'m>),
    /// Offers, each to another peer.
    Offers(Offers<'t, 'm>),
}

/// The offers of an announce and their receivers.
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
