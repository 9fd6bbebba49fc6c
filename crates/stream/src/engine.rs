//! All connections of a worker, as one state machine: what an event loop drives.
//!
//! The engine never waits and opens nothing. A loop accepts connections, adds them
//! ([`Engine::open`]), and drives one whenever something may have changed for it
//! ([`Engine::drive`]): then the engine reads and writes through a [`Transport`].
//!
//! A *turn* is one iteration of a worker's loop. In a turn, a connection is driven once,
//! and at its end gets what was collected for it.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_service::tls::Handle;
use aquatic_service::{Replaceable, View};
use rustls::ServerConfig;

use crate::admission::Admission;
use crate::certificate_rotation::OutdatedCertificates;
use crate::connection::{Connection, Stage, Timeouts};
use crate::counters::{CloseReason, Counters, Refusal};
use crate::deadlines::Wheel;
use crate::settings::Settings;
use crate::table::Table;
use crate::tls::{Session, Wire};
use crate::{ConnectionId, Outputs, Peer, Protocol};

mod drive;
mod search;

use search::Search;

/// Maximum number of bytes of one read: enough for many messages, or for one of usual size.
const MAX_READ_BYTES: usize = 128 << 10;

/// Maximum length of a message of the TLS handshake, including its records.
const MAX_HANDSHAKE_BYTES: usize = 32 << 10;

/// Capacity that a worker's output buffers, plain and encrypted, keep between connections.
const SPARE_OUTPUT_BYTES: usize = 256 << 10;

/// Maximum number of connections that are driven in one turn because their deadline has
/// passed.
pub(crate) const LATE_PER_TURN: usize = 1024;

/// Slots of the table that are searched in one turn for connections with an outdated
/// certificate: at four turns a second, 65,536 of them take two seconds.
const SLOTS_PER_TURN: usize = 8192;

/// The same for connections whose clients are no longer served: some 0.3 ms.
const UNSERVED_SLOTS_PER_TURN: usize = 2048;

/// Maximum number of connections whose deadline is checked in one turn.
const DEADLINE_CHECKS_PER_TURN: usize = 8192;

/// How long connections may take to finish when the process is about to end, but no longer
/// than a message and its answer may take.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(5);
const MAX_LAST_ANSWER_TIME: Duration = Duration::from_secs(1);

/// Reads and writes a connection without waiting.
///
/// Only this differs between the event loops. `WouldBlock` means that the loop will drive
/// the connection again when it is readable or writable.
pub trait Transport {
    /// As [`io::Read::read`]; 0 is the end of the client's data.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, `Interrupted`, or that the connection is broken.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// As [`io::Write::write`].
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn write(&mut self, from: &[u8]) -> io::Result<usize>;
    /// Tells the client that nothing more will be written.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    fn finish(&mut self) -> io::Result<()>;
}

/// What the event loop does with a connection that it has driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopAction {
    /// Drive it when it is readable.
    Wait,
    /// Drive it when it is readable or writable.
    WaitToWrite,
    /// Drive it again in the next turn: it has more to do.
    Again,
    /// Close the transport; the engine has forgotten the connection.
    Close,
}

/// What the workers' engines share.
pub(crate) struct Shared {
    pub(crate) settings: Replaceable<Settings>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) rotation: Option<Arc<Handle>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<[Counters]>,
}

impl Shared {
    /// Replaces the settings: engines take them over when they [advance](Engine::advance).
    /// The event loop, and whether TLS is used, stay.
    pub(crate) fn reload(&self, settings: Settings) {
        self.admission.set_limits(&settings.limits);
        self.settings.replace(settings);
    }
}

/// All connections of a worker.
pub(crate) struct Engine<P: Protocol> {
    connections: Table<Connection<P::Connection>>,
    worker: Worker<P>,
    /// The search for connections with an outdated certificate.
    outdated: Search,
    /// The search for connections whose clients are no longer served.
    unserved: Search,
}

/// The state of a worker besides its connections.
struct Worker<P> {
    protocol: P,
    shared: Arc<Shared>,
    /// As of the beginning of the turn.
    settings: View<Settings>,
    /// The number of this worker, the index of its counters.
    number: usize,
    timeouts: Timeouts,
    wheel: Wheel,
    now: Instant,
    /// When connections have to be finished, once the process is about to end.
    drained_by: Option<Instant>,
    certificates: OutdatedCertificates,
    /// What is collected for connections until the end of the turn.
    outputs: Outputs,
    buffers: Buffers,
}

/// Buffers that the connections of a worker share: only one is driven at a time.
struct Buffers {
    /// Bytes that were read.
    input: Box<[u8]>,
    /// Bytes that were decrypted.
    plain: Vec<u8>,
    /// Bytes that the protocol has written.
    output: Vec<u8>,
    /// The same, encrypted.
    wire: Wire,
}

impl<P> Worker<P> {
    fn counters(&self) -> &Counters {
        &self.shared.counters[self.number]
    }
}

impl<P: Protocol> Engine<P> {
    /// No connections yet, of `protocol` and of the worker `number`.
    pub(crate) fn new(protocol: P, shared: Arc<Shared>, number: usize, now: Instant) -> Self {
        let settings = shared.settings.view();
        Self {
            outdated: Search::new(SLOTS_PER_TURN),
            unserved: Search::new(UNSERVED_SLOTS_PER_TURN),
            connections: Table::new(),
            worker: Worker {
                certificates: OutdatedCertificates::new(shared.rotation.clone()),
                outputs: Outputs::new(max_output_bytes(&settings)),
                timeouts: Timeouts::new(&settings.limits),
                settings,
                protocol,
                shared,
                number,
                wheel: Wheel::new(now),
                now,
                drained_by: None,
                buffers: Buffers {
                    input: vec![0; MAX_READ_BYTES].into_boxed_slice(),
                    plain: Vec::new(),
                    output: Vec::new(),
                    wire: Wire::default(),
                },
            },
        }
    }

    /// Sets the current time, and takes over settings that a reload has replaced; to be called
    /// whenever the loop has waited. Deadlines that are set already stay as they are.
    pub(crate) fn advance(&mut self, now: Instant) {
        let worker = &mut self.worker;
        worker.now = now;
        if worker.settings.refresh() {
            worker.timeouts = Timeouts::new(&worker.settings.limits);
            let max_bytes = max_output_bytes(&worker.settings);
            worker.outputs.set_max_bytes(max_bytes);
        }
        let grace = worker.settings.limits.certificate_grace;
        if worker.wheel.advance(now) {
            if worker.certificates.advance(now, grace) {
                self.outdated.begin();
            }
            if worker.protocol.is_search_due(now) {
                self.unserved.begin();
            }
        }
        self.outdated.next_turn();
        self.unserved.next_turn();
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Adds an accepted connection, which is to be driven at once.
    ///
    /// # Errors
    ///
    /// Why it is to be closed instead.
    pub(crate) fn open(&mut self, source: SocketAddr) -> Result<ConnectionId, Refusal> {
        let worker = &mut self.worker;
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let (shared, settings) = (&worker.shared, &worker.settings);
        let proxy = settings.reverse_proxy.as_ref();
        let permit = match &settings.proxy_protocol {
            _ if self.connections.is_full() => Err(Refusal::TooMany),
            Some(proxies) if !proxies.contains(source.ip()) => Err(Refusal::NotTrusted),
            Some(_) => shared.admission.admit(None),
            None if proxy.is_some_and(|proxy| proxy.trusted.contains(source.ip())) => {
                shared.admission.admit(None)
            }
            None => {
                let rate = settings.limits.connection_rate.as_ref();
                shared.admission.admit_at_rate(source.ip(), rate)
            }
        }
        .inspect_err(|reason| worker.counters().refused[*reason as usize].add(1))?;

        let peer = Peer {
            address: source,
            transport: source,
            is_tls: shared.tls.is_some(),
        };
        let stage = if settings.proxy_protocol.is_some() {
            Stage::ProxyHeader
        } else {
            Stage::Handshake
        };
        let is_plain = matches!(stage, Stage::Handshake) && shared.tls.is_none();
        let id =
            self.connections
                .insert(Connection::new(peer, permit, stage, worker.wheel.current()));
        if is_plain && let Some(connection) = self.connections.get_mut(id) {
            if P::COLLECTS_OUTPUT {
                worker.outputs.opened(id);
            }
            connection.stage = Stage::Open(worker.protocol.open(&peer, id));
        }
        worker.counters().accepted.add(1);
        Ok(id)
    }

    /// Counts a connection that was closed without being added.
    pub(crate) fn refused(&self, reason: Refusal) {
        self.worker.counters().refused[reason as usize].add(1);
    }

    /// Reads, answers and writes as much as can be done for a connection now.
    pub(crate) fn drive(&mut self, id: ConnectionId, transport: &mut impl Transport) -> LoopAction {
        self.with_connection(id, |drive| drive.run(transport))
    }

    /// Sends what was collected for a connection.
    pub(crate) fn send_collected(
        &mut self,
        id: ConnectionId,
        transport: &mut impl Transport,
    ) -> LoopAction {
        self.with_connection(id, |drive| drive.send_collected(transport))
    }

    fn with_connection(
        &mut self,
        id: ConnectionId,
        run: impl FnOnce(drive::Drive<'_, P>) -> Result<LoopAction, CloseReason>,
    ) -> LoopAction {
        let Some(connection) = self.connections.get_mut(id) else {
            return LoopAction::Close;
        };
        let result = run(drive::Drive {
            worker: &mut self.worker,
            connection,
            id,
        });
        let reason = match result {
            Ok(LoopAction::Close) => None,
            Ok(action) => return action,
            Err(reason) => {
                // Output of this connection must not be sent to another.
                self.worker.buffers.output.clear();
                self.worker.buffers.wire.clear(SPARE_OUTPUT_BYTES);
                Some(reason)
            }
        };
        self.remove(id, reason);
        LoopAction::Close
    }

    /// Another thread has woken the worker.
    pub(crate) fn woken(&mut self) {
        let worker = &mut self.worker;
        worker.protocol.woken(worker.now, &mut worker.outputs);
    }

    /// The next connection for which something was collected; it is to be sent
    /// at the end of the turn.
    pub(crate) fn next_collected(&mut self) -> Option<ConnectionId> {
        self.worker.outputs.next_waiting()
    }

    /// Whether something was collected for a connection.
    #[cfg_attr(
        not(feature = "glommio"),
        allow(dead_code, reason = "glommio drives connections one by one")
    )]
    pub(crate) fn has_collected(&self, id: ConnectionId) -> bool {
        P::COLLECTS_OUTPUT && self.worker.outputs.has(id)
    }

    /// Forgets a connection whose transport is gone.
    pub(crate) fn abandon(&mut self, id: ConnectionId) {
        self.remove(id, Some(CloseReason::Broken));
    }

    /// The next connection whose deadline has passed, whose certificate is outdated, or
    /// whose client is no longer served; it is to be driven. `None` when there is none, or
    /// enough were checked in this turn.
    pub(crate) fn next_late(&mut self) -> Option<ConnectionId> {
        let wheel = &mut self.worker.wheel;
        for _ in 0..DEADLINE_CHECKS_PER_TURN {
            let Some((id, tick)) = wheel.next() else {
                return self.next_outdated().or_else(|| self.next_unserved());
            };
            if let Some(connection) = self.connections.get_mut(id)
                && connection.check_deadline(tick, wheel, id)
            {
                return Some(id);
            }
        }
        None
    }

    /// The next connection with an outdated certificate, silent or not.
    fn next_outdated(&mut self) -> Option<ConnectionId> {
        while let Some(slot) = self.outdated.next_slot(self.connections.slots()) {
            if let Some(id) = self.connections.id_at(slot)
                && let Some(connection) = self.connections.get_mut(id)
                && matches!(connection.stage, Stage::Open(_))
                && self.worker.certificates.is_outdated(connection.certificate)
            {
                return Some(id);
            }
        }
        None
    }

    /// The next connection whose client is no longer served, silent or not.
    fn next_unserved(&mut self) -> Option<ConnectionId> {
        while let Some(slot) = self.unserved.next_slot(self.connections.slots()) {
            if let Some(id) = self.connections.id_at(slot)
                && let Some(connection) = self.connections.get_mut(id)
                && let Stage::Open(state) = &connection.stage
                && self.worker.protocol.is_unserved(state)
            {
                connection.is_unserved = true;
                return Some(id);
            }
        }
        None
    }

    /// The process is about to end: connections finish what they have begun.
    /// All are to be driven now.
    pub(crate) fn drain(&mut self) {
        let message = self.worker.settings.limits.message_timeout;
        let time = MAX_DRAIN_TIME.min(message.saturating_add(MAX_LAST_ANSWER_TIME));
        let by = self.worker.now + time;
        self.worker.drained_by.get_or_insert(by);
    }

    /// Whether all connections have finished, or the time to finish is over.
    pub(crate) fn is_drained(&self) -> bool {
        match self.worker.drained_by {
            Some(by) => self.connections.len() == 0 || self.worker.now >= by,
            None => false,
        }
    }

    /// Bytes of memory that are kept for connections.
    pub(crate) fn kept_bytes(&self) -> usize {
        let buffers = &self.worker.buffers;
        let shared = buffers.input.len()
            + buffers.plain.capacity()
            + buffers.output.capacity()
            + buffers.wire.capacity()
            + self.worker.outputs.kept_bytes();
        let own: usize = self.connections.iter().map(Connection::kept_bytes).sum();
        shared + own
    }

    fn remove(&mut self, id: ConnectionId, reason: Option<CloseReason>) {
        let Some(mut connection) = self.connections.remove(id) else {
            return;
        };
        let counters = self.worker.counters();
        counters.closed.add(1);
        if let Some(reason) = reason.filter(|_| !connection.is_counted) {
            counters.close_reasons[reason as usize].add(1);
        }
        if let Some(state) = connection.close() {
            self.worker.protocol.closed(state, id);
            self.worker.outputs.closed(id);
        }
    }
}

impl<P: Protocol> Drop for Engine<P> {
    fn drop(&mut self) {
        for slot in 0..self.connections.slots() {
            if let Some(id) = self.connections.id_at(slot) {
                self.remove(id, None);
            }
        }
    }
}

/// Maximum number of bytes that are collected for a connection.
fn max_output_bytes(settings: &Settings) -> usize {
    let max = settings.limits.max_unsent_bytes;
    max.map_or(usize::MAX, NonZeroUsize::get)
}

/// A TLS session for a connection.
fn session(shared: &Shared) -> Result<Box<Session>, CloseReason> {
    let config = shared.tls.as_ref().ok_or(CloseReason::Tls)?;
    match Session::new(config) {
        Ok(session) => Ok(Box::new(session)),
        Err(error) => {
            log::error!("cannot begin a TLS session: {error}");
            Err(CloseReason::Tls)
        }
    }
}

#[cfg(test)]
mod tests;
