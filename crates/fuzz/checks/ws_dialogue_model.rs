//! A model of the tracker, which consists of a few maps.

use std::collections::BTreeMap;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_ws_protocol::OfferId;
use aquatic_ws_protocol::client::Reply;

/// Maximum number of torrents of a connection.
pub(super) const MAX_TORRENTS: usize = 3;

/// Default seconds in which an offer can be answered, and after which a peer expires.
const OFFER_SECONDS: u64 = 120;
const PEER_SECONDS: u64 = 180;

/// A torrent and a peer, by their numbers.
pub(super) type Peer = (u8, u8);

pub(super) fn info_hash(torrent: u8) -> InfoHash {
    InfoHash([b'a' + torrent; 20])
}

pub(super) fn peer_id(peer: u8) -> PeerId {
    PeerId([b'p' + peer; 20])
}

/// The counts in a scrape reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) seeders: u32,
    pub(super) leechers: u32,
}

/// An expected reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Announce { torrent: u8, others: Counts },
    Scrape([Counts; 4]),
    Failure,
    Pong(u8),
}

impl Expected {
    pub(super) fn check(&self, reply: &Reply<'_>) {
        match (self, reply) {
            (Self::Failure, Reply::Failure { .. }) => {}
            (Self::Announce { torrent, others }, Reply::Announce(reply)) => {
                assert_eq!(reply.info_hash, info_hash(*torrent));
                let counts = (reply.seeders, reply.leechers);
                assert_eq!(counts, (others.seeders, others.leechers));
            }
            (Self::Scrape(counts), Reply::Scrape(torrents)) => {
                assert_eq!(torrents.len(), counts.len());
                for (torrent, counts) in torrents.iter().zip(counts) {
                    assert_eq!(torrent.seeders, counts.seeders);
                    assert_eq!(torrent.leechers, counts.leechers);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// An offer that was sent.
#[derive(Debug)]
pub(super) struct SentOffer {
    sender: usize,
    pub(super) peer: Peer,
    at: u64,
    /// Whether the tracker had to relay it.
    is_served: bool,
    receiver: Option<usize>,
    /// Whether it can no longer be answered.
    is_taken: bool,
    /// Whether an answer was sent and not received yet.
    is_answered: bool,
    has_answer: bool,
}

impl SentOffer {
    /// The first second in which it can no longer be answered.
    pub(super) fn end(&self) -> u64 {
        self.at + OFFER_SECONDS
    }
}

/// A stored peer.
struct Owner {
    connection: usize,
    is_seeder: bool,
    /// The time of its last announce.
    at: u64,
}

#[derive(Default)]
pub(super) struct Model {
    /// The owner of each peer.
    owners: BTreeMap<Peer, Owner>,
    /// The peer ids with which each connection has announced torrents.
    pub(super) announced: BTreeMap<(usize, u8), u8>,
    pub(super) offers: BTreeMap<OfferId, SentOffer>,
    /// Offers that each connection has received, including answered ones.
    pub(super) received: Received,
    closed: Vec<usize>,
}

/// A map in which every connection has a list.
#[derive(Default)]
pub(super) struct Received(BTreeMap<usize, Vec<OfferId>>);

impl std::ops::Index<&usize> for Received {
    type Output = Vec<OfferId>;

    fn index(&self, connection: &usize) -> &Self::Output {
        const NONE: &Vec<OfferId> = &Vec::new();
        self.0.get(connection).unwrap_or(NONE)
    }
}

impl Model {
    pub(super) fn counts(&self) -> [Counts; 4] {
        let mut counts = [Counts::default(); 4];
        for ((torrent, _), owner) in &self.owners {
            let counts = &mut counts[usize::from(*torrent)];
            if owner.is_seeder {
                counts.seeders += 1;
            } else {
                counts.leechers += 1;
            }
        }
        counts
    }

    pub(super) fn announce(
        &mut self,
        connection: usize,
        (torrent, peer): Peer,
        event: AnnounceEvent,
        is_seeder: bool,
        at: u64,
    ) -> Expected {
        let known = self.announced.get(&(connection, torrent)).copied();
        if known.is_some_and(|known| known != peer) {
            return Expected::Failure;
        }
        if event == AnnounceEvent::Stopped {
            self.announced.remove(&(connection, torrent));
            let owner = self.owners.get(&(torrent, peer));
            if owner.is_some_and(|owner| owner.connection == connection) {
                self.owners.remove(&(torrent, peer));
            }
            let others = self.counts()[usize::from(torrent)];
            return Expected::Announce { torrent, others };
        }
        let count = self
            .announced
            .keys()
            .filter(|it| it.0 == connection)
            .count();
        if known.is_none() && count >= MAX_TORRENTS {
            return Expected::Failure;
        }
        self.announced.insert((connection, torrent), peer);
        self.owners.remove(&(torrent, peer));
        let others = self.counts()[usize::from(torrent)];
        let owner = Owner {
            connection,
            is_seeder,
            at,
        };
        self.owners.insert((torrent, peer), owner);
        Expected::Announce { torrent, others }
    }

    /// An offer in an announce.
    pub(super) fn new_offer(
        &mut self,
        sender: usize,
        peer: Peer,
        is_served: bool,
        at: u64,
    ) -> OfferId {
        let id = offer_id(self.offers.len());
        let offer = SentOffer {
            sender,
            peer,
            at,
            is_served: is_served && self.owners.contains_key(&peer),
            receiver: None,
            is_taken: false,
            is_answered: false,
            has_answer: false,
        };
        self.offers.insert(id, offer);
        id
    }

    /// An offer that was never sent.
    pub(super) fn unknown_offer(&self) -> OfferId {
        OfferId([0xff; 20])
    }

    /// A connection has received an offer.
    pub(super) fn offered(
        &mut self,
        connection: usize,
        id: OfferId,
        (from_hash, from_peer): (InfoHash, PeerId),
    ) {
        assert!(!self.closed.contains(&connection), "it has left");
        let offer = self.offers.get_mut(&id).expect("an offer that was sent");
        assert!(offer.is_served);
        assert_ne!(offer.sender, connection, "never back to the sender");
        let (torrent, peer) = offer.peer;
        assert_eq!((from_hash, from_peer), (info_hash(torrent), peer_id(peer)));
        assert_eq!(
            offer.receiver.replace(connection),
            None,
            "one offer, one peer"
        );
        self.received.0.entry(connection).or_default().push(id);
    }

    /// A connection answers an offer; returns the expected reply, if any.
    pub(super) fn answer(
        &mut self,
        connection: usize,
        (torrent, peer): Peer,
        id: OfferId,
        at: u64,
    ) -> Option<Expected> {
        if self.announced.get(&(connection, torrent)) != Some(&peer) {
            return Some(Expected::Failure);
        }
        let Some(offer) = self.offers.get_mut(&id) else {
            return Some(Expected::Failure);
        };
        let was_taken = std::mem::replace(&mut offer.is_taken, true);
        let is_old = at >= offer.end();
        let is_there = self.owners.contains_key(&offer.peer);
        if was_taken || is_old || !is_there {
            return Some(Expected::Failure);
        }
        offer.is_answered = true;
        None
    }

    /// A connection has received an answer.
    pub(super) fn answered(&mut self, connection: usize, id: OfferId) {
        assert!(!self.closed.contains(&connection), "it has left");
        let offer = self.offers.get_mut(&id).expect("an offer that was sent");
        assert_eq!(offer.sender, connection);
        assert!(offer.is_answered, "nobody has answered");
        assert!(!std::mem::replace(&mut offer.has_answer, true), "twice");
    }

    pub(super) fn closed(&mut self, connection: usize) {
        if self.closed.contains(&connection) {
            return;
        }
        self.closed.push(connection);
        self.announced.retain(|(other, _), _| *other != connection);
        self.owners
            .retain(|_, owner| owner.connection != connection);
    }

    /// Peers that have not announced again have expired.
    pub(super) fn sweep(&mut self, at: u64) {
        self.owners.retain(|_, owner| at < owner.at + PEER_SECONDS);
    }

    /// Every answer was received by the peer that sent the offer, if it was connected.
    pub(super) fn check_answers(&self) {
        for offer in self.offers.values() {
            let is_gone = self.closed.contains(&offer.sender);
            assert!(is_gone || offer.has_answer == offer.is_answered);
        }
    }
}

fn offer_id(number: usize) -> OfferId {
    let mut id = [b'o'; 20];
    id[12..].copy_from_slice(&(number as u64).to_be_bytes());
    OfferId(id)
}
