//! What is answered to a datagram: the protocol joined with the swarm, and no
//! socket in sight.

use std::net::IpAddr;
use std::sync::Arc;

pub use aquatic_datagrams::{BATCH, Datagram};
use aquatic_service::clock::Now;
use aquatic_swarm::Families;
use aquatic_tracker::ClientCounts;
use aquatic_tracker::cluster::Outbox;
pub use aquatic_tracker::{RejectReason, RequestKind};
use aquatic_udp_protocol::{
    AnnounceRequest, BufferTooSmall, ConnectionId, ConnectionIdKey, IPV4_PEER_LENGTH,
    IPV6_PEER_LENGTH, MAX_IPV4_PAYLOAD, Request, RequestError, RequestFault, ScrapeRequest,
    ScrapeWriter, TorrentStatistics, write_connect, write_error,
};
use arrayvec::ArrayVec;

use crate::config::Config;

mod outcome;
mod waiting;

pub use outcome::Outcome;
use waiting::{Numbered, Waiting, announce_all};

/// What one tracker's workers share.
pub type State = aquatic_tracker::State<Families, Config>;

/// How many announces are looked up together: more make an announce cheaper, but
/// hold more shards at a time. At 8, nearly all is gained.
pub const GROUP: usize = 8;

/// The largest reply that the configuration allows, in bytes: what fits an Ethernet frame
/// over IPv4. Each datagram comes with as much room.
pub const MAX_REPLY_LENGTH: usize = MAX_IPV4_PAYLOAD;

/// Datagrams that were received together.
pub type Batch<'a> = ArrayVec<Datagram<'a>, BATCH>;

/// What became of the datagrams of a batch; none where there was no datagram.
pub type Outcomes = [Option<Outcome>; BATCH];

/// Answers datagrams, for one worker.
pub struct Tracker {
    state: Arc<State>,
    connection_id_key: ConnectionIdKey,
    random: fastrand::Rng,
    clients: Option<Arc<ClientCounts>>,
    /// What others that keep the same swarm are told by.
    outbox: Option<Arc<Outbox>>,
}

impl Tracker {
    /// Answers from `state` those who have a connection id that was made by
    /// `connection_id_key`; `random` chooses peers. Counts client software in
    /// `clients` if there is one.
    pub fn new(
        state: Arc<State>,
        connection_id_key: ConnectionIdKey,
        random: fastrand::Rng,
        clients: Option<Arc<ClientCounts>>,
    ) -> Self {
        Self {
            state,
            connection_id_key,
            random,
            clients,
            outbox: None,
        }
    }

    /// Has others be told, through `outbox`, what changes.
    #[must_use]
    pub fn with_outbox(mut self, outbox: Option<Arc<Outbox>>) -> Self {
        self.outbox = outbox;
        self
    }

    /// Answers a batch of datagrams; says for each what became of it.
    ///
    /// Announces for one torrent are answered in their order, after all else of the
    /// batch: a scrape does not know of announces that came with it.
    ///
    /// Announces are looked up in groups of [`GROUP`] before the first of them is
    /// answered: most of an announce's time is waiting for memory, and what does not
    /// depend on each other can be waited for at the same time. They are collected
    /// from the whole batch, so that groups are full whatever stands between them.
    #[inline]
    pub fn handle_batch(&mut self, now: Now, batch: &mut Batch<'_>) -> Outcomes {
        let mut outcomes = [None; BATCH];
        let mut ipv4 = ArrayVec::<_, BATCH>::new();
        let mut ipv6 = ArrayVec::<_, BATCH>::new();
        for (number, datagram) in batch.iter_mut().enumerate() {
            match self.begin(now, datagram) {
                Begun::Answered(outcome) => outcomes[number] = Some(outcome),
                Begun::Ipv4(announce) => ipv4.push(Numbered { number, announce }),
                Begun::Ipv6(announce) => ipv6.push(Numbered { number, announce }),
            }
        }
        let Self {
            state,
            random,
            outbox,
            ..
        } = self;
        let interval = state.config.protocol.peer_announce_interval.as_u32();
        let State { swarms, .. } = &**state;
        let outbox = outbox.as_deref();
        announce_all(
            &swarms.ipv4,
            &ipv4,
            interval,
            random,
            batch,
            &mut outcomes,
            outbox,
        );
        announce_all(
            &swarms.ipv6,
            &ipv6,
            interval,
            random,
            batch,
            &mut outcomes,
            outbox,
        );
        outcomes
    }

    /// Answers what needs no announce, and prepares what does.
    #[inline]
    fn begin(&self, now: Now, datagram: &mut Datagram<'_>) -> Begun {
        let source = datagram.source;
        if source.port() == 0 {
            let outcome = Outcome::silence(RequestKind::Other, RejectReason::SourcePortZero);
            return Begun::Answered(outcome);
        }
        let address = source.ip().to_canonical();
        // A reply that did not fit would be a mistake in the settings' check;
        // it must not take the worker down.
        self.answer(now, address, datagram.bytes, datagram.reply)
            .unwrap_or(Begun::Answered(Outcome::TOO_LONG))
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
                Outcome::silence(RequestKind::Announce, RejectReason::BadConnectionId)
            }
            Ok(Request::Connect(request)) => {
                let key = &self.connection_id_key;
                let id = key.connection_id(now.epoch_seconds, address);
                let length = write_connect(reply, request.transaction_id, id)?;
                Outcome::served(RequestKind::Connect, length)
            }
            Ok(Request::Scrape(request)) => {
                if self.is_connected(now, address, request.connection_id) {
                    self.scrape(address, &request, reply)?
                } else {
                    Outcome::silence(RequestKind::Scrape, RejectReason::BadConnectionId)
                }
            }
            Err(error) => self.reject_malformed(now, address, error, reply)?,
        };
        Ok(Begun::Answered(outcome))
    }

    /// Nothing but a connect request is answered without a valid connection
    /// id: otherwise replies could be sent to addresses that never asked.
    #[inline]
    fn is_connected(&self, now: Now, address: IpAddr, id: ConnectionId) -> bool {
        self.connection_id_key.is_valid(
            id,
            now.epoch_seconds,
            address,
            self.state.config.cleaning.max_connection_age.as_u32(),
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
        if let Err(reason) = self.state.check_announce(&request.info_hash, request.port) {
            let id = request.transaction_id;
            let outcome = Outcome::reject(RequestKind::Announce, reason, id, reply)?;
            return Ok(Begun::Answered(outcome));
        }
        if let Some(clients) = &self.clients {
            clients.count(&request.peer_id);
        }

        let config = &self.state.config;
        let [high, low] = request.port.to_be_bytes();
        Ok(match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                let record = [a, b, c, d, high, low];
                Begun::Ipv4(Waiting::new(record, config, now, request))
            }
            IpAddr::V6(address) => {
                let mut record = [0; IPV6_PEER_LENGTH];
                record[..16].copy_from_slice(&address.octets());
                record[16..].copy_from_slice(&[high, low]);
                Begun::Ipv6(Waiting::new(record, config, now, request))
            }
        })
    }

    /// Answers for the first torrents if there are too many.
    fn scrape(
        &self,
        address: IpAddr,
        request: &ScrapeRequest<'_>,
        reply: &mut [u8],
    ) -> Result<Outcome, BufferTooSmall> {
        let transaction_id = request.transaction_id;
        let max = self.state.config.protocol.max_scrape_torrents.as_usize();
        let first = || request.info_hashes().take(max);
        if let Err(reason) = self.state.check_scrape(first()) {
            return Outcome::reject(RequestKind::Scrape, reason, transaction_id, reply);
        }

        let mut writer = ScrapeWriter::new(reply, transaction_id)?;
        for info_hash in first() {
            let scraped = self.state.scrape(address, &info_hash);
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
    fn reject_malformed(
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
            return Ok(Outcome::silence(
                RequestKind::Other,
                RejectReason::Malformed,
            ));
        };
        let kind = match fault {
            RequestFault::AnnounceTooShort => RequestKind::Announce,
            RequestFault::ScrapeWithoutInfoHash | RequestFault::ScrapePartialInfoHash => {
                RequestKind::Scrape
            }
            RequestFault::UnknownAction(_) => RequestKind::Other,
        };
        if !self.is_connected(now, address, connection_id) {
            return Ok(Outcome::silence(kind, RejectReason::BadConnectionId));
        }
        let length = write_error(reply, transaction_id, &fault.to_string())?;
        Ok(Outcome {
            rejected: Some(RejectReason::Malformed),
            ..Outcome::served(kind, length)
        })
    }
}

/// What [`Tracker::begin`] did.
enum Begun {
    Answered(Outcome),
    Ipv4(Waiting<IPV4_PEER_LENGTH>),
    Ipv6(Waiting<IPV6_PEER_LENGTH>),
}

#[cfg(test)]
mod tests;
