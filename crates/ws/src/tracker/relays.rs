//! Messages that are relayed to other connections.

use std::hash::{BuildHasher as _, RandomState};
use std::{slice, vec};

use aquatic_bittorrent::{InfoHash, PeerId};
use aquatic_cluster::{Signal, SignalKind};
use aquatic_stream::ConnectionId;
use aquatic_ws_protocol::{Offer, OfferId, RelayedAnswer, RelayedOffer, write_text};

/// Address of a connection, in 8 bytes that are part of a peer's record: its worker, and
/// its id within that worker. If the connection is on another node: the number of that node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub u64);

/// Number of bits for the worker.
const WORKER_BITS: u32 = u64::BITS - ConnectionId::BITS;

/// Maximum number of workers. The remaining number stands for other nodes.
pub const MAX_WORKERS: usize = (1 << WORKER_BITS) - 1;

impl Address {
    /// The address of a connection. The worker's number must be below [`MAX_WORKERS`].
    pub fn new(worker: usize, connection: ConnectionId) -> Self {
        Self((worker as u64) << ConnectionId::BITS | connection.to_bits())
    }

    /// The address of all connections on the node with this number.
    pub fn of_node(number: u32) -> Self {
        Self((MAX_WORKERS as u64) << ConnectionId::BITS | u64::from(number))
    }

    /// The address in the record of a peer.
    pub fn in_record(record: &[u8; 28]) -> Self {
        let [.., a, b, c, d, e, f, g, h] = *record;
        Self(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The number of the node, if it is another one.
    pub fn node(self) -> Option<u32> {
        // The bits above are those of the worker.
        (self.worker() == MAX_WORKERS).then_some(self.0 as u32)
    }

    /// The number of the worker, or [`MAX_WORKERS`] if the connection is on another node.
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

/// A keyed hash of an offer's torrent, of the peer at its other end, and of its id, for
/// which nobody can find collisions. With a receiver, the other end is the sender; with the
/// sender of an offer to a peer of another node, it is the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferName(pub(super) u64);

/// The key of the hash.
#[derive(Debug, Default)]
pub(super) struct OfferNames(RandomState);

impl OfferNames {
    pub(super) fn of(&self, info_hash: InfoHash, other: PeerId, id: OfferId) -> OfferName {
        OfferName(self.0.hash_one((info_hash.0, other.0, id.0)))
    }
}

/// The receiver of a message, and what its worker has to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The receiving connection.
    pub to: Address,
    /// What the message is.
    pub kind: RelayKind,
}

/// What a relayed message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayKind {
    /// An offer, which the receiver can answer. To another node: an offer that a peer of
    /// that node can answer.
    Offer(PendingOffer),
    /// An answer to an offer that the receiver has sent.
    Answer,
    /// An answer from another node. The receiver gets it only if it has sent this offer to
    /// a peer of that node.
    AnswerFromNode(OfferName, Address),
}

impl RelayKind {
    /// Whether it is an offer.
    pub fn is_offer(self) -> bool {
        matches!(self, Self::Offer(_))
    }
}

/// A message for another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed<'m> {
    /// The receiver.
    pub envelope: Envelope,
    to_peer_id: PeerId,
    content: Content<'m>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content<'m> {
    Offer(RelayedOffer<'m>),
    Answer(RelayedAnswer<'m>),
}

impl<'m> Relayed<'m> {
    /// The message as it is sent to another node.
    pub fn signal(&self) -> Signal<'m> {
        let (kind, info_hash, from, offer_id, description) = match self.content {
            Content::Offer(it) => (
                SignalKind::Offer,
                it.info_hash,
                it.from_peer_id,
                it.offer_id,
                it.description,
            ),
            Content::Answer(it) => (
                SignalKind::Answer,
                it.info_hash,
                it.from_peer_id,
                it.offer_id,
                it.description,
            ),
        };
        Signal {
            kind,
            info_hash,
            to: self.to_peer_id,
            from,
            offer_id: offer_id.0,
            description: description.json().as_bytes(),
        }
    }

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
    /// The records of the peers that get an offer.
    pub(super) receivers: slice::Iter<'t, [u8; 28]>,
    pub(super) offers: vec::IntoIter<Offer<'m>>,
}

impl<'m> Relays<'_, 'm> {
    pub(super) fn answer(to: Address, to_peer_id: PeerId, answer: RelayedAnswer<'m>) -> Self {
        Self::Answer(Relayed {
            envelope: Envelope {
                to,
                kind: RelayKind::Answer,
            },
            to_peer_id,
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
        let record = self.receivers.next()?;
        let Offer { id, description } = self.offers.next()?;
        let to = Address::in_record(record);
        let to_peer_id = peer_id_in(record);
        let other_peer_id = match to.node() {
            None => self.from_peer_id,
            // Remembered with the sender.
            Some(_) => to_peer_id,
        };
        let pending = PendingOffer {
            name: self.names.of(self.info_hash, other_peer_id, id),
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
                kind: RelayKind::Offer(pending),
            },
            to_peer_id,
            content: Content::Offer(relayed),
        })
    }
}

fn peer_id_in(record: &[u8; 28]) -> PeerId {
    let mut peer_id = [0; 20];
    peer_id.copy_from_slice(&record[..20]);
    PeerId(peer_id)
}
