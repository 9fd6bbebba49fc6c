//! Replies to requests: connects the protocol with the swarm, without I/O.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aquatic_bittorrent::{InfoHash, ipv4_peer, ipv6_peer};
use aquatic_http_protocol::{
    AnnounceReply, AnnounceRequest, Framing, Misplaced, Peers, Purpose, QueryFault, Resource,
    RetryIn, Scheme, ScrapeReply, ScrapeRequest, Site, Status, Transferred, write_failure,
    write_page,
};
use aquatic_policy::rates::Limiter;
use aquatic_service::clock::Now;
use aquatic_swarm::{Announce, Announced, Families, Scraped, Swarm};
use aquatic_tracker::accounting::{LabelText, Ledger, Record, Traffic};
use aquatic_tracker::cluster::{Changes, Outbox};
use aquatic_tracker::{ClientCounts, FrontPage, RecentTotals, RequestedAt, reject_with_page};
pub use aquatic_tracker::{Outcome, RejectReason, RequestKind};

use crate::config::Config;
use crate::full_scrape::{FullScrape, Step};
use crate::settings::Settings;

mod requested;
mod stored_at;

pub use requested::Requested;
use stored_at::{Refused, StoredAt};

/// The state that the workers of a tracker share.
pub type State = aquatic_tracker::State<Families>;

/// Answers requests, for one worker.
pub struct Tracker {
    state: Arc<State>,
    random: fastrand::Rng,
    clients: Arc<ClientCounts>,
    /// Receives the changes for other daemons and nodes with the same swarm.
    outbox: Option<Arc<Outbox>>,
    limiter: Option<Arc<Limiter>>,
    /// Receives the announces of clients with keys.
    ledger: Option<Ledger>,
    /// Torrents of the current scrape; a field to reuse its memory.
    scraped: Vec<InfoHash>,
    /// For the page for people.
    totals: RecentTotals,
}

impl Tracker {
    /// Creates the tracker of a worker; `random` chooses peers. Counts client software in
    /// `clients`.
    pub fn new(state: Arc<State>, random: fastrand::Rng, clients: Arc<ClientCounts>) -> Self {
        Self {
            state,
            random,
            clients,
            outbox: None,
            limiter: None,
            ledger: None,
            scraped: Vec::new(),
            totals: RecentTotals::default(),
        }
    }

    /// Limits the requests of a source as configured, with all that use `limiter`.
    #[must_use]
    pub fn with_limiter(mut self, limiter: Arc<Limiter>) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// Puts changes of the swarm into `outbox`, if given.
    #[must_use]
    pub fn with_outbox(mut self, outbox: Option<Arc<Outbox>>) -> Self {
        self.outbox = outbox;
        self
    }

    /// Puts the announces of clients with keys into `ledger`, if given.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Option<Ledger>) -> Self {
        self.ledger = ledger;
        self
    }

    /// Appends the reply to a request of the client at `source`, as configured.
    #[inline]
    pub fn handle(
        &mut self,
        now: Now,
        settings: &Settings,
        source: IpAddr,
        requested: Requested<'_>,
        framing: Framing,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let Requested { resource, key } = requested;
        let mut asked = Asked {
            now,
            config: &settings.config,
            source: source.to_canonical(),
            framing,
            account: None,
            needs_key: settings.keys.is_some(),
        };
        if let Some(rule) = settings.config.rates.requests()
            && let Some(limiter) = &self.limiter
            // Pages do not depend on the client, whose address is not known behind a proxy.
            && let Resource::Announce(_) | Resource::Scrape(_) = resource
            && !rule.allows(limiter, asked.source, now.milliseconds)
        {
            let kind = requested.kind_with_key().unwrap_or(RequestKind::Other);
            return reject(kind, RejectReason::RateLimit, framing, out);
        }
        if let Some(keys) = &settings.keys
            && let Some(kind) = requested.kind_with_key()
        {
            match keys.check(&key) {
                Ok(found) if self.ledger.is_some() => {
                    asked.account = Some((found.label, keys.time()));
                }
                Ok(_) => {}
                Err(reason) => return reject(kind, reason, framing, out),
            }
        }
        match resource {
            Resource::Announce(query) => self.announce(asked, query, out),
            Resource::Scrape(query) => self.scrape(asked, query, out),
            Resource::Misplaced(request) => {
                misplaced(request, settings.keys.is_some(), framing, out)
            }
            Resource::Index(site) => self.front_page(asked, &settings.front_page, site, out),
            Resource::Health => {
                write_page(out, framing, Status::Ok, "ok\n");
                Outcome::served(RequestKind::Page)
            }
            Resource::Unknown => {
                reject_with_page(out, framing, Status::NotFound, RejectReason::UnknownPath)
            }
            Resource::OtherMethod => {
                let status = Status::MethodNotAllowed;
                reject_with_page(out, framing, status, RejectReason::OtherMethod)
            }
        }
    }

    /// Whether the source of a request is not banned.
    pub(crate) fn serves(&self, source: IpAddr) -> bool {
        self.state.check_source(source.to_canonical()).is_ok()
    }

    /// Does a step of a full scrape.
    pub(crate) fn full_scrape_step(&self, scrape: &mut FullScrape, out: &mut Vec<u8>) -> Step {
        scrape.step(&self.state, out)
    }

    #[cold]
    fn front_page(
        &mut self,
        asked: Asked<'_>,
        page: &FrontPage,
        site: Site<'_>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let requested_at = RequestedAt {
            scheme: site.scheme.unwrap_or(Scheme::Http).name(),
            host: site.host,
            path: if asked.needs_key {
                Purpose::Announce.path_with_key()
            } else {
                Purpose::Announce.path()
            },
        };
        let now = asked.now.monotonic_seconds;
        page.write(out, asked.framing, requested_at, || {
            self.totals.text(&self.state.swarms, now)
        });
        Outcome::served(RequestKind::Page)
    }

    #[inline]
    fn announce(&mut self, asked: Asked<'_>, query: &[u8], out: &mut Vec<u8>) -> Outcome {
        let kind = RequestKind::Announce;
        let framing = asked.framing;
        let request = match AnnounceRequest::parse(query) {
            Ok(request) => request,
            Err(fault) => return reject_query(kind, fault, framing, out),
        };
        if let Some(outcome) = self.refuse(asked, &request, out) {
            return outcome;
        }
        let stored = match StoredAt::of(asked, &request, query) {
            Ok(stored) => stored,
            Err(Refused::Malformed(fault)) => return reject_query(kind, fault, framing, out),
            Err(Refused::Special) => {
                return reject(kind, RejectReason::SpecialAddress, framing, out);
            }
        };
        if !self.state.lists.bans.is_off()
            && let Err(reason) = self.check_stored(asked.source, &stored)
        {
            return reject(kind, reason, framing, out);
        }
        self.clients.count(&asked.config.metrics, &request.peer_id);

        let Self {
            state,
            random,
            outbox,
            ..
        } = self;
        let joined = Joined {
            asked,
            request: &request,
            outbox: outbox.as_deref(),
            external_ip: stored.first.ip(),
        };
        match stored.other {
            None => {}
            Some(SocketAddr::V4(other)) => {
                joined.add(
                    &state.swarms.ipv4,
                    ipv4_peer(*other.ip(), other.port()),
                    random,
                );
            }
            Some(SocketAddr::V6(other)) => {
                joined.add(
                    &state.swarms.ipv6,
                    ipv6_peer(*other.ip(), other.port()),
                    random,
                );
            }
        }
        let outcome = match stored.first {
            SocketAddr::V4(first) => {
                let record = ipv4_peer(*first.ip(), first.port());
                let swarm = &state.swarms.ipv4;
                joined.answer(swarm, record, |slices| Peers::Ipv4(slices), random, out)
            }
            SocketAddr::V6(first) => {
                let record = ipv6_peer(*first.ip(), first.port());
                let swarm = &state.swarms.ipv6;
                joined.answer(swarm, record, |slices| Peers::Ipv6(slices), random, out)
            }
        };
        if asked.account.is_some() && outcome.rejected.is_none() {
            self.account(asked, &request, query);
        }
        outcome
    }

    /// Keeps account of an announce that was served.
    fn account(&self, asked: Asked<'_>, request: &AnnounceRequest, query: &[u8]) {
        let (Some(ledger), Some((label, epoch_seconds))) = (&self.ledger, asked.account) else {
            return;
        };
        let transferred = Transferred::parse(query);
        ledger.add(Record {
            epoch_seconds,
            label: LabelText::new(label),
            info_hash: request.info_hash,
            peer_id: request.peer_id,
            traffic: Traffic {
                uploaded: transferred.uploaded,
                downloaded: transferred.downloaded,
                left: request.left,
            },
            event: request.event,
            source: asked.source,
            port: Some(request.port),
        });
    }

    /// Rejects an announce whose client, client software or torrent is not served.
    #[inline]
    fn refuse(
        &self,
        asked: Asked<'_>,
        request: &AnnounceRequest,
        out: &mut Vec<u8>,
    ) -> Option<Outcome> {
        let kind = RequestKind::Announce;
        let framing = asked.framing;
        let checked = self
            .state
            .check_announce(asked.source, &request.info_hash, request.port);
        if let Err(reason) = checked {
            return Some(reject(kind, reason, framing, out));
        }
        self.state.reject_client(&request.peer_id, |text| {
            reject_as(kind, RejectReason::Client, text, framing, out)
        })
    }

    /// Whether the addresses that a peer is believed to have are served, if they are not the
    /// source.
    fn check_stored(&self, source: IpAddr, stored: &StoredAt) -> Result<(), RejectReason> {
        let addresses = [Some(stored.first), stored.other].into_iter().flatten();
        addresses
            .map(|address| address.ip())
            .filter(|address| *address != source)
            .try_for_each(|address| self.state.check_source(address))
    }

    /// If there are too many torrents, the reply has the first ones.
    fn scrape(&mut self, asked: Asked<'_>, query: &[u8], out: &mut Vec<u8>) -> Outcome {
        let kind = RequestKind::Scrape;
        let framing = asked.framing;
        let request = match ScrapeRequest::parse(query) {
            Ok(request) => request,
            Err(fault) => return reject_query(kind, fault, framing, out),
        };
        let Self { state, scraped, .. } = self;
        let max = asked.config.protocol.max_scrape_torrents.as_usize();
        scraped.clear();
        scraped.extend(request.info_hashes().take(max));
        if let Err(reason) = state.check_scrape(asked.source, scraped.iter().copied()) {
            return reject(kind, reason, framing, out);
        }
        scraped.sort_unstable();
        scraped.dedup();

        let mut reply = ScrapeReply::begin(out, framing);
        for info_hash in scraped {
            let Scraped {
                seeders,
                leechers,
                completed,
            } = state.scrape(asked.source, info_hash);
            reply.append(info_hash, seeders, completed, leechers);
        }
        reply.finish();
        Outcome::served(kind)
    }
}

/// Rejects a request with a wrong URL. The failure reason, which clients show to their
/// users, contains the right URL, with the host from the request, which only has valid
/// characters and a bounded length.
#[cold]
fn misplaced(
    request: Misplaced<'_>,
    needs_key: bool,
    framing: Framing,
    out: &mut Vec<u8>,
) -> Outcome {
    let Misplaced {
        purpose,
        site: Site { scheme, host },
    } = request;
    let scheme = scheme
        .zip(host)
        .map_or_else(String::new, |(scheme, _)| format!("{}://", scheme.name()));
    let host = host.unwrap_or_default();
    let (kind, whose) = match purpose {
        Purpose::Announce => (RequestKind::Announce, "this tracker has"),
        Purpose::Scrape => (RequestKind::Scrape, "scrapes have"),
    };
    // The key itself, wherever it is in this URL, is not repeated.
    let (path, key) = if needs_key {
        (purpose.path_with_key(), ", with your key in place of KEY")
    } else {
        (purpose.path(), "")
    };
    let reason = format!("wrong URL: {whose} {scheme}{host}{path}{key}");
    write_failure(out, framing, &reason, None);
    Outcome::rejected(kind, RejectReason::WrongUrl)
}

/// Who asks, when, and what the configuration says about it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    now: Now,
    config: &'a Config,
    source: IpAddr,
    framing: Framing,
    needs_key: bool,
    /// The label of the client's key and the time, if accounts are kept.
    account: Option<(&'a str, u32)>,
}

/// An announce, and what is needed to answer it.
struct Joined<'a> {
    asked: Asked<'a>,
    request: &'a AnnounceRequest,
    outbox: Option<&'a Outbox>,
    external_ip: IpAddr,
}

impl Joined<'_> {
    /// The announce of the peer at `record`, which asks for up to `wanted` peers.
    #[inline]
    fn announce<const S: usize>(&self, record: [u8; S], wanted: usize) -> Announce<S> {
        let Self { asked, request, .. } = self;
        Announce {
            record,
            is_seeder: request.is_seeder(),
            event: request.event,
            wanted,
            now_seconds: asked.now.monotonic_seconds,
            lifetime_seconds: asked.config.cleaning.max_peer_age.as_u16(),
        }
    }

    /// Announces the address that the peer has in the other family, too, if its swarm takes
    /// it. The reply is about the first one alone.
    #[cold]
    fn add<const S: usize, const N: usize>(
        &self,
        swarm: &Swarm<S, S, N>,
        record: [u8; S],
        random: &mut fastrand::Rng,
    ) {
        let changes = Changes::new(self.outbox);
        let mut torrent = swarm.lock(&self.request.info_hash);
        if let Ok(Announced {
            change: Some(change),
            ..
        }) = torrent.announce(&self.announce(record, 0), random)
        {
            changes.add(&self.request.info_hash, &record, change);
            changes.append();
        }
    }

    /// Announces, and writes the reply while the torrent is locked.
    #[inline]
    fn answer<const S: usize, const N: usize>(
        &self,
        swarm: &Swarm<S, S, N>,
        record: [u8; S],
        peers_of: impl for<'p> FnOnce(&'p [&'p [[u8; S]]]) -> Peers<'p>,
        random: &mut fastrand::Rng,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let Self { asked, request, .. } = self;
        let Asked {
            config, framing, ..
        } = *asked;
        let max = config.protocol.max_response_peers.as_usize();
        let wanted = request.peers_wanted;
        let wanted = wanted.map_or(max, |wanted| max.min(wanted.get() as usize));
        let announce = self.announce(record, wanted);
        let changes = Changes::new(self.outbox);
        let mut torrent = swarm.lock(&request.info_hash);
        let Announced {
            seeders,
            leechers,
            completed,
            peers,
            change,
        } = match torrent.announce(&announce, random) {
            Ok(announced) => announced,
            Err(reached) => return reject(RequestKind::Announce, reached.into(), framing, out),
        };
        if let Some(change) = change {
            changes.add(&request.info_hash, &record, change);
            changes.append();
        }
        let reply = AnnounceReply {
            seeders,
            completed,
            leechers,
            interval_seconds: config.protocol.peer_announce_interval.as_u32(),
            min_interval_seconds: config.protocol.min_interval().as_u32(),
            external_ip: self.external_ip,
            peers: peers_of(peers.slices()),
            is_compact: request.is_compact,
        };
        reply.write(out, framing);
        Outcome::served(RequestKind::Announce)
    }
}

#[cold]
fn reject_query(
    kind: RequestKind,
    fault: QueryFault,
    framing: Framing,
    out: &mut Vec<u8>,
) -> Outcome {
    write_failure(out, framing, &fault.to_string(), None);
    let reason = match fault {
        QueryFault::FullScrape => RejectReason::FullScrape,
        _ => RejectReason::Malformed,
    };
    Outcome::rejected(kind, reason)
}

#[cold]
fn reject(kind: RequestKind, reason: RejectReason, framing: Framing, out: &mut Vec<u8>) -> Outcome {
    reject_as(kind, reason, reason.text(), framing, out)
}

/// Rejects a request with a text of its own.
#[cold]
fn reject_as(
    kind: RequestKind,
    reason: RejectReason,
    text: &str,
    framing: Framing,
    out: &mut Vec<u8>,
) -> Outcome {
    write_failure(out, framing, text, retry_in(reason));
    Outcome::rejected(kind, reason)
}

/// When a client should try again (BEP 31), if that is known.
fn retry_in(reason: RejectReason) -> Option<RetryIn> {
    /// The lists or the torrent may have changed by then.
    const LATER: RetryIn = RetryIn::Minutes(30);
    /// Others with the same address make requests, too.
    const SOON: RetryIn = RetryIn::Minutes(5);

    match reason {
        RejectReason::Forbidden
        | RejectReason::Banned
        | RejectReason::Client
        | RejectReason::MaxTorrents
        | RejectReason::MaxPeersPerTorrent
        | RejectReason::MaxPeersPerIp => Some(LATER),
        RejectReason::RateLimit => Some(SOON),
        // Only the user can get another key, or put it into the torrent.
        RejectReason::MissingKey | RejectReason::UnknownKey | RejectReason::ExpiredKey => {
            Some(RetryIn::Never)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
