//! The half of a link that adds batches to the streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Value, cmd};

use super::connection::{Connector, Engine};
use super::error::EngineError;
use super::refill::Refill;
use super::retry::Retry;
use super::send_queue::{SendQueue, WINDOW};
use super::status::Part;
use super::{Shared, downloads, lock, trimming};
use crate::batch::{self, Header, Kind};
use crate::shared_swarms::SharedSwarms;

/// How often the outbox is checked for full batches.
const TICK: Duration = Duration::from_millis(10);

/// Maximum time in milliseconds until a batch is published, full or not.
const FLUSH_MILLISECONDS: u64 = 100;

/// Interval of heartbeats in milliseconds.
const HEARTBEAT_MILLISECONDS: u64 = 1_000;

/// Interval in milliseconds at which clocks are compared and streams measured.
const MEASURE_MILLISECONDS: u64 = 5_000;

/// Interval in milliseconds at which batches are closed that cannot be published, so that
/// the ages of their peers are known.
const CLOSE_MILLISECONDS: u64 = 5_000;

/// Minimum time in milliseconds between two log messages about dropped records.
const REPORT_MILLISECONDS: u64 = 60_000;

/// Maximum time in milliseconds for which a turn begins to send further batches.
const TURN_MILLISECONDS: u64 = 1_000;

/// The half of a link that adds batches to the streams.
pub struct Publisher<S: SharedSwarms> {
    shared: Arc<Shared>,
    connector: Connector,
    engine: Option<Engine>,
    was_connected: bool,
    retry: Retry,
    refill: Refill<S>,
    queue: SendQueue,
    flush_at: u64,
    heartbeat_at: u64,
    measure_at: u64,
    close_at: u64,
    /// The outbox's count of dropped records that was logged last.
    dropped: u64,
    report_at: u64,
}

impl<S: SharedSwarms> Publisher<S> {
    pub(super) fn new(shared: Arc<Shared>, swarms: Arc<S>) -> Self {
        Self {
            connector: Connector::default(),
            engine: None,
            was_connected: false,
            retry: Retry::new(Part::Publisher),
            refill: Refill::new(swarms),
            queue: SendQueue::new(shared.clone()),
            flush_at: 0,
            heartbeat_at: 0,
            measure_at: 0,
            close_at: 0,
            dropped: 0,
            report_at: 0,
            shared,
        }
    }

    /// Runs until the [`Stopper`](super::Stopper) is dropped. Then it sends what waits in the
    /// outbox, for a second or two at most. Calls `beat` in each turn, at least every few
    /// seconds.
    pub fn run(&mut self, mut beat: impl FnMut()) {
        while !self.shared.stop.wait(TICK) {
            beat();
            self.turn();
        }
        if let Some(mut engine) = self.engine.take() {
            engine.renew_deadline();
            let until = self.now().saturating_add(TURN_MILLISECONDS);
            // After an error, it is too late to try again.
            let _ = self.flush(&mut engine, true, until).and_then(|_| {
                self.push_heartbeat(&engine, 0);
                self.send(&mut engine, until)
            });
        }
        let has_unsent = !self.queue.is_empty() || self.shared.outbox.batches_waiting() > 0;
        self.shared.has_unsent.store(has_unsent, Ordering::Relaxed);
        self.shared.status.set_connected(Part::Publisher, false);
        self.shared.outbox.close();
    }

    fn now(&self) -> u64 {
        (self.shared.settings.clock)()
    }

    fn turn(&mut self) {
        let shared = self.shared.clone();
        let Shared { outbox, status, .. } = &*shared;
        let now = self.now();
        self.report_dropped(now);
        if (self.engine.is_none() || self.retry.is_pause(now)) && now >= self.close_at {
            self.close_at = now.saturating_add(CLOSE_MILLISECONDS);
            outbox.close_batches(now);
        }
        if self.retry.is_pause(now) {
            return;
        }
        let connected = match self.engine.take() {
            Some(engine) => Ok(engine),
            None => match self.connector.connect(&shared.settings, &shared.stop, TICK) {
                Some(connected) => connected.and_then(|engine| self.begin(engine)),
                None => return,
            },
        };
        let published = connected.and_then(|mut engine| {
            let mut published = self.publish(&mut engine);
            if published == Err(EngineError::Full)
                && let Err(error) = trimming::make_space(&shared, &mut engine)
            {
                published = Err(error);
            }
            if matches!(published, Ok(()) | Err(EngineError::Full)) {
                self.engine = Some(engine);
            }
            published
        });
        match published {
            Ok(()) => self.retry.succeed(now, status),
            Err(error) => self.retry.fail(&error, now, status),
        }
        status.set_connected(Part::Publisher, self.engine.is_some());
    }

    fn report_dropped(&mut self, now: u64) {
        let dropped = self.shared.outbox.dropped();
        self.shared.status.counts().set_dropped(dropped);
        if dropped > self.dropped && now >= self.report_at {
            self.report_at = now.saturating_add(REPORT_MILLISECONDS);
            log::warn!(
                "{} changes were too many for cluster.max_outbox_bytes: other nodes do not learn \
                 of them",
                dropped - self.dropped
            );
            self.dropped = dropped;
        }
    }

    /// After connecting, before anything is published.
    fn begin(&mut self, mut engine: Engine) -> Result<Engine, EngineError> {
        if std::mem::replace(&mut self.was_connected, true) {
            self.shared.status.counts().add_reconnect();
        }
        self.queue.remove_added(&mut engine)?;
        self.heartbeat_at = 0;
        self.measure_at = 0;
        Ok(engine)
    }

    /// Publishes what is due.
    fn publish(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        let now = self.now();
        let until = now.saturating_add(TURN_MILLISECONDS);
        if !self.send(engine, until)? {
            return Ok(());
        }
        if now >= self.measure_at {
            engine.read_clock()?;
            // The key can be deleted at any time.
            self.share_connection_id_key(engine)?;
            trimming::limit_bytes(&self.shared, engine)?;
            self.measure_at = now.saturating_add(MEASURE_MILLISECONDS);
        }
        // Before the outbox: a peer that is found now may change before its change is taken
        // from the outbox, but not after.
        self.refill(engine);
        if !self.send(engine, until)? {
            return Ok(());
        }
        if now >= self.heartbeat_at {
            self.heartbeat_at = now.saturating_add(HEARTBEAT_MILLISECONDS);
            self.push_heartbeat(engine, self.shared.settings.max_peer_age.seconds());
        }
        let is_due = now >= self.flush_at || self.refill.downloads().is_some();
        if is_due {
            self.flush_at = now.saturating_add(FLUSH_MILLISECONDS);
        }
        let is_published = self.flush(engine, is_due, until)?;
        while is_published
            && self.now() < until
            && let Some((kind, counts)) = self.refill.downloads()
        {
            downloads::restore(kind, &counts, &self.shared.settings, engine)?;
            self.refill.remove_downloads(counts.len());
        }
        Ok(())
    }

    /// The key of the first node that makes connection ids is used by all. If the engine has
    /// lost it, the first node that notices adds it again.
    fn share_connection_id_key(&self, engine: &mut Engine) -> Result<(), EngineError> {
        let settings = &self.shared.settings;
        let Some(own) = settings.connection_id_key else {
            return Ok(());
        };
        let own = lock(&self.shared.connection_id_key).unwrap_or(own);
        let name = settings.key("connection-id-key");
        let mut found = engine.query(cmd("GET").arg(&name))?;
        // Only if it is missing, because an engine whose memory is full rejects SET.
        if found == Value::Nil {
            engine.query(cmd("SET").arg(&name).arg(&own[..]).arg("NX"))?;
            found = engine.query(cmd("GET").arg(&name))?;
        }
        let Value::BulkString(bytes) = found else {
            return Err(EngineError::unexpected_reply("GET"));
        };
        let key = <[u8; 16]>::try_from(bytes).map_err(|_| {
            EngineError::Refused(format!(
                "{name} is not the 16 bytes of a node: choose another cluster.namespace, or \
                 delete it"
            ))
        })?;
        *lock(&self.shared.connection_id_key) = Some(key);
        Ok(())
    }

    /// Queues some of the peers that this node has, if the engine has lost them.
    fn refill(&mut self, engine: &Engine) {
        let now = self.now();
        let mut found = std::mem::take(&mut self.refill.batches);
        self.refill
            .step(&self.shared, engine.now(), now, &mut found);
        for batch in found.drain(..) {
            let header = batch.header_of(&self.shared.settings);
            self.queue.push(header, batch.bytes, batch.received, false);
        }
        self.refill.batches = found;
    }

    /// Sends the batches that are in the outbox now, or only the full ones, until the time
    /// `until`; returns whether none of them are left.
    fn flush(
        &mut self,
        engine: &mut Engine,
        with_open: bool,
        until: u64,
    ) -> Result<bool, EngineError> {
        let count = self.shared.outbox.batches_waiting();
        for _ in 0..count.div_ceil(WINDOW) {
            for kind in self.shared.settings.kinds.clone() {
                self.take(kind, with_open, engine);
            }
            if !self.send(engine, until)? {
                return Ok(false);
            }
        }
        self.send(engine, until)
    }

    /// Moves batches of a kind from the outbox to the queue, those that are not full only if
    /// `with_open`.
    fn take(&mut self, kind: Kind, with_open: bool, engine: &Engine) {
        for _ in 0..WINDOW {
            if !with_open && !self.shared.outbox.has_full(kind) {
                break;
            }
            let mut bytes = Vec::new();
            let Some(taken) = self.shared.outbox.take(kind, self.now(), &mut bytes) else {
                break;
            };
            let closed_at = engine.on_its_clock(taken.closed_at_milliseconds);
            let header = self.header(kind, closed_at);
            self.queue.push(header, bytes, taken.received_before, false);
        }
    }

    /// Queues a heartbeat, or with a `max_peer_age` of 0 the announcement that the node
    /// stops.
    fn push_heartbeat(&mut self, engine: &Engine, max_peer_age_seconds: u16) {
        let kind = self.shared.settings.kinds[0];
        let header = Header {
            max_peer_age_seconds,
            ..self.header(kind, engine.now())
        };
        let mut bytes = Vec::new();
        batch::start(&mut bytes);
        self.queue.push(header, bytes, 0, true);
    }

    /// A header of a batch of this node, without its sequence number.
    fn header(&self, kind: Kind, closed_at_milliseconds: u64) -> Header {
        let settings = &self.shared.settings;
        Header {
            kind,
            max_peer_age_seconds: settings.max_peer_age.seconds(),
            node: settings.node,
            sequence: 0,
            closed_at_milliseconds,
        }
    }

    /// Sends queued batches until the time `until`; returns whether none are left.
    fn send(&mut self, engine: &mut Engine, until: u64) -> Result<bool, EngineError> {
        while !self.queue.is_empty() {
            if self.now() >= until {
                return Ok(false);
            }
            self.queue.send_window(engine)?;
        }
        Ok(true)
    }
}
