//! The threads that carry offers and answers, over a channel of the engine for each node.
//!
//! A message of a channel is a signal batch, and is delivered at most once: to those that
//! are connected when it is published. Nothing is repeated after an error.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redis::{Value, cmd};

use super::Shared;
use super::connection::{Connector, Engine};
use super::error::EngineError;
use super::retry::Retry;
use super::status::Part;
use crate::signal::{self, SignalBatch, SignalError};
use crate::signal_outbox::SignalOutbox;

/// Maximum time until a thread checks whether it has to stop.
const WAIT: Duration = Duration::from_millis(250);

/// Number of bytes after which a reply is awaited before more is sent, so that a slow
/// connection delays what waits and does not lose it.
const BYTES_AT_ONCE: usize = 1 << 18;

/// How long to wait if there is nothing to do.
const PAUSE: Duration = Duration::from_millis(50);

/// Interval in milliseconds at which the clocks are compared, and after which it is checked
/// whether the engine still sends what is published in a channel.
const CHECK_MILLISECONDS: u64 = 5_000;

/// Maximum time in milliseconds for the answer to that check.
const ANSWER_MILLISECONDS: u64 = 2_000;

/// Sends signals to other nodes.
pub struct SignalSender {
    shared: Arc<Shared>,
    outbox: Arc<SignalOutbox>,
    connector: Connector,
    engine: Option<Engine>,
    retry: Retry,
    check_at: u64,
}

/// Receives the signals for this node.
pub struct SignalReceiver<D> {
    shared: Arc<Shared>,
    deliver: D,
    connector: Connector,
    retry: Retry,
    /// Errors in signal batches that were logged, to log each kind once.
    logged: HashSet<Discriminant<SignalError>>,
}

impl SignalSender {
    pub(super) fn new(shared: Arc<Shared>, outbox: Arc<SignalOutbox>) -> Self {
        Self {
            shared,
            outbox,
            connector: Connector::default(),
            engine: None,
            retry: Retry::new(Part::SignalSender),
            check_at: 0,
        }
    }

    /// Runs until the [`Stopper`](super::Stopper) is dropped. Calls `beat` in each turn, at
    /// least every few seconds.
    pub fn run(&mut self, mut beat: impl FnMut()) {
        while !self.shared.stop.is_stopped() {
            beat();
            self.turn();
        }
        self.outbox.set_open(false);
    }

    fn turn(&mut self) {
        let shared = self.shared.clone();
        let Shared {
            settings,
            status,
            stop,
            ..
        } = &*shared;
        let now = (settings.clock)();
        if self.retry.is_pause(now) {
            stop.wait(PAUSE);
            return;
        }
        let connected = match self.engine.take() {
            Some(engine) => Ok(engine),
            None => match self.connector.connect(settings, stop, PAUSE) {
                Some(connected) => connected.inspect(|_| {
                    self.outbox.set_open(true);
                }),
                None => return,
            },
        };
        let published = connected.and_then(|mut engine| {
            self.publish(&mut engine, now)?;
            self.engine = Some(engine);
            Ok(())
        });
        match published {
            Ok(()) => self.retry.succeed(now, status),
            Err(error) => {
                status.add_signals_lost(self.outbox.set_open(false));
                self.retry.fail(&error, now, status);
            }
        }
    }

    /// Publishes what is in the outbox, or waits for it.
    fn publish(&mut self, engine: &mut Engine, now: u64) -> Result<(), EngineError> {
        let Shared {
            settings,
            status,
            clock_offset,
            ..
        } = &*self.shared;
        if now >= self.check_at {
            self.check_at = now.saturating_add(CHECK_MILLISECONDS);
            engine.read_clock()?;
            clock_offset.store(engine.clock_offset(), Relaxed);
        }
        let batches = self.outbox.take(WAIT);
        let mut left = batches.len();
        let mut batches = batches.into_iter();
        while left > 0 {
            let mut commands = Vec::new();
            let mut count = 0;
            while commands.len() < BYTES_AT_ONCE
                && let Some((node, mut bytes)) = batches.next()
            {
                signal::write_header(&mut bytes, settings.node, engine.now());
                cmd("PUBLISH")
                    .arg(settings.channel(node))
                    .arg(bytes)
                    .write_packed_command(&mut commands);
                count += 1;
            }
            let replies = engine.query_all(&commands, count).inspect_err(|_| {
                // They may have been received, but this node does not know.
                status.add_signals_lost(left);
            })?;
            left -= count;
            let mut error = None;
            for reply in replies {
                if let Value::Int(1..) = reply {
                    status.add_signals_sent();
                    continue;
                }
                status.add_signals_lost(1);
                match reply {
                    // No node receives this channel.
                    Value::Int(_) => {}
                    Value::ServerError(reason) => error = Some((&reason).into()),
                    _ => error = Some(EngineError::unexpected_reply("PUBLISH")),
                }
            }
            if let Some(error) = error {
                status.add_signals_lost(left);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl<D: FnMut(&SignalBatch<'_>, u64)> SignalReceiver<D> {
    pub(super) fn new(shared: Arc<Shared>, deliver: D) -> Self {
        Self {
            shared,
            deliver,
            connector: Connector::default(),
            retry: Retry::new(Part::SignalReceiver),
            logged: HashSet::new(),
        }
    }

    /// Runs until the [`Stopper`](super::Stopper) is dropped. Calls `beat` in each turn, at
    /// least every few seconds.
    pub fn run(&mut self, mut beat: impl FnMut()) {
        let shared = self.shared.clone();
        let Shared {
            settings,
            status,
            stop,
            ..
        } = &*shared;
        while !stop.is_stopped() {
            beat();
            if self.retry.is_pause((settings.clock)()) {
                stop.wait(PAUSE);
                continue;
            }
            let Some(connected) = self.connector.connect(settings, stop, WAIT) else {
                continue;
            };
            let received = connected.and_then(|engine| self.receive(engine, &mut beat));
            if let Err(error) = received {
                self.retry.fail(&error, (settings.clock)(), status);
            }
        }
    }

    /// Receives signals until the link is stopped.
    fn receive(&mut self, mut engine: Engine, beat: &mut impl FnMut()) -> Result<(), EngineError> {
        let shared = self.shared.clone();
        let Shared { settings, stop, .. } = &*shared;
        let channel = settings.channel(settings.node);
        shared.clock_offset.store(engine.clock_offset(), Relaxed);
        engine.query(cmd("SUBSCRIBE").arg(&channel))?;
        let mut received_at = (settings.clock)();
        let mut is_checking = false;
        while !stop.is_stopped() {
            beat();
            let received = engine.receive(WAIT)?;
            let now = (settings.clock)();
            self.retry.succeed(now, &shared.status);
            let silence = now.saturating_sub(received_at);
            match received {
                Some(value) => {
                    received_at = now;
                    is_checking = false;
                    self.handle(value, &channel)?;
                }
                None if is_checking && silence > CHECK_MILLISECONDS + ANSWER_MILLISECONDS => {
                    return Err(EngineError::Away("no answer in time".into()));
                }
                None if !is_checking && silence > CHECK_MILLISECONDS => {
                    is_checking = true;
                    engine.send(&cmd("PING"))?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Handles what the engine sends to a subscriber (RESP2): an array that begins with
    /// `message`, or the answer to a PING.
    fn handle(&mut self, value: Value, channel: &str) -> Result<(), EngineError> {
        match value {
            Value::Array(parts) => match &parts[..] {
                [
                    Value::BulkString(kind),
                    Value::BulkString(name),
                    Value::BulkString(bytes),
                ] if kind == b"message" && name == channel.as_bytes() => {
                    self.deliver(bytes, channel);
                    Ok(())
                }
                [Value::BulkString(kind), ..] if kind == b"pong" => Ok(()),
                _ => Err(EngineError::unexpected_reply("SUBSCRIBE")),
            },
            Value::ServerError(error) => Err((&error).into()),
            _ => Err(EngineError::unexpected_reply("SUBSCRIBE")),
        }
    }

    fn deliver(&mut self, bytes: &[u8], channel: &str) {
        let Shared {
            settings,
            status,
            clock_offset,
            ..
        } = &*self.shared;
        match SignalBatch::parse(bytes) {
            Ok(batch) => {
                status.add_signals_received();
                let now = (settings.clock)().saturating_add_signed(clock_offset.load(Relaxed));
                (self.deliver)(&batch, now.saturating_sub(batch.sent_at_milliseconds));
            }
            Err(error) => {
                status.counts().add_refused();
                if self.logged.insert(discriminant(&error)) {
                    log::error!("a message in the channel {channel} is ignored: {error}");
                }
            }
        }
    }
}
