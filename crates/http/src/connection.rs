//! HTTP over a worker's connections.

use std::net::IpAddr;
use std::sync::Arc;

use aquatic_http_protocol::{
    Framing, Head, HeaderBuffer, HttpFault, MAX_REQUEST_LENGTH, Misplaced, Reading, Resource,
    Scheme, Site, Status, write_failure, write_fault, write_page,
};
use aquatic_service::View;
use aquatic_service::clock::Clock;
use aquatic_service::metrics::DurationHistogram;
use aquatic_stream::{ConnectionId, Exchange, Interruption, Next, Peer, Progress, Protocol};

use crate::counters::Counters;
use crate::settings::Settings;
use crate::tracker::{Outcome, RejectReason, RequestKind, Requested, Tracker};

/// HTTP over the connections of one worker. A connection has no state: an incomplete
/// request stays in its input.
pub struct Http {
    tracker: Tracker,
    clock: Clock,
    settings: View<Settings>,
    counters: Arc<[Counters]>,
    number: usize,
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
    fn answer(&mut self, head: &Head<'_>, framing: Framing, exchange: Answering<'_>) -> Outcome {
        let Answering { now, peer, output } = exchange;
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
                    output,
                );
            }
        };
        let source = match &self.settings.connections.reverse_proxy {
            None => Ok(peer.address.ip()),
            Some(proxy) => proxy.client(peer, head.value(proxy.header.name())),
        };
        match source {
            Ok(source) => {
                let requested = Requested { resource, key };
                self.tracker
                    .handle(now, &self.settings, source, requested, framing, output)
            }
            Err(fault) => {
                write_failure(output, framing, &fault.to_string(), None);
                Outcome::rejected(kind, RejectReason::ProxyHeader)
            }
        }
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
}

impl Protocol for Http {
    type Connection = ();

    fn max_input_bytes(&self) -> usize {
        MAX_REQUEST_LENGTH
    }

    fn open(&mut self, _: &Peer, _: ConnectionId) -> Self::Connection {}

    #[inline]
    fn receive(&mut self, (): &mut (), exchange: &mut Exchange<'_>) -> Progress {
        let mut headers = HeaderBuffer::new();
        match Reading::of(exchange.input, &mut headers) {
            Reading::Incomplete => Progress::INCOMPLETE,
            Reading::Complete { head, length } => {
                let begun = self.durations().begin();
                self.settings.refresh();
                let keep_alive = self.settings.config.network.own.keep_alive;
                let framing = Framing::of(&head, keep_alive && !exchange.is_draining);
                let answering = Answering {
                    now: self.clock.at(exchange.now),
                    peer: exchange.peer,
                    output: exchange.output,
                };
                let outcome = self.answer(&head, framing, answering);
                self.durations().end(begun, 1);
                self.count(exchange.peer.transport.ip(), outcome);
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

    fn interrupt(
        &mut self,
        (): &mut (),
        exchange: &mut Exchange<'_>,
        interruption: Interruption,
    ) -> Next {
        let fault = match interruption {
            Interruption::Idle | Interruption::Draining | Interruption::OldCertificate => None,
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
