//! Answers to messages, and messages to relay to other connections: connects the protocol
//! with the swarm, without I/O.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerChange, PeerId};
use aquatic_service::access_list;
use aquatic_service::clock::Now;
use aquatic_swarm::{self as swarm, Scraped, WebSwarms};
use aquatic_tracker::ClientCounts;
use aquatic_tracker::cluster::{Changes, Outbox};
pub use aquatic_tracker::{Outcome, RejectReason, RequestKind};
use aquatic_ws_protocol::{
    Action, Announce, AnnounceReply, Answer, Failure, MaxItems, OfferId, Rejected, RelayedAnswer,
    Request, RequestFault, RequestFaultKind, Scrape, ScrapeReply, Sent, write_text,
};

use crate::config::Config;

mod peers_per_address;
mod pending_offers;
mod relays;
mod session;

use peers_per_address::PeersPerAddress;
pub use pending_offers::{ForgottenOffers, MAX_PENDING_OFFERS, NoSuchOffer, PendingOffers};
use relays::OfferNames;
pub use relays::{
    Address, Envelope, MAX_WORKERS, OfferName, Offers, PendingOffer, RelayKind, Relayed, Relays,
};
pub use session::Session;

/// The state that all workers share.
pub struct State {
    /// The state that all trackers have.
    pub shared: aquatic_tracker::State<WebSwarms, Config>,
    /// Number of peers per address, if that is limited.
    peers_per_address: Option<PeersPerAddress>,
    offer_names: OfferNames,
}

/// The result of a message.
#[derive(Debug)]
pub struct Handled<'t, 'm> {
    /// What was requested, and whether it was rejected, for metrics.
    pub outcome: Outcome,
    /// The messages for other connections.
    pub relays: Relays<'t, 'm>,
}

/// Answers messages, for one worker.
pub struct Tracker {
    state: Arc<State>,
    random: fastrand::Rng,
    clients: Option<Arc<ClientCounts>>,
    outbox: Option<Arc<Outbox>>,
    /// The records of the peers that get the offers of the current announce; a field to
    /// reuse its memory.
    receivers: Vec<[u8; 28]>,
    /// Closed connections with peers that are not removed yet.
    leaving: VecDeque<Session>,
}

/// Maximum number of peers that are removed as soon as their connection is closed. The
/// others are removed later, a few at a time, so that other connections are served in
/// between.
const LEFT_AT_ONCE: usize = 64;

/// Maximum number of peers of closed connections that are removed with each message. One
/// message adds at most one peer, so their number decreases at any rate of messages.
const LEFT_PER_MESSAGE: usize = 2;

impl State {
    /// Creates the state, with empty swarms.
    pub fn new(
        swarms: WebSwarms,
        config: Config,
        max_peers_per_ip: Option<NonZeroU32>,
        access_list: Arc<access_list::Handle>,
    ) -> Self {
        Self {
            shared: aquatic_tracker::State {
                swarms,
                access_list,
                config,
            },
            peers_per_address: max_peers_per_ip.map(PeersPerAddress::new),
            offer_names: OfferNames::default(),
        }
    }

    /// The name of an offer to or from this peer at the other end.
    pub(crate) fn offer_name(&self, info_hash: InfoHash, other: PeerId, id: OfferId) -> OfferName {
        self.offer_names.of(info_hash, other, id)
    }
}

impl Tracker {
    /// Creates the tracker of a worker; `random` chooses peers. Counts client software in
    /// `clients` if given.
    pub fn new(
        state: Arc<State>,
        random: fastrand::Rng,
        clients: Option<Arc<ClientCounts>>,
    ) -> Self {
        Self {
            state,
            random,
            clients,
            outbox: None,
            receivers: Vec::new(),
            leaving: VecDeque::new(),
        }
    }

    /// Puts changes of the swarm into `outbox`, if given.
    pub fn with_outbox(mut self, outbox: Option<Arc<Outbox>>) -> Self {
        self.outbox = outbox;
        self
    }

    /// Appends the frame with the reply to a message of the connection of `session`, and
    /// returns the messages to relay to other connections. `pending` has the offers that
    /// the worker's connections can answer.
    pub fn handle<'t, 'm>(
        &'t mut self,
        now: Now,
        session: &mut Session,
        pending: &mut PendingOffers,
        message: &'m str,
        out: &mut Vec<u8>,
    ) -> Handled<'t, 'm> {
        if !self.leaving.is_empty() {
            self.forget_left(LEFT_PER_MESSAGE);
        }
        let protocol = &self.state.shared.config.protocol;
        let max = MaxItems {
            offers: protocol.max_offers.as_usize(),
            scrape_torrents: protocol.max_scrape_torrents.as_usize(),
        };
        match Request::parse(message, max) {
            Ok(Request::Announce(announce)) => self.announce(now, session, announce, out),
            Ok(Request::Answer(answer)) => self.answer(now, session, pending, &answer, out),
            Ok(Request::Scrape(scrape)) => self.scrape(session, &scrape, message, out),
            Err(fault) => reject_malformed(&fault, out),
        }
    }

    /// Removes the peers of a closed connection, except those that another connection owns
    /// by now. Returns whether some are left for [`forget_left`](Self::forget_left).
    pub fn closed(&mut self, mut session: Session) -> bool {
        for _ in 0..LEFT_AT_ONCE {
            let Some((info_hash, peer_id)) = session.take_torrent() else {
                return false;
            };
            self.forget(&session, &info_hash, &peer_id);
        }
        self.leaving.push_back(session);
        true
    }

    /// Removes up to `max` more peers of closed connections. Returns whether some are left.
    pub fn forget_left(&mut self, max: usize) -> bool {
        let mut forgotten = 0;
        while let Some(mut session) = self.leaving.pop_front() {
            while let Some((info_hash, peer_id)) = session.take_torrent() {
                self.forget(&session, &info_hash, &peer_id);
                forgotten += 1;
                if forgotten >= max {
                    self.leaving.push_front(session);
                    return true;
                }
            }
        }
        false
    }

    /// Removes a peer of a closed connection.
    fn forget(&self, session: &Session, info_hash: &InfoHash, peer_id: &PeerId) {
        let record = record(peer_id, session.address());
        let swarm = self.state.shared.swarms.of(session.source());
        let changes = Changes::new(self.outbox.as_deref());
        let mut torrent = swarm.lock(info_hash);
        if torrent.remove(&record) {
            changes.add(info_hash, &peer_id.0, PeerChange::Stopped);
            changes.append();
        }
        drop(torrent);
        if let Some(counts) = &self.state.peers_per_address {
            counts.remove(session.source(), info_hash, peer_id);
        }
        if let Some(clients) = &self.clients {
            clients.peer_went(peer_id);
        }
    }

    fn announce<'t, 'm>(
        &'t mut self,
        now: Now,
        session: &mut Session,
        request: Announce<'m>,
        out: &mut Vec<u8>,
    ) -> Handled<'t, 'm> {
        let Announce {
            info_hash, peer_id, ..
        } = request;
        let reject = |reason: RejectReason, out: &mut Vec<u8>| {
            reject(RequestKind::Announce, reason, info_hash, out)
        };
        let state = &*self.state;
        let config = &state.shared.config;
        if let Err(reason) = state.shared.check_torrent(&info_hash) {
            return reject(reason, out);
        }
        let is_stopped = request.event == AnnounceEvent::Stopped;
        let known = session.peer_id_on(&info_hash);
        if known.is_some_and(|known| known != peer_id) {
            return reject(RejectReason::OtherPeerId, out);
        }
        let is_new = known.is_none() && !is_stopped;
        let max_torrents = config.limits.max_torrents_per_connection.as_usize();
        if is_new && session.torrents().len() >= max_torrents {
            return reject(RejectReason::MaxTorrentsPerConnection, out);
        }
        let counted = state.peers_per_address.as_ref().filter(|_| is_new);
        if let Some(counts) = counted
            && counts.add(session.source(), &info_hash, &peer_id).is_err()
        {
            return reject(RejectReason::MaxPeersPerIp, out);
        }
        if let Some(clients) = &self.clients {
            clients.count(&peer_id);
        }

        let wanted = request.wanted.map_or(usize::MAX, |wanted| wanted as usize);
        let max_offers = config.protocol.max_offers.as_usize();
        let announce = swarm::Announce {
            record: record(&peer_id, session.address()),
            is_seeder: request.is_seeder(),
            event: request.event,
            wanted: wanted.min(request.offers.len()).min(max_offers),
            now_seconds: now.monotonic_seconds,
            lifetime_seconds: config.cleaning.max_peer_age.as_u16(),
        };
        self.receivers.clear();
        let changes = Changes::new(self.outbox.as_deref());
        let reply = {
            let mut torrent = state.shared.swarms.of(session.source()).lock(&info_hash);
            let announced = match torrent.announce(&announce, &mut self.random) {
                Ok(announced) => announced,
                Err(reached) => {
                    if let Some(counts) = counted {
                        counts.remove(session.source(), &info_hash, &peer_id);
                    }
                    return reject(reached.into(), out);
                }
            };
            if let Some(change) = announced.change {
                changes.add(&info_hash, &peer_id.0, change);
                changes.append();
            }
            for peers in announced.peers.slices() {
                self.receivers.extend_from_slice(peers);
            }
            AnnounceReply {
                info_hash,
                seeders: announced.seeders,
                leechers: announced.leechers,
                interval_seconds: config.protocol.peer_announce_interval.as_u32(),
            }
        };
        if is_stopped {
            session.forget(&info_hash);
            if let Some(counts) = &state.peers_per_address
                && known.is_some()
            {
                counts.remove(session.source(), &info_hash, &peer_id);
            }
        } else if known.is_none() {
            session.remember(info_hash, peer_id);
        }
        if let Some(clients) = &self.clients {
            match (known, is_stopped) {
                (None, false) => clients.peer_came(&peer_id),
                (Some(_), true) => clients.peer_went(&peer_id),
                _ => {}
            }
        }
        write_text(out, |out| reply.write(out));

        let valid_until = now
            .monotonic_seconds
            .saturating_add(config.cleaning.max_offer_age.as_u32());
        Handled {
            outcome: Outcome::served(RequestKind::Announce),
            relays: Relays::Offers(Offers {
                names: &state.offer_names,
                info_hash,
                from_peer_id: peer_id,
                sender: session.address(),
                valid_until,
                receivers: self.receivers.iter(),
                offers: request.offers.into_iter(),
            }),
        }
    }

    fn answer<'m>(
        &self,
        now: Now,
        session: &Session,
        pending: &mut PendingOffers,
        request: &Answer<'m>,
        out: &mut Vec<u8>,
    ) -> Handled<'static, 'm> {
        let Answer {
            info_hash,
            peer_id,
            to_peer_id,
            offer_id,
            description,
        } = *request;
        let kind = RequestKind::Answer;
        let reject = |reason, out: &mut Vec<u8>| reject(kind, reason, info_hash, out);
        if session.peer_id_on(&info_hash) != Some(peer_id) {
            return reject(RejectReason::NotAnnounced, out);
        }
        let name = self.state.offer_names.of(info_hash, to_peer_id, offer_id);
        let connection = session.address().connection();
        let sender = match pending.take(connection, name, now.monotonic_seconds) {
            Ok(sender) => sender,
            Err(NoSuchOffer::Unknown) => return reject(RejectReason::UnknownOffer, out),
            Err(NoSuchOffer::Expired) => return reject(RejectReason::ExpiredOffer, out),
        };
        // The connection may stay open long after its peer has stopped. The answer is also
        // relayed if another connection owns the peer by now, as with clients that announce
        // to several URLs of one tracker.
        // Of a peer of another node, that node knows whether it is still there.
        let swarm = self.state.shared.swarms.of(session.source());
        let is_there = || swarm.lock(&info_hash).has(&record(&to_peer_id, sender));
        if sender.node().is_none() && !is_there() {
            return reject(RejectReason::OffererGone, out);
        }
        let relayed = RelayedAnswer {
            info_hash,
            from_peer_id: peer_id,
            offer_id,
            description,
        };
        Handled {
            outcome: Outcome::served(kind),
            relays: Relays::answer(sender, to_peer_id, relayed),
        }
    }

    fn scrape(
        &self,
        session: &Session,
        request: &Scrape,
        message: &str,
        out: &mut Vec<u8>,
    ) -> Handled<'static, 'static> {
        let kind = RequestKind::Scrape;
        let state = &self.state.shared;
        let mut wanted = request.info_hashes.clone();
        if !wanted.is_empty()
            && let Err(reason) = state.check_scrape(wanted.iter().copied())
        {
            let sent = Sent::of(message);
            return reject_message(kind, reason, Rejected::Message(&sent), out);
        }
        wanted.sort_unstable();
        wanted.dedup();
        write_text(out, |out| {
            let mut reply = ScrapeReply::begin(out);
            for info_hash in &wanted {
                let Scraped {
                    seeders,
                    leechers,
                    completed,
                } = state.scrape(session.source(), info_hash);
                reply.append(info_hash, seeders, completed, leechers);
            }
            reply.finish();
        });
        Outcome::served(kind).into()
    }
}

impl From<Outcome> for Handled<'static, 'static> {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            relays: Relays::None,
        }
    }
}

/// The record of a peer in the swarm.
pub(crate) fn record(peer_id: &PeerId, address: Address) -> [u8; 28] {
    let mut record = [0; 28];
    record[..20].copy_from_slice(&peer_id.0);
    record[20..].copy_from_slice(&address.0.to_ne_bytes());
    record
}

#[cold]
fn reject_malformed(fault: &RequestFault, out: &mut Vec<u8>) -> Handled<'static, 'static> {
    let failure = Failure {
        rejected: Rejected::Message(&fault.sent),
        reason: &fault.to_string(),
    };
    write_text(out, |out| failure.write(out));
    let reason = match fault.kind {
        RequestFaultKind::NotJson => RejectReason::NotJson,
        RequestFaultKind::FullScrape => RejectReason::FullScrape,
        _ => RejectReason::Malformed,
    };
    let kind = match fault.action {
        Some(Action::Announce) => RequestKind::Announce,
        Some(Action::Scrape) => RequestKind::Scrape,
        None => RequestKind::Other,
    };
    Outcome::rejected(kind, reason).into()
}

/// Rejects an announce or an answer.
#[cold]
fn reject(
    kind: RequestKind,
    reason: RejectReason,
    info_hash: InfoHash,
    out: &mut Vec<u8>,
) -> Handled<'static, 'static> {
    let rejected = Rejected::Torrent(Action::Announce, info_hash);
    reject_message(kind, reason, rejected, out)
}

#[cold]
fn reject_message(
    kind: RequestKind,
    reason: RejectReason,
    rejected: Rejected<'_>,
    out: &mut Vec<u8>,
) -> Handled<'static, 'static> {
    let failure = Failure {
        rejected,
        reason: reason.text(),
    };
    write_text(out, |out| failure.write(out));
    Outcome::rejected(kind, reason).into()
}

#[cfg(test)]
mod tests;
