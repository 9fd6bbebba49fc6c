//! HTTP over a worker's connections.

use std::net::IpAddr;
use std::sync::Arc;

use aquatic_http_protocol::{
    Framing, Head, HeaderBuffer, HttpFault, MAX_REQUEST_LENGTH, Misplaced, Reading, Resource,
    RetryIn, Scheme, ScrapeRequest, Site, Status, Streamed, write_failure, write_fault, write_page,
};
use aquatic_service::View;
use aquatic_service::clock::Clock;
use aquatic_service::metrics::DurationHistogram;
use aquatic_stream::{ConnectionId, Exchange, Interruption, Next, Peer, Progress, Protocol};

use crate::counters::Counters;
use crate::full_scrape::{FullScrape, FullScrapes, Step};
use crate::settings::Settings;
use crate::tracker::{Outcome, RejectReason, RequestKind, Requested, Tracker};

/// HTTP over the connections of one worker. A connection has no state, except while it gets
/// the counts of all torrents: an incomplete request stays in its input.
pub struct Http {
    tracker: Tracker,
    clock: Clock,
    settings: View<Settings>,
    counters: Arc<[Counters]>,
    number: usize,
    full_scrapes: Arc<FullScrapes>,
}

impl Http {
    /// Answers by `tracker`, and counts in `counters` under `number`.
    pub(crate) fn new(
        tracker: Tracker,
        clock: Clock,
        settings: View<Settings>,
        counters: Arc<[Counters]>,
        number: usize,
    ) -> Self {
        Self {
            tracker,
            clock,
            settings,
            counters,
            number,
            full_scrapes: Arc::default(),
        }
    }

    /// Counts full scrapes together with other workers.
    pub(crate) fn with_full_scrapes(self, full_scrapes: Arc<FullScrapes>) -> Self {
        Self {
            full_scrapes,
            ..self
        }
    }

    /// The scheme of URLs for connections like this one; `None` behind a proxy without TLS,
    /// as it is unknown whether the proxy's clients use TLS.
    fn scheme(&self, peer: &Peer) -> Option<Scheme> {
        let is_proxied =
            self.settings.connections.reverse_proxy.is_some() || peer.address != peer.transport;
        match peer.is_tls {
            true => Some(Scheme::Https),
            false if is_proxied => None,
            false => Some(Scheme::Http),
        }
    }

    fn count(&self, source: IpAddr, outcome: Outcome) {
        self.counters[self.number].requests.count(source, outcome);
    }

    fn durations(&self) -> &DurationHistogram {
        &self.counters[self.number].requests.durations
    }

    #[inline]
    fn answer(&mut self, head: &Head<'_>, exchange: Answering<'_>) -> Outcome {
        let Answering {
            now, peer, framing, ..
        } = exchange;
        let Requested { resource, key } = match self.settings.keys {
            None => Resource::of(head).into(),
            Some(_) => Requested::with_key(head),
        };
        let kind = match resource {
            Resource::Announce(_) => RequestKind::Announce,
            Resource::Scrape(_) => RequestKind::Scrape,
            // Pages do not depend on the client.
            other => {
                let source = peer.address.ip();
                let requested = self.with_scheme(other, peer).into();
                return self.tracker.handle(
                    now,
                    &self.settings,
                    source,
                    requested,
                    framing,
                    exchange.output,
                );
            }
        };
        let source = match &self.settings.connections.reverse_proxy {
            None => Ok(peer.address.ip()),
            Some(proxy) => proxy.client(peer, head.value(proxy.header.name())),
        };
        match source {
            Ok(source) => {
                // Those who are trusted need no key, but are not served if they are banned.
                let full = &self.settings.config.protocol.full_scrape_from;
                if !full.is_empty()
                    && let Resource::Scrape(query) = resource
                    && ScrapeRequest::is_full(query)
                    && full.iter().any(|range| range.contains(source))
                    && self.tracker.serves(source)
                {
                    return self.begin_full_scrape(head, source, exchange);
                }
                let requested = Requested { resource, key };
                let output = exchange.output;
                self.tracker
                    .handle(now, &self.settings, source, requested, framing, output)
            }
            Err(fault) => {
                write_failure(exchange.output, framing, &fault.to_string(), None);
                Outcome::rejected(kind, RejectReason::ProxyHeader)
            }
        }
    }

    /// Begins the reply with the counts of all torrents to a client that may have it.
    #[cold]
    fn begin_full_scrape(
        &self,
        head: &Head<'_>,
        source: IpAddr,
        exchange: Answering<'_>,
    ) -> Outcome {
        let kind = RequestKind::Scrape;
        let streamed = Streamed::of(head, exchange.stays);
        let is_ipv4 = source.to_canonical().is_ipv4();
        let begun = FullScrape::begin(&self.full_scrapes, is_ipv4, streamed, exchange.output);
        let Some(scrape) = begun else {
            /// The others may have ended by then.
            const RETRY_IN: RetryIn = RetryIn::Minutes(1);
            let reason = "too many full scrapes at a time; try again later";
            let retry = Some(RETRY_IN);
            write_failure(exchange.output, exchange.framing, reason, retry);
            return Outcome::rejected(kind, RejectReason::FullScrape);
        };
        *exchange.begun = Some(Begun {
            closes: streamed.framing.closes,
            // The reply to HEAD ends here.
            scrape: (!streamed.framing.is_head).then(|| Box::new(scrape)),
        });
        Outcome::served(kind)
    }

    /// Adds a scheme to a request that has none, if its reply contains a URL: that of the
    /// connection.
    fn with_scheme<'a>(&self, resource: Resource<'a>, peer: &Peer) -> Resource<'a> {
        let with_scheme = |site: Site<'a>| Site {
            scheme: site.scheme.or_else(|| self.scheme(peer)),
            ..site
        };
        match resource {
            Resource::Index(site) => Resource::Index(with_scheme(site)),
            Resource::Misplaced(Misplaced { purpose, site }) => Resource::Misplaced(Misplaced {
                purpose,
                site: with_scheme(site),
            }),
            other => other,
        }
    }

    /// Answers bytes that are not a valid or complete request.
    #[cold]
    fn reject(&self, fault: HttpFault, exchange: &mut Exchange<'_>) {
        write_fault(exchange.output, fault);
        let outcome = Outcome::rejected(RequestKind::Other, fault.into());
        self.count(exchange.peer.transport.ip(), outcome);
    }
}

/// What is needed for an answer besides the request.
struct Answering<'a> {
    now: aquatic_service::clock::Now,
    peer: &'a Peer,
    output: &'a mut Vec<u8>,
    /// Whether the connection stays open, as far as the tracker is concerned.
    stays: bool,
    framing: Framing,
    /// Set if the reply is a full scrape.
    begun: &'a mut Option<Begun>,
}

/// The beginning of the reply to a full scrape was written.
struct Begun {
    /// Whether the connection is closed after the reply.
    closes: bool,
    /// What follows, if anything.
    scrape: Option<Box<FullScrape>>,
}

impl Protocol for Http {
    /// The full scrape that is under way.
    type Connection = Option<Box<FullScrape>>;

    fn max_input_bytes(&self) -> usize {
        MAX_REQUEST_LENGTH
    }

    fn open(&mut self, _: &Peer, _: ConnectionId) -> Self::Connection {
        None
    }

    #[inline]
    fn receive(
        &mut self,
        connection: &mut Self::Connection,
        exchange: &mut Exchange<'_>,
    ) -> Progress {
        let mut headers = HeaderBuffer::new();
        match Reading::of(exchange.input, &mut headers) {
            Reading::Incomplete => Progress::INCOMPLETE,
            Reading::Complete { head, length } => {
                let begun = self.durations().begin();
                self.settings.refresh();
                let keep_alive = self.settings.config.network.own.keep_alive;
                let stays = keep_alive && !exchange.is_draining;
                let framing = Framing::of(&head, stays);
                let mut full_scrape = None;
                let answering = Answering {
                    now: self.clock.at(exchange.now),
                    peer: exchange.peer,
                    output: exchange.output,
                    stays,
                    framing,
                    begun: &mut full_scrape,
                };
                let outcome = self.answer(&head, answering);
                self.durations().end(begun, 1);
                self.count(exchange.peer.transport.ip(), outcome);
                if let Some(Begun { closes, scrape }) = full_scrape {
                    let is_over = scrape.is_none();
                    *connection = scrape;
                    return Progress {
                        consumed: length,
                        next: if is_over && closes {
                            Next::Close
                        } else {
                            Next::Continue
                        },
                    };
                }
                Progress {
                    // With 0, the connection is closed only after unread input was
                    // discarded: a body that is still being sent does not make the
                    // client's system discard the answer.
                    consumed: if head.has_body { 0 } else { length },
                    next: if framing.closes {
                        Next::Close
                    } else {
                        Next::Continue
                    },
                }
            }
            Reading::Fault(fault) => {
                self.reject(fault, exchange);
                Progress::FAULT
            }
        }
    }

    fn has_more(connection: &Self::Connection) -> bool {
        connection.is_some()
    }

    fn resume(&mut self, connection: &mut Self::Connection, exchange: &mut Exchange<'_>) -> Next {
        let Some(scrape) = connection else {
            return Next::Close;
        };
        match self.tracker.full_scrape_step(scrape, exchange.output) {
            Step::More => Next::Continue,
            Step::End => {
                let closes = scrape.closes();
                *connection = None;
                if closes { Next::Close } else { Next::Continue }
            }
        }
    }

    fn interrupt(
        &mut self,
        _: &mut Self::Connection,
        exchange: &mut Exchange<'_>,
        interruption: Interruption,
    ) -> Next {
        let fault = match interruption {
            Interruption::Idle
            | Interruption::Draining
            | Interruption::OldCertificate
            | Interruption::NoLongerServed => None,
            Interruption::EndOfInput => HttpFault::at_end(exchange.input),
            Interruption::SlowMessage => Some(HttpFault::TooSlow),
        };
        if let Some(fault) = fault {
            self.reject(fault, exchange);
        }
        Next::Close
    }

    fn answer_without_tls(&self, out: &mut Vec<u8>) {
        let text = "TLS is required here; use https:// instead of http://\n";
        write_page(out, Framing::CLOSING, Status::BadRequest, text);
    }
}
