//! Answers to messages, and messages to relay to other connections: connects the protocol
//! with the swarm, without I/O.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerChange, PeerId};
use aquatic_policy::keys::{KeyDigest, UrlKey};
use aquatic_policy::rates::Limiter;
use aquatic_service::clock::Now;
use aquatic_service::lists::Lists;
use aquatic_swarm::{self as swarm, Scraped, WebSwarms};
use aquatic_tracker::ClientCounts;
use aquatic_tracker::accounting::{LabelText, Ledger, Record, Traffic};
use aquatic_tracker::cluster::{Changes, Outbox};
use aquatic_tracker::keys::{KeyRing, Keys};
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
use session::Counted;
pub use session::Session;

/// The state that all workers share.
pub struct State {
    /// The state that all trackers have.
    pub shared: aquatic_tracker::State<WebSwarms>,
    /// Number of peers per address, of connections for which they are counted.
    peers_per_address: PeersPerAddress,
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
    clients: Arc<ClientCounts>,
    outbox: Option<Arc<Outbox>>,
    limiter: Option<Arc<Limiter>>,
    /// Hashes the keys of new connections.
    key_ring: Option<KeyRing>,
    /// The keys of clients, if they need one.
    keys: Option<Arc<Keys>>,
    /// Receives the announces of clients with keys.
    ledger: Option<Ledger>,
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
    /// Creates the state.
    pub fn new(swarms: WebSwarms, lists: Lists) -> Self {
        Self {
            shared: aquatic_tracker::State { swarms, lists },
            peers_per_address: PeersPerAddress::default(),
            offer_names: OfferNames::default(),
        }
    }

    /// The name of an offer to or from this peer at the other end.
    pub(crate) fn offer_name(&self, info_hash: InfoHash, other: PeerId, id: OfferId) -> OfferName {
        self.offer_names.of(info_hash, other, id)
    }
}

impl Tracker {
    /// The swarms of all workers.
    pub(crate) fn swarms(&self) -> &WebSwarms {
        &self.state.shared.swarms
    }

    /// Creates the tracker of a worker; `random` chooses peers. Counts client software in
    /// `clients`.
    pub fn new(state: Arc<State>, random: fastrand::Rng, clients: Arc<ClientCounts>) -> Self {
        Self {
            state,
            random,
            clients,
            outbox: None,
            limiter: None,
            key_ring: None,
            keys: None,
            ledger: None,
            receivers: Vec::new(),
            leaving: VecDeque::new(),
        }
    }

    /// Limits the messages of a source as configured, with all that use `limiter`.
    pub fn with_limiter(mut self, limiter: Arc<Limiter>) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// Puts changes of the swarm into `outbox`, if given.
    pub fn with_outbox(mut self, outbox: Option<Arc<Outbox>>) -> Self {
        self.outbox = outbox;
        self
    }

    /// Hashes the keys of new connections with `ring`, for [`set_keys`](Self::set_keys).
    pub fn with_key_ring(mut self, ring: KeyRing) -> Self {
        self.key_ring = Some(ring);
        self
    }

    /// Puts the announces of clients with keys into `ledger`, if given.
    pub fn with_ledger(mut self, ledger: Option<Ledger>) -> Self {
        self.ledger = ledger;
        self
    }

    /// From now on, clients need one of these keys, or none.
    pub fn set_keys(&mut self, keys: Option<Arc<Keys>>) {
        self.keys = keys;
    }

    /// How many times the lists of bans were replaced.
    pub(crate) fn ban_replacements(&self) -> u64 {
        self.state.shared.lists.bans.replacements()
    }

    /// Why a connection is to be closed: its client is banned, or has peers and no valid key
    /// any more. A client that never had a valid one may stay, and is told with each request.
    pub(crate) fn unserved(&self, session: &Session) -> Option<RejectReason> {
        if let Err(reason) = self.state.shared.check_source(session.source()) {
            return Some(reason);
        }
        let keys = self.keys.as_ref()?;
        if session.torrents().is_empty() {
            return None;
        }
        session.check_key(keys).err()
    }

    /// The digest of the key in the URL of a new connection, also while clients need none:
    /// a reload may change that.
    pub(crate) fn digest(&self, key: &UrlKey) -> Option<KeyDigest> {
        self.key_ring.as_ref().and_then(|ring| ring.digest(key))
    }

    /// Appends the frame with the reply to a message of the connection of `session`, as
    /// configured, and returns the messages to relay to other connections. `pending` has the
    /// offers that the worker's connections can answer.
    pub fn handle<'t, 'm>(
        &'t mut self,
        now: Now,
        config: &Config,
        session: &mut Session,
        pending: &mut PendingOffers,
        message: &'m str,
        out: &mut Vec<u8>,
    ) -> Handled<'t, 'm> {
        if !self.leaving.is_empty() {
            self.forget_left(LEFT_PER_MESSAGE);
        }
        if let Some(rule) = config.rates.requests()
            && let Some(limiter) = &self.limiter
            && !rule.allows(limiter, session.source(), now.milliseconds)
        {
            let rejected = Rejected::Message(&Sent::of(message));
            return reject_message(RequestKind::Other, RejectReason::RateLimit, rejected, out);
        }
        let protocol = &config.protocol;
        let max = MaxItems {
            offers: protocol.max_offers.as_usize(),
            scrape_torrents: protocol.max_scrape_torrents.as_usize(),
        };
        let is_banned = self.state.shared.check_source(session.source()).is_err();
        match Request::parse(message, max) {
            Ok(request) if is_banned => reject_banned(&request, message, out),
            Ok(Request::Announce(announce)) => self.announce(now, config, session, announce, out),
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
        self.uncount(session.counted(), session.source(), info_hash, peer_id);
    }

    /// A peer of a connection has left; it was counted like this.
    fn uncount(&self, counted: Counted, source: IpAddr, info_hash: &InfoHash, peer_id: &PeerId) {
        if counted.by_address {
            let counts = &self.state.peers_per_address;
            counts.remove(source, info_hash, peer_id);
        }
        if counted.by_client {
            self.clients.peer_went(peer_id);
        }
    }

    /// Counts the peers of a connection as configured now, and not as before a reload.
    #[cold]
    fn recount(&self, session: &mut Session, wanted: Counted) {
        let before = session.counted();
        let added = wanted.without(before);
        for (info_hash, peer_id) in session.torrents() {
            let source = session.source();
            self.uncount(before.without(wanted), source, info_hash, peer_id);
            if added.by_address {
                let counts = &self.state.peers_per_address;
                counts.add_known(source, info_hash, peer_id);
            }
            if added.by_client {
                self.clients.peer_came(peer_id);
            }
        }
        session.set_counted(wanted);
    }

    fn announce<'t, 'm>(
        &'t mut self,
        now: Now,
        config: &Config,
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
        let mut accounted = None;
        if let Some(keys) = &self.keys {
            match session.check_key(keys) {
                Ok(key) if self.ledger.is_some() => {
                    accounted = Some(account(&request, key.label, keys.time(), session.source()));
                }
                Ok(_) => {}
                Err(reason) => return reject(reason, out),
            }
        }
        let wanted = Counted::by(config);
        if session.counted() != wanted {
            self.recount(session, wanted);
        }
        let state = &*self.state;
        if let Err(reason) = state.shared.check_torrent(&info_hash) {
            return reject(reason, out);
        }
        let rejected = state.shared.reject_client(&peer_id, |text| {
            let kind = RequestKind::Announce;
            reject_as(kind, RejectReason::Client, text, info_hash, out)
        });
        if let Some(handled) = rejected {
            return handled;
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
        let max_per_ip = config.limits.max_peers_per_ip.non_zero();
        let counts = &state.peers_per_address;
        let counted = max_per_ip.filter(|_| is_new);
        if let Some(max) = counted
            && counts
                .add(session.source(), &info_hash, &peer_id, max)
                .is_err()
        {
            return reject(RejectReason::MaxPeersPerIp, out);
        }
        self.clients.count(&config.metrics, &peer_id);

        let offers_wanted = request.wanted.map_or(usize::MAX, |wanted| wanted as usize);
        let max_offers = config.protocol.max_offers.as_usize();
        let announce = swarm::Announce {
            record: record(&peer_id, session.address()),
            is_seeder: request.is_seeder(),
            event: request.event,
            wanted: offers_wanted.min(request.offers.len()).min(max_offers),
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
                    if counted.is_some() {
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
        if let (Some(ledger), Some(record)) = (&self.ledger, accounted) {
            ledger.add(record);
        }
        if is_stopped {
            session.forget(&info_hash);
            if known.is_some() {
                self.uncount(wanted, session.source(), &info_hash, &peer_id);
            }
        } else if known.is_none() {
            session.remember(info_hash, peer_id);
            if wanted.by_client {
                self.clients.peer_came(&peer_id);
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
        let reject = |reason: RejectReason, out: &mut Vec<u8>| {
            let sent = Sent::of(message);
            reject_message(kind, reason, Rejected::Message(&sent), out)
        };
        if let Some(keys) = &self.keys
            && let Err(reason) = session.check_key(keys)
        {
            return reject(reason, out);
        }
        let mut wanted = request.info_hashes.clone();
        if !wanted.is_empty()
            && let Err(reason) = state.check_scrape(session.source(), wanted.iter().copied())
        {
            return reject(reason, out);
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

/// What is accounted of an announce.
fn account(request: &Announce<'_>, label: &str, epoch_seconds: u32, source: IpAddr) -> Record {
    Record {
        epoch_seconds,
        label: LabelText::new(label),
        info_hash: request.info_hash,
        peer_id: request.peer_id,
        traffic: Traffic {
            uploaded: request.uploaded,
            downloaded: request.downloaded,
            left: request.left,
        },
        event: request.event,
        source,
        port: None,
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
    reject_as(kind, reason, reason.text(), info_hash, out)
}

/// Rejects an announce or an answer with a text of its own.
#[cold]
fn reject_as(
    kind: RequestKind,
    reason: RejectReason,
    text: &str,
    info_hash: InfoHash,
    out: &mut Vec<u8>,
) -> Handled<'static, 'static> {
    let failure = Failure {
        rejected: Rejected::Torrent(Action::Announce, info_hash),
        reason: text,
    };
    write_text(out, |out| failure.write(out));
    Outcome::rejected(kind, reason).into()
}

/// Rejects a request of a client whose address is banned.
#[cold]
fn reject_banned(
    request: &Request<'_>,
    message: &str,
    out: &mut Vec<u8>,
) -> Handled<'static, 'static> {
    let reason = RejectReason::Banned;
    match request {
        Request::Announce(announce) => {
            reject(RequestKind::Announce, reason, announce.info_hash, out)
        }
        Request::Answer(answer) => reject(RequestKind::Answer, reason, answer.info_hash, out),
        Request::Scrape(_) => {
            let sent = Sent::of(message);
            reject_message(RequestKind::Scrape, reason, Rejected::Message(&sent), out)
        }
    }
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
