//! WebTorrent over a worker's connections: the upgrade, frames and messages.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_policy::keys::{KeyDigest, UrlKey};
use aquatic_service::View;
use aquatic_service::clock::Clock;
use aquatic_stream::{
    ConnectionId, Exchange, Interruption, Next, Outputs, Peer, Progress, Protocol,
    TooManyConnections,
};
use aquatic_tracker::{RecentTotals, RequestedAt, reject_with_page};
use aquatic_ws_protocol::{
    CloseCode, Event, FrameFault, Framing, Head, HeaderBuffer, HttpFault, MAX_FRAME_HEADER,
    MAX_REQUEST_LENGTH, MessageReader, Page, Reading, Received, Resource, Scheme, Sender, Status,
    Upgrade, write_close, write_fault, write_page, write_ping, write_pong, write_upgrade,
    write_upgrade_fault,
};

use crate::counters::Counters;
use crate::relay::Relay;
use crate::settings::Settings;
use crate::tracker::{Address, Outcome, RejectReason, RequestKind, Session, Tracker};

/// WebTorrent over the connections of one worker.
pub struct Ws {
    tracker: Tracker,
    relay: Relay,
    clock: Clock,
    settings: View<Settings>,
    counters: Arc<[Counters]>,
    number: usize,
    /// For the page for people.
    totals: RecentTotals,
    search: Search,
}

/// When connections were searched for those whose clients are no longer served.
struct Search {
    /// Whether keys were replaced since.
    is_due: bool,
    /// How many times lists of bans had been replaced.
    bans: u64,
    at: Option<Instant>,
}

/// How often connections are searched for those whose keys have expired.
const KEY_SEARCH_INTERVAL: Duration = Duration::from_secs(10);

/// The state of a connection.
pub enum Connection {
    /// Its first request has not arrived.
    New,
    /// It was upgraded to WebSocket.
    Open(WebSocket),
}

/// The state of a connection that was upgraded to WebSocket.
pub struct WebSocket {
    reader: MessageReader,
    session: Session,
    /// Whether nothing has arrived since it was pinged.
    was_pinged: bool,
}

/// Peers of closed connections that are forgotten in one turn of the worker's loop: about
/// a millisecond.
const LEFT_PER_TURN: usize = 1024;

impl Ws {
    /// Answers by `tracker`, relays by `relay`, and counts in `counters` under
    /// `number`.
    pub(crate) fn new(
        mut tracker: Tracker,
        relay: Relay,
        clock: Clock,
        settings: View<Settings>,
        counters: Arc<[Counters]>,
        number: usize,
    ) -> Self {
        tracker.set_keys(settings.keys.clone());
        let search = Search {
            is_due: false,
            bans: tracker.ban_replacements(),
            at: None,
        };
        Self {
            search,
            tracker,
            relay,
            clock,
            settings,
            counters,
            number,
            totals: RecentTotals::default(),
        }
    }

    #[inline]
    fn take_over_settings(&mut self) {
        if self.settings.refresh() {
            self.tracker.set_keys(self.settings.keys.clone());
            self.search.is_due = true;
        }
    }

    fn count(&self, source: IpAddr, outcome: Outcome) {
        self.counters[self.number].requests.count(source, outcome);
    }

    fn count_rejected(&self, peer: &Peer, kind: RequestKind, reason: RejectReason) {
        self.count(peer.transport.ip(), Outcome::rejected(kind, reason));
    }

    /// Processes the first request of a connection.
    fn begin(&mut self, connection: &mut Connection, exchange: &mut Exchange<'_>) -> Progress {
        let mut headers = HeaderBuffer::new();
        match Reading::of(exchange.input, &mut headers) {
            Reading::Incomplete => Progress::INCOMPLETE,
            Reading::Complete { head, length } => {
                // With 0, the connection is closed only after unread input was discarded:
                // a body that is still being sent does not make the client's system
                // discard the answer.
                let consumed = if head.has_body { 0 } else { length };
                let next = match Resource::of(&head) {
                    Resource::Upgrade(upgrade) if self.allows(&upgrade) => {
                        let accept = upgrade.accept;
                        let client = self.client(exchange.peer, &head);
                        let key = UrlKey::of(head.target.path, head.target.query);
                        let key = self.tracker.digest(&key);
                        self.upgrade(connection, exchange, accept, client, key)
                    }
                    resource => {
                        let answering = Answering {
                            head: &head,
                            now: self.clock.at(exchange.now).monotonic_seconds,
                            is_tls: exchange.peer.is_tls,
                            output: exchange.output,
                        };
                        let outcome = self.answer_request(resource, answering);
                        self.count(exchange.peer.transport.ip(), outcome);
                        Next::Close
                    }
                };
                Progress { consumed, next }
            }
            Reading::Fault(fault) => {
                self.reject_request(fault, exchange);
                Progress::FAULT
            }
        }
    }

    /// Answers a request that does not lead to frames.
    fn answer_request(&mut self, resource: Resource<'_>, answering: Answering<'_>) -> Outcome {
        let framing = Framing::of(answering.head, false);
        let (status, reason) = match resource {
            Resource::BadUpgrade(fault) => {
                write_upgrade_fault(answering.output, fault);
                return Outcome::rejected(RequestKind::Other, RejectReason::Upgrade);
            }
            Resource::Page(Page::Index) => {
                self.write_front_page(answering);
                return Outcome::served(RequestKind::Page);
            }
            Resource::Page(Page::Health) => {
                write_page(answering.output, framing, Status::Ok, "ok\n");
                return Outcome::served(RequestKind::Page);
            }
            Resource::Upgrade(_) => (Status::Forbidden, RejectReason::Origin),
            Resource::Page(Page::Tracker) => (Status::UpgradeRequired, RejectReason::NotWebSocket),
            Resource::Page(Page::Unknown) => (Status::NotFound, RejectReason::UnknownPath),
            Resource::Page(Page::OtherMethod) => {
                (Status::MethodNotAllowed, RejectReason::OtherMethod)
            }
        };
        reject_with_page(answering.output, framing, status, reason)
    }

    #[cold]
    fn write_front_page(&mut self, answering: Answering<'_>) {
        let Answering {
            head,
            now,
            is_tls,
            output,
        } = answering;
        let is_tls = match head.scheme() {
            Some(scheme) => scheme == Scheme::Https,
            None => is_tls,
        };
        let requested_at = RequestedAt {
            scheme: if is_tls { "wss" } else { "ws" },
            host: head.host,
            path: if self.settings.keys.is_some() {
                "/KEY"
            } else {
                ""
            },
        };
        let Self {
            settings,
            totals,
            tracker,
            ..
        } = self;
        let framing = Framing::of(head, false);
        settings
            .front_page
            .write(output, framing, requested_at, || {
                totals.text(tracker.swarms(), now)
            });
    }

    /// Answers bytes that are not a valid or complete request.
    #[cold]
    fn reject_request(&self, fault: HttpFault, exchange: &mut Exchange<'_>) {
        write_fault(exchange.output, fault);
        self.count_rejected(exchange.peer, RequestKind::Other, fault.into());
    }

    /// The address of the client of a new connection.
    fn client(&self, peer: &Peer, head: &Head<'_>) -> Result<IpAddr, RejectedClient> {
        let Some(proxy) = &self.settings.connections.reverse_proxy else {
            return Ok(peer.address.ip());
        };
        let client = proxy.client(peer, head.value(proxy.header.name()));
        client.map_err(|fault| RejectedClient {
            reason: RejectReason::ProxyHeader,
            status: Status::BadRequest,
            text: format!("{fault}\n"),
        })
    }

    /// Counts a connection of a proxy among those of the proxy's client.
    fn admit(&self, client: IpAddr, exchange: &mut Exchange<'_>) -> Result<IpAddr, RejectedClient> {
        let proxy = self.settings.connections.reverse_proxy.as_ref();
        if proxy.is_some_and(|proxy| proxy.speaks_through(exchange.peer)) {
            let counted = exchange.count_client(client);
            let reason = RejectReason::MaxConnectionsPerIp;
            counted.map_err(|TooManyConnections| RejectedClient {
                reason,
                status: Status::TooManyRequests,
                text: format!("{}\n", reason.text()),
            })?;
        }
        Ok(client)
    }

    /// Upgrades a connection to WebSocket, if its client's address is known and allowed.
    fn upgrade(
        &mut self,
        connection: &mut Connection,
        exchange: &mut Exchange<'_>,
        accept: [u8; 28],
        client: Result<IpAddr, RejectedClient>,
        key: Option<KeyDigest>,
    ) -> Next {
        let client = match client.and_then(|client| self.admit(client, exchange)) {
            Ok(client) => client,
            Err(RejectedClient {
                reason,
                status,
                text,
            }) => {
                write_page(exchange.output, Framing::CLOSING, status, &text);
                self.count_rejected(exchange.peer, RequestKind::Other, reason);
                return Next::Close;
            }
        };
        write_upgrade(exchange.output, accept);
        self.counters[self.number].count_upgrade();
        let address = Address::new(self.number, exchange.id);
        *connection = Connection::Open(WebSocket {
            reader: MessageReader::new(),
            session: Session::new(client, address).with_key(key),
            was_pinged: false,
        });
        Next::Continue
    }

    /// Whether the origin of the request may use the tracker.
    fn allows(&self, upgrade: &Upgrade<'_>) -> bool {
        let Some(origin) = upgrade.origin else {
            return true;
        };
        // None for all.
        let allowed = &self.settings.config.network.own.allowed_origins;
        allowed.is_empty() || allowed.iter().any(|one| one.is(origin))
    }

    /// Processes a frame.
    #[inline]
    fn process_frame(
        &mut self,
        websocket: &mut WebSocket,
        exchange: &mut Exchange<'_>,
    ) -> Progress {
        let WebSocket {
            reader,
            session,
            was_pinged,
        } = websocket;
        *was_pinged = false;
        let limits = self.settings.size_limits;
        let (event, length) = match reader.read(exchange.input, Sender::Client, limits) {
            Ok(Received::Incomplete) => return Progress::INCOMPLETE,
            Ok(Received::Frame { event, length }) => (event, length),
            Err(fault) => return self.reject(fault, exchange),
        };
        let text = match &event {
            Event::Text(text) => Some(&**text),
            // Text that is not UTF-8 is not JSON either, and gets the same reply.
            Event::Binary(bytes) => Some(str::from_utf8(bytes).unwrap_or_default()),
            Event::Fragment | Event::Pong(_) => None,
            Event::Ping(payload) => {
                write_pong(exchange.output, payload);
                None
            }
            Event::Close(code) => {
                write_close(exchange.output, code.unwrap_or(CloseCode::NORMAL), "");
                return Progress {
                    consumed: length,
                    next: Next::Close,
                };
            }
        };
        if let Some(text) = text {
            let now = self.clock.at(exchange.now);
            let pending = &mut self.relay.pending;
            let config = &self.settings.config;
            let durations = &self.counters[self.number].requests.durations;
            let begun = durations.begin();
            let handled = self
                .tracker
                .handle(now, config, session, pending, text, exchange.output);
            let outcome = handled.outcome;
            let seconds = now.monotonic_seconds;
            self.relay.send(handled.relays, exchange.others, seconds);
            durations.end(begun, 1);
            self.count(exchange.peer.transport.ip(), outcome);
            if outcome.rejected.is_some()
                && let Some(reason) = self.tracker.unserved(session)
            {
                // The message has told its user, which a refused handshake could not: a
                // browser does not show why. Closing also removes its peers.
                write_close(exchange.output, CloseCode::POLICY, reason.text());
                return Progress {
                    consumed: length,
                    next: Next::Close,
                };
            }
        }
        Progress {
            consumed: length,
            next: Next::Continue,
        }
    }

    /// Closes a connection whose frames violate the protocol.
    #[cold]
    fn reject(&self, fault: FrameFault, exchange: &mut Exchange<'_>) -> Progress {
        write_close(exchange.output, fault.close_code(), &fault.to_string());
        let reason = match fault {
            FrameFault::MessageTooLong => RejectReason::TooLong,
            _ => RejectReason::Frame,
        };
        self.count_rejected(exchange.peer, RequestKind::Other, reason);
        Progress::FAULT
    }
}

/// What is needed to answer a request that does not lead to frames.
struct Answering<'a> {
    head: &'a Head<'a>,
    /// In seconds, as of [`Clock`].
    now: u32,
    is_tls: bool,
    output: &'a mut Vec<u8>,
}

/// Why a client's connection is not upgraded.
struct RejectedClient {
    reason: RejectReason,
    status: Status,
    text: String,
}

impl Protocol for Ws {
    type Connection = Connection;

    const COLLECTS_OUTPUT: bool = true;

    fn max_input_bytes(&self) -> usize {
        // One more byte than a frame may have, so that a longer frame is noticed and
        // rejected with a reason.
        let frame = self.settings.size_limits.frame + MAX_FRAME_HEADER + 1;
        frame.max(MAX_REQUEST_LENGTH)
    }

    fn open(&mut self, _: &Peer, _: ConnectionId) -> Connection {
        Connection::New
    }

    fn has_begun(connection: &Connection) -> bool {
        matches!(connection, Connection::Open(_))
    }

    /// Fragments are consumed as they come.
    fn is_within_message(connection: &Connection) -> bool {
        match connection {
            Connection::Open(websocket) => websocket.reader.is_within_message(),
            Connection::New => false,
        }
    }

    #[inline]
    fn receive(&mut self, connection: &mut Connection, exchange: &mut Exchange<'_>) -> Progress {
        self.take_over_settings();
        match connection {
            Connection::Open(websocket) => self.process_frame(websocket, exchange),
            Connection::New => self.begin(connection, exchange),
        }
    }

    fn interrupt(
        &mut self,
        connection: &mut Connection,
        exchange: &mut Exchange<'_>,
        interruption: Interruption,
    ) -> Next {
        let websocket = match connection {
            Connection::Open(websocket) => websocket,
            Connection::New => {
                let fault = match interruption {
                    Interruption::SlowMessage => Some(HttpFault::TooSlow),
                    Interruption::EndOfInput => HttpFault::at_end(exchange.input),
                    _ => None,
                };
                if let Some(fault) = fault {
                    self.reject_request(fault, exchange);
                }
                return Next::Close;
            }
        };
        let (code, reason) = match interruption {
            Interruption::Idle => {
                let now = self.clock.at(exchange.now).monotonic_seconds;
                self.relay.forget_expired_offers(exchange.id, now);
                if websocket.was_pinged {
                    (CloseCode::POLICY, "no sign of life")
                } else {
                    websocket.was_pinged = true;
                    write_ping(exchange.output, b"");
                    return Next::Continue;
                }
            }
            Interruption::SlowMessage => {
                let reason = RejectReason::TooSlow;
                self.count_rejected(exchange.peer, RequestKind::Other, reason);
                (CloseCode::POLICY, reason.text())
            }
            Interruption::EndOfInput => {
                let reason = RejectReason::Frame;
                self.count_rejected(exchange.peer, RequestKind::Other, reason);
                (CloseCode::PROTOCOL_ERROR, reason.text())
            }
            Interruption::Draining => (CloseCode::GOING_AWAY, "the tracker stops"),
            Interruption::OldCertificate => (CloseCode::RESTART, "the certificate was renewed"),
            Interruption::NoLongerServed => match self.tracker.unserved(&websocket.session) {
                Some(reason) => (CloseCode::POLICY, reason.text()),
                None => return Next::Continue,
            },
        };
        write_close(exchange.output, code, reason);
        Next::Close
    }

    /// After lists of bans or keys were replaced, and now and then for keys that expire.
    fn is_search_due(&mut self, now: Instant) -> bool {
        self.take_over_settings();
        let has_keys = self.settings.keys.is_some();
        let search = &mut self.search;
        let bans = self.tracker.ban_replacements();
        let is_recent = |at| now.saturating_duration_since(at) < KEY_SEARCH_INTERVAL;
        let is_due =
            has_keys && (search.is_due || !search.at.is_some_and(is_recent)) || search.bans != bans;
        search.is_due = false;
        search.bans = bans;
        if is_due {
            search.at = Some(now);
        }
        is_due
    }

    fn is_unserved(&self, connection: &Connection) -> bool {
        match connection {
            Connection::Open(websocket) => self.tracker.unserved(&websocket.session).is_some(),
            Connection::New => false,
        }
    }

    fn woken(&mut self, now: Instant, outputs: &mut Outputs) {
        let now = self.clock.at(now).monotonic_seconds;
        self.relay.fetch(outputs, now);
        if self.tracker.forget_left(LEFT_PER_TURN) {
            self.relay.wake();
        }
    }

    fn closed(&mut self, connection: Connection, id: ConnectionId) {
        if let Connection::Open(websocket) = connection {
            self.relay.closed(id);
            if self.tracker.closed(websocket.session) {
                self.relay.wake();
            }
        }
    }

    fn answer_without_tls(&self, out: &mut Vec<u8>) {
        let text = "TLS is required here; use wss:// instead of ws://\n";
        write_page(out, Framing::CLOSING, Status::BadRequest, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_needs_little_memory() {
        assert!(size_of::<Connection>() <= 88, "{}", size_of::<Connection>());
    }
}
