//! The connections of a worker without sockets and clock, for tests that provide bytes and
//! time themselves. It wraps the same engine that the event loops drive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use aquatic_service::Replaceable;
use aquatic_service::tls::Handle;
use rustls::ServerConfig;

use crate::admission::Admission;
use crate::counters::{CloseReason, Counters};
use crate::engine::{Engine, Shared};
pub use crate::engine::{LoopAction, Transport};
use crate::{ConnectionId, Protocol, Settings, WorkerWaker};

/// The settings of the connections.
pub struct Setup {
    /// Limits and proxies; the event loop does not matter.
    pub settings: Settings,
    /// The configuration of TLS; `None` for connections without.
    pub tls: Option<Arc<ServerConfig>>,
    /// The certificate, if connections are closed some time after it was replaced.
    pub rotation: Option<Arc<Handle>>,
}

/// Connections of one worker.
pub struct Simulation<P: Protocol> {
    engine: Engine<P>,
    shared: Arc<Shared>,
    counters: Arc<[Counters]>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were added.
    pub accepted: u64,
    /// Connections that were closed.
    pub closed: u64,
    /// Connections that were not closed cleanly.
    pub cut: u64,
    /// Internal errors of the TLS library.
    pub library_faults: u64,
    /// TLS handshakes that were completed.
    pub handshakes: u64,
    /// Bytes that were read.
    pub received_bytes: u64,
    /// Bytes that were written.
    pub sent_bytes: u64,
}

impl<P: Protocol> Simulation<P> {
    /// No connections, at this time.
    pub fn new(protocol: P, setup: Setup, now: Instant) -> Self {
        let counters: Arc<[Counters]> = [Counters::default()].into();
        let shared = Arc::new(Shared {
            admission: Admission::new(&setup.settings.limits, [1; 16]),
            settings: Replaceable::new(setup.settings),
            tls: setup.tls,
            rotation: setup.rotation,
            counters: Arc::clone(&counters),
        });
        Self {
            engine: Engine::new(protocol, Arc::clone(&shared), 0, now),
            shared,
            counters,
        }
    }

    /// Replaces the settings, as a reload does; they take effect with the next
    /// [`advance`](Self::advance).
    pub fn reload(&self, settings: Settings) {
        self.shared.reload(settings);
    }

    /// Adds a connection, to be driven at once; `None` if it is refused.
    pub fn open(&mut self, source: SocketAddr) -> Option<ConnectionId> {
        self.engine.open(source).ok()
    }

    /// Reads, answers and writes for a connection.
    pub fn drive(&mut self, id: ConnectionId, transport: &mut impl Transport) -> LoopAction {
        self.engine.drive(id, transport)
    }

    /// Sets the present time.
    pub fn advance(&mut self, now: Instant) {
        self.engine.advance(now);
    }

    /// The next connection that is to be driven because its deadline has passed.
    pub fn next_late(&mut self) -> Option<ConnectionId> {
        self.engine.next_late()
    }

    /// The next connection for which something was collected.
    pub fn next_collected(&mut self) -> Option<ConnectionId> {
        self.engine.next_collected()
    }

    /// Sends what was collected for a connection.
    pub fn send_collected(
        &mut self,
        id: ConnectionId,
        transport: &mut impl Transport,
    ) -> LoopAction {
        self.engine.send_collected(id, transport)
    }

    /// Another thread has woken the worker.
    pub fn woken(&mut self) {
        self.engine.woken();
    }

    /// Forgets a connection whose transport is gone.
    pub fn abandon(&mut self, id: ConnectionId) {
        self.engine.abandon(id);
    }

    /// The process is about to end. All connections are to be driven now, and
    /// again from time to time.
    pub fn drain(&mut self) {
        self.engine.drain();
    }

    /// Whether all connections have finished, or the time to finish is over.
    pub fn is_drained(&self) -> bool {
        self.engine.is_drained()
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.engine.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that are kept for connections: unconsumed and unsent bytes, and
    /// shared buffers.
    pub fn kept_bytes(&self) -> usize {
        self.engine.kept_bytes()
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        let counters = &self.counters[0];
        Counts {
            accepted: counters.accepted.value(),
            closed: counters.closed.value(),
            cut: counters.close_reasons.iter().map(|it| it.value()).sum(),
            library_faults: counters.close_reasons[CloseReason::TlsLibrary as usize].value(),
            handshakes: counters.full_handshakes.value() + counters.resumed_handshakes.value(),
            received_bytes: counters.received_bytes.value(),
            sent_bytes: counters.sent_bytes.value(),
        }
    }
}

/// A waker without effect, for an [`Inbox`](crate::Inbox) that is emptied anyway.
pub fn noop_waker() -> WorkerWaker {
    WorkerWaker::of_task()
}
