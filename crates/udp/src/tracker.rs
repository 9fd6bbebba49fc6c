//! What is answered to a datagram: the protocol joined with the swarm, and no
//! socket in sight.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use aquatic_bittorrent::InfoHash;
use aquatic_service::access_list;
use aquatic_service::clock::Now;
use aquatic_service::metrics::clients::ClientCounts;
use aquatic_swarm::{Announce, Announced, Families, HashKey, Limits, LockedShard, Refused, Swarm};
use aquatic_udp_protocol::{
    AnnounceRequest, AnnounceWriter, BufferTooSmall, ConnectionId, ConnectionIdKey, Request,
    RequestError, RequestFault, ScrapeRequest, ScrapeWriter, TorrentStatistics, TransactionId,
    write_connect, write_error,
};

use arrayvec::ArrayVec;

/// What one tracker's workers share.
pub struct State {
    /// Torrents and their peers.
    pub swarms: Families,
    /// By which connection ids are made and checked.
    pub connection_id_key: ConnectionIdKey,
    /// Torrents that are served.
    pub access_list: Arc<access_list::Handle>,
    /// How requests are answered.
    pub rules: Rules,
}

/// How requests are answered.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Peers in an announce reply, at most.
    pub max_response_peers: usize,
    /// Torrents of a scrape request that are answered, at most.
    pub max_scrape_torrents: usize,
    /// Seconds that peers are told to wait before they announce again.
    pub announce_interval_seconds: u32,
    /// Seconds after its announce for which a peer is kept.
    pub peer_lifetime_seconds: u16,
    /// Seconds for which a connection id is valid.
    pub connection_lifetime_seconds: u32,
}

/// How many datagrams are answered together: more make an announce cheaper, but
/// hold more shards at a time. At 8, nearly all is gained.
pub const GROUP: usize = 8;

/// A datagram, and the reply to it.
pub struct Exchange<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// What it says.
    pub request: &'a [u8],
    /// Room for the largest reply that the rules allow:
    /// [`MAX_REPLY_LENGTH`](crate::MAX_REPLY_LENGTH).
    pub reply: &'a mut [u8],
    /// What became of it.
    pub outcome: Option<Outcome>,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What it asked for.
    pub kind: RequestKind,
    /// Why it was not served, if it was not.
    pub unserved: Option<Unserved>,
    /// Bytes of the reply; none to remain silent.
    pub reply_length: Option<NonZeroUsize>,
}

/// What a datagram asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A connection id.
    Connect,
    /// Peers of a torrent.
    Announce,
    /// Counts of torrents.
    Scrape,
    /// Nothing that is known.
    Other,
}

/// Why a request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// It does not follow BEP 15.
    Malformed,
    /// Its connection id was never given to its address, or is too old.
    BadConnectionId,
    /// It came from port 0, to which nothing can be sent.
    SourcePortZero,
    /// It announces port 0, at which nobody can be reached.
    PortZero,
    /// The access list does not allow the torrent.
    Forbidden,
    /// The tracker has as many torrents as it may.
    MaxTorrents,
    /// The torrent has as many peers as it may.
    MaxPeersPerTorrent,
    /// The source address has as many peers as it may.
    MaxPeersPerIp,
}

/// Answers datagrams, for one worker.
pub struct Tracker {
    state: Arc<State>,
    random: fastrand::Rng,
    clients: Option<Arc<ClientCounts>>,
}

impl State {
    /// A tracker without torrents.
    pub fn new(
        rules: Rules,
        limits: Limits,
        hash_key: HashKey,
        connection_id_key: ConnectionIdKey,
        access_list: Arc<access_list::Handle>,
    ) -> Self {
        Self {
            swarms: Families::new(hash_key, limits),
            connection_id_key,
            access_list,
            rules,
        }
    }
}

impl Tracker {
    /// Answers from `state`; `random` chooses peers. Counts client software in
    /// `clients` if there is one.
    pub fn new(
        state: Arc<State>,
        random: fastrand::Rng,
        clients: Option<Arc<ClientCounts>>,
    ) -> Self {
        Self {
            state,
            random,
            clients,
        }
    }

    /// Answers a group of datagrams; each has an outcome afterwards.
    ///
    /// Announces are looked up together before the first of them is answered:
    /// most of an announce's time is waiting for memory, and what does not
    /// depend on each other can be waited for at the same time.
    #[inline]
    pub fn handle_group(&mut self, now: Now, group: &mut ArrayVec<Exchange<'_>, GROUP>) {
        let mut ipv4 = [const { None }; GROUP];
        let mut ipv6 = [const { None }; GROUP];
        let mut has_ipv4 = false;
        let mut has_ipv6 = false;
        for (number, exchange) in group.iter_mut().enumerate() {
            match self.begin(now, exchange) {
                Begun::Answered(outcome) => exchange.outcome = Some(outcome),
                Begun::Ipv4(announce) => {
                    ipv4[number] = Some(announce);
                    has_ipv4 = true;
                }
                Begun::Ipv6(announce) => {
                    ipv6[number] = Some(announce);
                    has_ipv6 = true;
                }
            }
        }
        let Self { state, random, .. } = self;
        let interval = state.rules.announce_interval_seconds;
        if has_ipv4 {
            announce_all(&state.swarms.ipv4, &mut ipv4, interval, random, group);
        }
        if has_ipv6 {
            announce_all(&state.swarms.ipv6, &mut ipv6, interval, random, group);
        }
    }

    /// Answers what needs no announce, and prepares what does.
    #[inline]
    fn begin(&self, now: Now, exchange: &mut Exchange<'_>) -> Begun {
        let Exchange {
            source,
            request,
            reply,
            ..
        } = exchange;
        if source.port() == 0 {
            let outcome = Outcome::silence(RequestKind::Other, Unserved::SourcePortZero);
            return Begun::Answered(outcome);
        }
        let address = source.ip().to_canonical();
        // A reply that did not fit would be a mistake in the settings' check;
        // it must not take the worker down.
        self.answer(now, address, request, reply)
            .unwrap_or(Begun::Answered(Outcome::TOO_LARGE))
    }

    #[inline]
    fn answer(
        &self,
        now: Now,
        address: IpAddr,
        datagram: &[u8],
        reply: &mut [u8],
    ) -> Result<Begun, BufferTooSmall> {
        let outcome = match Request::parse(datagram) {
            Ok(Request::Announce(request)) => {
                if self.is_connected(now, address, request.connection_id) {
                    return self.prepare(now, address, &request, reply);
                }
                Outcome::silence(RequestKind::Announce, Unserved::BadConnectionId)
            }
            Ok(Request::Connect(request)) => {
                let key = &self.state.connection_id_key;
                let id = key.connection_id(now.epoch_seconds, address);
                let length = write_connect(reply, request.transaction_id, id)?;
                Outcome::served(RequestKind::Connect, length)
            }
            Ok(Request::Scrape(request)) => {
                if self.is_connected(now, address, request.connection_id) {
                    self.scrape(address, &request, reply)?
                } else {
                    Outcome::silence(RequestKind::Scrape, Unserved::BadConnectionId)
                }
            }
            Err(error) => self.refuse_malformed(now, address, error, reply)?,
        };
        Ok(Begun::Answered(outcome))
    }

    /// Nothing but a connect request is answered without a valid connection
    /// id: otherwise replies could be sent to addresses that never asked.
    #[inline]
    fn is_connected(&self, now: Now, address: IpAddr, id: ConnectionId) -> bool {
        self.state.connection_id_key.is_valid(
            id,
            now.epoch_seconds,
            address,
            self.state.rules.connection_lifetime_seconds,
        )
    }

    /// Checks an announce, and says what the swarm is to be told.
    #[inline]
    fn prepare(
        &self,
        now: Now,
        address: IpAddr,
        request: &AnnounceRequest<'_>,
        reply: &mut [u8],
    ) -> Result<Begun, BufferTooSmall> {
        let refusal = if request.port == 0 {
            Some(Unserved::PortZero)
        } else if !self.state.access_list.allows(&request.info_hash) {
            Some(Unserved::Forbidden)
        } else {
            None
        };
        if let Some(reason) = refusal {
            let id = request.transaction_id;
            let outcome = Outcome::refuse(RequestKind::Announce, reason, id, reply)?;
            return Ok(Begun::Answered(outcome));
        }
        if let Some(clients) = &self.clients {
            clients.count(&request.peer_id);
        }

        let rules = &self.state.rules;
        let [high, low] = request.port.to_be_bytes();
        Ok(match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                let record = [a, b, c, d, high, low];
                Begun::Ipv4(Waiting::new(record, rules, now, request))
            }
            IpAddr::V6(address) => {
                let mut record = [0; 18];
                record[..16].copy_from_slice(&address.octets());
                record[16..].copy_from_slice(&[high, low]);
                Begun::Ipv6(Waiting::new(record, rules, now, request))
            }
        })
    }

    /// Answers for the first torrents if there are too many. A forbidden
    /// torrent is as an unknown one, unless no other was asked for.
    fn scrape(
        &self,
        address: IpAddr,
        request: &ScrapeRequest<'_>,
        reply: &mut [u8],
    ) -> Result<Outcome, BufferTooSmall> {
        let transaction_id = request.transaction_id;
        let max = self.state.rules.max_scrape_torrents;
        let list = &self.state.access_list;
        if request
            .info_hashes()
            .take(max)
            .all(|hash| !list.allows(&hash))
        {
            let (kind, reason) = (RequestKind::Scrape, Unserved::Forbidden);
            return Outcome::refuse(kind, reason, transaction_id, reply);
        }

        let mut writer = ScrapeWriter::new(reply, transaction_id)?;
        for info_hash in request.info_hashes().take(max) {
            let scraped = if !list.allows(&info_hash) {
                aquatic_swarm::Scraped::default()
            } else if address.is_ipv4() {
                self.state.swarms.ipv4.lock(&info_hash).scrape()
            } else {
                self.state.swarms.ipv6.lock(&info_hash).scrape()
            };
            writer.append(TorrentStatistics {
                seeders: scraped.seeders,
                completed: scraped.completed,
                leechers: scraped.leechers,
            })?;
        }
        Ok(Outcome::served(RequestKind::Scrape, writer.finish()))
    }

    /// Says what is wrong to those who can be told.
    #[cold]
    fn refuse_malformed(
        &self,
        now: Now,
        address: IpAddr,
        error: RequestError,
        reply: &mut [u8],
    ) -> Result<Outcome, BufferTooSmall> {
        let RequestError::Answerable {
            connection_id,
            transaction_id,
            fault,
        } = error
        else {
            return Ok(Outcome::silence(RequestKind::Other, Unserved::Malformed));
        };
        let kind = match fault {
            RequestFault::AnnounceTooShort => RequestKind::Announce,
            RequestFault::ScrapeWithoutInfoHash | RequestFault::ScrapePartialInfoHash => {
                RequestKind::Scrape
            }
            RequestFault::UnknownAction(_) => RequestKind::Other,
        };
        if !self.is_connected(now, address, connection_id) {
            return Ok(Outcome::silence(kind, Unserved::BadConnectionId));
        }
        let length = write_error(reply, transaction_id, &fault.to_string())?;
        Ok(Outcome {
            unserved: Some(Unserved::Malformed),
            ..Outcome::served(kind, length)
        })
    }
}

impl Outcome {
    /// The reply does not fit.
    const TOO_LARGE: Self = Self::silence(RequestKind::Other, Unserved::Malformed);

    #[inline]
    fn served(kind: RequestKind, length: usize) -> Self {
        Self {
            kind,
            unserved: None,
            reply_length: NonZeroUsize::new(length),
        }
    }

    /// No reply.
    pub(crate) const fn silence(kind: RequestKind, reason: Unserved) -> Self {
        Self {
            kind,
            unserved: Some(reason),
            reply_length: None,
        }
    }

    /// An error (BEP 15, action 3).
    #[cold]
    fn refuse(
        kind: RequestKind,
        reason: Unserved,
        transaction_id: TransactionId,
        reply: &mut [u8],
    ) -> Result<Self, BufferTooSmall> {
        let length = write_error(reply, transaction_id, reason.message())?;
        Ok(Self {
            unserved: Some(reason),
            ..Self::served(kind, length)
        })
    }
}

/// What [`Tracker::begin`] did.
enum Begun {
    Answered(Outcome),
    Ipv4(Waiting<6>),
    Ipv6(Waiting<18>),
}

/// An announce that waits for its turn.
struct Waiting<const S: usize> {
    info_hash: InfoHash,
    transaction_id: TransactionId,
    announce: Announce<S>,
}

impl<const S: usize> Waiting<S> {
    #[inline]
    fn new(record: [u8; S], rules: &Rules, now: Now, request: &AnnounceRequest<'_>) -> Self {
        let max = rules.max_response_peers;
        let wanted = request.peers_wanted;
        Self {
            info_hash: request.info_hash,
            transaction_id: request.transaction_id,
            announce: Announce {
                record,
                is_seeder: request.is_seeder(),
                event: request.event,
                wanted: wanted.map_or(max, |wanted| max.min(wanted.get() as usize)),
                now: now.monotonic_seconds,
                lifetime: rules.peer_lifetime_seconds,
            },
        }
    }

    /// Announces, and writes the reply while the torrent is locked.
    #[inline]
    fn finish<const N: usize>(
        &self,
        torrent: &mut LockedShard<'_, S, S, N>,
        interval_seconds: u32,
        random: &mut fastrand::Rng,
        reply: &mut [u8],
    ) -> Result<Outcome, BufferTooSmall> {
        let Announced {
            seeders,
            leechers,
            peers,
            ..
        } = match torrent.announce(&self.announce, random) {
            Ok(announced) => announced,
            Err(refused) => {
                let (kind, reason) = (RequestKind::Announce, refused.into());
                return Outcome::refuse(kind, reason, self.transaction_id, reply);
            }
        };
        let mut writer = AnnounceWriter::new(reply)?;
        for slice in peers.slices() {
            writer.append_peers(slice.as_flattened())?;
        }
        let length = writer.finish(self.transaction_id, interval_seconds, seeders, leechers);
        Ok(Outcome::served(RequestKind::Announce, length))
    }
}

/// Answers all announces that wait, in turns.
///
/// A turn waits for the shard of the first one, and takes others' as far as
/// nobody has them: two announces for one shard get two turns, in their order.
fn announce_all<const S: usize, const N: usize>(
    swarm: &Swarm<S, S, N>,
    waiting: &mut [Option<Waiting<S>>; GROUP],
    interval_seconds: u32,
    random: &mut fastrand::Rng,
    group: &mut ArrayVec<Exchange<'_>, GROUP>,
) {
    loop {
        let mut shards = [const { None }; GROUP];
        let mut is_first = true;
        for (announce, shard) in waiting.iter().zip(&mut shards) {
            if let Some(Waiting { info_hash, .. }) = announce {
                *shard = if is_first {
                    Some(swarm.lock(info_hash))
                } else {
                    swarm.try_lock(info_hash)
                };
                is_first = false;
            }
        }
        if is_first {
            return;
        }
        for shard in shards.iter_mut().flatten() {
            shard.locate();
        }
        for ((announce, shard), exchange) in waiting.iter_mut().zip(&mut shards).zip(&mut *group) {
            if let Some(shard) = shard
                && let Some(announce) = announce.take()
            {
                let outcome = announce.finish(shard, interval_seconds, random, exchange.reply);
                exchange.outcome = Some(outcome.unwrap_or(Outcome::TOO_LARGE));
            }
        }
    }
}

impl From<Refused> for Unserved {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Torrents => Self::MaxTorrents,
            Refused::PeersPerTorrent => Self::MaxPeersPerTorrent,
            Refused::PeersPerIp => Self::MaxPeersPerIp,
        }
    }
}

impl Unserved {
    /// What the client is told, where it is told something.
    fn message(self) -> &'static str {
        match self {
            Self::Malformed => "request is malformed",
            Self::BadConnectionId => "connection id is not valid",
            Self::SourcePortZero | Self::PortZero => "port must not be 0",
            Self::Forbidden => "torrent is not allowed on this tracker",
            Self::MaxTorrents => "tracker has reached its maximum of torrents",
            Self::MaxPeersPerTorrent => "torrent has reached its maximum of peers",
            Self::MaxPeersPerIp => "address has reached its maximum of peers",
        }
    }
}

#[cfg(test)]
mod tests;
