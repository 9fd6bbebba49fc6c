//! Replies to datagrams: connects the protocol with the swarm, without I/O.

use std::net::IpAddr;
use std::sync::Arc;

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH, InfoHash, ipv4_peer, ipv6_peer};
pub use aquatic_datagrams::{BATCH, Datagram};
use aquatic_policy::keys::UrlKey;
use aquatic_policy::rates::Limiter;
use aquatic_service::clock::Now;
use aquatic_service::config::rate_sections::Rule;
use aquatic_swarm::Families;
use aquatic_tracker::ClientCounts;
use aquatic_tracker::accounting::Ledger;
use aquatic_tracker::cluster::Outbox;
use aquatic_tracker::keys::Keys;
pub use aquatic_tracker::{RejectReason, RequestKind};
use aquatic_udp_protocol::{
    AnnounceRequest, BufferTooSmall, ConnectionId, MAX_IPV4_PAYLOAD, Request, RequestError,
    RequestFault, ScrapeRequest, write_connect, write_error,
};
use arrayvec::ArrayVec;

use crate::config::Config;

mod accounts;
mod keys;
mod outcome;
mod scraping;
mod waiting;

use accounts::Accounts;
pub use keys::ConnectionIdKeys;
pub use outcome::Outcome;
use scraping::{Scraping, scrape_all};
use waiting::{Numbered, Waiting, announce_all};

/// The state that all workers share.
pub type State = aquatic_tracker::State<Families>;

/// Maximum number of announces that are looked up together. More would make an announce
/// slightly cheaper, but lock more shards at a time.
pub const GROUP: usize = 8;

/// Maximum number of torrents of scrapes that are looked up together.
const SCRAPE_GROUP: usize = 8;

/// Maximum length of a reply in bytes that the configuration allows: what fits an Ethernet
/// frame over IPv4. Each datagram has this much space for its reply.
pub const MAX_REPLY_LENGTH: usize = MAX_IPV4_PAYLOAD;

/// Datagrams that were received with one call.
pub type Batch<'a> = ArrayVec<Datagram<'a>, BATCH>;

/// The outcome for each datagram of a batch; `None` beyond the last one.
pub type Outcomes = [Option<Outcome>; BATCH];

/// Replies to datagrams, for one worker.
pub struct Tracker {
    state: Arc<State>,
    keys: Arc<ConnectionIdKeys>,
    random: fastrand::Rng,
    clients: Arc<ClientCounts>,
    /// Receives the changes for other daemons and nodes with the same swarm.
    outbox: Option<Arc<Outbox>>,
    limiters: Option<Arc<Limiters>>,
    /// The keys of clients, if they need one.
    client_keys: Option<Arc<Keys>>,
    accounts: Accounts,
}

/// Why scrapes are rejected if clients need keys: BEP 41 has options for announces alone.
const NO_SCRAPES: &str = "this tracker needs a key, which a scrape over UDP cannot have";

impl Tracker {
    /// Uses the torrents of `state`, and accepts connection ids that were made with `keys`;
    /// `random` chooses peers. Counts client software in `clients`.
    pub fn new(
        state: Arc<State>,
        keys: Arc<ConnectionIdKeys>,
        random: fastrand::Rng,
        clients: Arc<ClientCounts>,
    ) -> Self {
        Self {
            state,
            keys,
            random,
            clients,
            outbox: None,
            limiters: None,
            client_keys: None,
            accounts: Accounts::default(),
        }
    }

    /// Puts the announces of clients with keys into `ledger`, if given.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Option<Ledger>) -> Self {
        self.accounts = Accounts::new(ledger);
        self
    }

    /// From now on, clients need one of these keys, or none.
    pub fn set_client_keys(&mut self, keys: Option<Arc<Keys>>) {
        self.client_keys = keys;
    }

    /// Limits the requests of a source as configured, with all that use these `limiters`.
    #[must_use]
    pub fn with_limiters(mut self, limiters: Arc<Limiters>) -> Self {
        self.limiters = Some(limiters);
        self
    }

    /// Puts changes of the swarm into `outbox`, if given.
    #[must_use]
    pub fn with_outbox(mut self, outbox: Option<Arc<Outbox>>) -> Self {
        self.outbox = outbox;
        self
    }

    /// Replies to a batch of datagrams as configured; returns an outcome for each.
    ///
    /// Announces of a torrent are answered in their order, after all other requests of the
    /// batch: scrapes do not include announces of the same batch. Scrapes, too, look up their
    /// torrents in groups.
    ///
    /// Announces are looked up in groups of [`GROUP`] before the first of them is answered:
    /// an announce mostly waits for memory, and independent lookups can wait at the same
    /// time. Groups are made of all announces of the batch, so that they are full whatever
    /// requests are between them.
    #[inline]
    pub fn handle_batch(&mut self, now: Now, config: &Config, batch: &mut Batch<'_>) -> Outcomes {
        let mut outcomes = [None; BATCH];
        let mut ipv4 = ArrayVec::<_, BATCH>::new();
        let mut ipv6 = ArrayVec::<_, BATCH>::new();
        let mut scrapes = [const { ArrayVec::<_, BATCH>::new_const() }; 2];
        let pace = Pace {
            rule: config.rates.requests(),
            is_busy: batch.is_full(),
        };
        for (number, datagram) in batch.iter_mut().enumerate() {
            match self.begin(now, config, pace, number, datagram) {
                Begun::Answered(outcome) => outcomes[number] = Some(outcome),
                Begun::Ipv4(announce) => ipv4.push(Numbered { number, announce }),
                Begun::Ipv6(announce) => ipv6.push(Numbered { number, announce }),
                Begun::Scrape(scraping, family) => scrapes[family as usize].push(scraping),
            }
        }
        let Self {
            state,
            random,
            outbox,
            ..
        } = self;
        let interval = config.protocol.peer_announce_interval.as_u32();
        let State { swarms, lists } = &**state;
        let is_allowed = |info_hash: &InfoHash| lists.access_list.allows(info_hash);
        let [of_ipv4, of_ipv6] = &scrapes;
        scrape_all(&swarms.ipv4, is_allowed, of_ipv4, batch, &mut outcomes);
        scrape_all(&swarms.ipv6, is_allowed, of_ipv6, batch, &mut outcomes);
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
        self.accounts.finish(&outcomes);
        outcomes
    }

    /// Answers a request that is neither announce nor scrape; prepares one that is.
    #[inline]
    fn begin<'a>(
        &mut self,
        now: Now,
        config: &Config,
        pace: Pace<'_>,
        number: usize,
        datagram: &mut Datagram<'a>,
    ) -> Begun<'a> {
        let source = datagram.source;
        if source.port() == 0 {
            let outcome = Outcome::silence(RequestKind::Other, RejectReason::SourcePortZero);
            return Begun::Answered(outcome);
        }
        let asked = Asked {
            now,
            config,
            address: source.ip().to_canonical(),
            pace,
            number,
        };
        // A reply that does not fit would be a mistake in the check of the settings, and
        // must not end the worker.
        self.answer(asked, datagram.bytes, datagram.reply)
            .unwrap_or(Begun::Answered(Outcome::TOO_LONG))
    }

    #[inline]
    fn answer<'a>(
        &mut self,
        asked: Asked<'_>,
        datagram: &'a [u8],
        reply: &mut [u8],
    ) -> Result<Begun<'a>, BufferTooSmall> {
        let outcome = match Request::parse(datagram) {
            Ok(Request::Announce(request)) => {
                if !self.is_connected(asked, request.connection_id) {
                    Outcome::silence(RequestKind::Announce, RejectReason::BadConnectionId)
                } else if self.has_asked_too_much(asked) {
                    Outcome::silence(RequestKind::Announce, RejectReason::RateLimit)
                } else {
                    return self.prepare(asked, &request, reply);
                }
            }
            Ok(Request::Connect(_)) if self.connects_too_often(asked) => {
                Outcome::silence(RequestKind::Connect, RejectReason::RateLimit)
            }
            Ok(Request::Connect(request)) => {
                let key = self.keys.current();
                let id = key.connection_id(asked.now.epoch_seconds, asked.address);
                let length = write_connect(reply, request.transaction_id, id)?;
                Outcome::served(RequestKind::Connect, length)
            }
            Ok(Request::Scrape(request)) => {
                if !self.is_connected(asked, request.connection_id) {
                    Outcome::silence(RequestKind::Scrape, RejectReason::BadConnectionId)
                } else if self.has_asked_too_much(asked) {
                    Outcome::silence(RequestKind::Scrape, RejectReason::RateLimit)
                } else {
                    return self.prepare_scrape(asked, &request, reply);
                }
            }
            Err(error) => self.reject_malformed(asked, error, reply)?,
        };
        Ok(Begun::Answered(outcome))
    }

    /// Only connect requests are answered without a valid connection id: otherwise replies
    /// could be sent to addresses that requested nothing.
    #[inline]
    fn is_connected(&self, asked: Asked<'_>, id: ConnectionId) -> bool {
        self.keys.is_valid(
            id,
            asked.now.epoch_seconds,
            asked.address,
            asked.config.cleaning.max_connection_age.as_u32(),
        )
    }

    /// Whether a source with a valid connection id has made more requests than it may; if
    /// not, counts this one. Those without one do not count: anybody can send them with any
    /// source address, and would take the requests of another.
    #[inline]
    fn has_asked_too_much(&self, asked: Asked<'_>) -> bool {
        let Some((rule, limiters)) = asked.pace.rule.zip(self.limiters.as_deref()) else {
            return false;
        };
        !rule.allows(&limiters.requests, asked.address, asked.now.milliseconds)
    }

    /// Whether a connect request is dropped, because its source sends too many, while the
    /// worker has more to do than it can read at once. Otherwise all are answered: their
    /// sources may be forged, and whoever was forged needs a connection id, too.
    #[inline]
    fn connects_too_often(&self, asked: Asked<'_>) -> bool {
        let Some((rule, limiters)) = asked.pace.rule.zip(self.limiters.as_deref()) else {
            return false;
        };
        asked.pace.is_busy
            && !rule.allows(&limiters.connects, asked.address, asked.now.milliseconds)
    }

    /// Validates an announce, and converts it for the swarm.
    #[inline]
    fn prepare(
        &mut self,
        asked: Asked<'_>,
        request: &AnnounceRequest<'_>,
        reply: &mut [u8],
    ) -> Result<Begun<'static>, BufferTooSmall> {
        let (kind, id) = (RequestKind::Announce, request.transaction_id);
        let mut record = None;
        if let Some(keys) = &self.client_keys {
            match keys.check(&UrlKey::of_pieces(request.url_data.pieces())) {
                Ok(key) if self.accounts.are_kept() => {
                    let (time, source) = (keys.time(), asked.address);
                    record = Some(accounts::record(request, key.label, time, source));
                }
                Ok(_) => {}
                Err(reason) => {
                    let outcome = Outcome::reject(kind, reason, id, reply)?;
                    return Ok(Begun::Answered(outcome));
                }
            }
        }
        let stored = self
            .state
            .check_announce(asked.address, &request.info_hash, request.port)
            .and_then(|()| self.stored_address(asked, request));
        let stored = match stored {
            Ok(stored) => stored,
            Err(reason) => {
                let outcome = Outcome::reject(kind, reason, id, reply)?;
                return Ok(Begun::Answered(outcome));
            }
        };
        let rejected = self.state.reject_client(&request.peer_id, |text| {
            Outcome::reject_as(kind, RejectReason::Client, text, id, reply)
        });
        if let Some(outcome) = rejected {
            return Ok(Begun::Answered(outcome?));
        }
        let Asked { now, config, .. } = asked;
        self.clients.count(&config.metrics, &request.peer_id);
        if let Some(record) = record {
            self.accounts.begin(asked.number, record);
        }

        Ok(match stored {
            IpAddr::V4(address) => {
                let record = ipv4_peer(address, request.port);
                Begun::Ipv4(Waiting::new(record, config, now, request))
            }
            IpAddr::V6(address) => {
                let record = ipv6_peer(address, request.port);
                Begun::Ipv6(Waiting::new(record, config, now, request))
            }
        })
    }

    /// The address under which a peer is stored.
    #[inline]
    fn stored_address(
        &self,
        asked: Asked<'_>,
        request: &AnnounceRequest<'_>,
    ) -> Result<IpAddr, RejectReason> {
        let rules = asked.config.address_rules();
        if rules.are_off() {
            return Ok(asked.address);
        }
        let claimed = request
            .claimed_address
            // Over IPv6, BEP 15 has no such field, and clients leave anything there.
            .filter(|_| asked.address.is_ipv4() && rules.believe(asked.address));
        let address = claimed.map_or(asked.address, IpAddr::V4);
        let stored = rules.stored(address)?;
        if stored != asked.address {
            self.state.check_source(stored)?;
        }
        Ok(stored)
    }

    /// Validates a scrape. If there are too many torrents, the reply has the first ones.
    #[inline]
    fn prepare_scrape<'a>(
        &self,
        asked: Asked<'_>,
        request: &ScrapeRequest<'a>,
        reply: &mut [u8],
    ) -> Result<Begun<'a>, BufferTooSmall> {
        let transaction_id = request.transaction_id;
        if self.client_keys.is_some() {
            let length = write_error(reply, transaction_id, NO_SCRAPES)?;
            return Ok(Begun::Answered(Outcome {
                rejected: Some(RejectReason::MissingKey),
                ..Outcome::served(RequestKind::Scrape, length)
            }));
        }
        let max = asked.config.protocol.max_scrape_torrents.as_usize();
        let info_hashes = &request.info_hashes[..max.min(request.info_hashes.len())];
        let all = info_hashes.iter().map(|&bytes| InfoHash(bytes));
        if let Err(reason) = self.state.check_scrape(asked.address, all) {
            let outcome = Outcome::reject(RequestKind::Scrape, reason, transaction_id, reply)?;
            return Ok(Begun::Answered(outcome));
        }
        let scraping = Scraping {
            number: asked.number,
            transaction_id,
            info_hashes,
        };
        let family = if asked.address.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        Ok(Begun::Scrape(scraping, family))
    }

    /// Sends an error if the client has a valid connection id.
    #[cold]
    fn reject_malformed(
        &self,
        asked: Asked<'_>,
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
        if !self.is_connected(asked, connection_id) {
            return Ok(Outcome::silence(kind, RejectReason::BadConnectionId));
        }
        if self.has_asked_too_much(asked) {
            return Ok(Outcome::silence(kind, RejectReason::RateLimit));
        }
        let length = write_error(reply, transaction_id, &fault.to_string())?;
        Ok(Outcome {
            rejected: Some(RejectReason::Malformed),
            ..Outcome::served(kind, length)
        })
    }
}

/// Who asks, when, and what the configuration says about it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    now: Now,
    config: &'a Config,
    address: IpAddr,
    pace: Pace<'a>,
    /// Index of the datagram in the batch.
    number: usize,
}

/// Counts the requests of sources, for all workers.
pub struct Limiters {
    /// Requests with a valid connection id.
    pub requests: Limiter,
    /// Connect requests, whose sources are not proved.
    pub connects: Limiter,
}

/// How fast a source may send, and whether the worker is behind.
#[derive(Clone, Copy)]
struct Pace<'a> {
    rule: Option<Rule<'a>>,
    /// As many datagrams were read as are read at once.
    is_busy: bool,
}

/// What [`Tracker::begin`] did.
enum Begun<'a> {
    Answered(Outcome),
    Ipv4(Waiting<IPV4_PEER_LENGTH>),
    Ipv6(Waiting<IPV6_PEER_LENGTH>),
    Scrape(Scraping<'a>, Family),
}

/// Whose peers a scrape counts.
#[derive(Clone, Copy)]
enum Family {
    Ipv4,
    Ipv6,
}

#[cfg(test)]
mod tests;
