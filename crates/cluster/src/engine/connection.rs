//! A connection to an engine that meets the requirements.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue as _, Value, cmd};

use super::client::Client;
use super::error::{EngineError, clean};
use super::url::Place;
use super::{EngineSettings, Stop, discovery};

/// A connection to an engine that meets the requirements.
pub(super) struct Engine {
    client: Client,
    /// Identifies the process of the engine.
    pub(super) run_id: String,
    clock: fn() -> u64,
    /// What has to be added to our clock to get the engine's, in milliseconds.
    offset: i64,
    stop: Arc<Stop>,
}

/// Connects on a thread of its own, because the lookup of a host name can take half a
/// minute and cannot be interrupted.
#[derive(Default)]
pub(super) struct Connector(Option<Receiver<Result<Engine, EngineError>>>);

impl Connector {
    /// Waits for the connection that is being made, or starts to make one; returns `None`
    /// if there is no result within `time`.
    pub(super) fn connect(
        &mut self,
        settings: &EngineSettings,
        stop: &Arc<Stop>,
        time: Duration,
    ) -> Option<Result<Engine, EngineError>> {
        let receiver = self.0.get_or_insert_with(|| {
            let (sender, receiver) = channel();
            let settings = settings.clone();
            let stop = stop.clone();
            let thread = thread::Builder::new().name("cluster-connect".into());
            // If there is no thread, the sender is dropped.
            let _ = thread.spawn(move || {
                // Sending fails if the link was stopped in the meantime.
                let _ = sender.send(Engine::connect(&settings, stop));
            });
            receiver
        });
        let result = match receiver.recv_timeout(time) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Err(EngineError::Away(
                "cannot start a thread that connects".into(),
            )),
        };
        self.0 = None;
        Some(result)
    }
}

impl Engine {
    /// Connects to the engine, and checks that it meets the requirements. Takes some seconds
    /// at most for each address in the URL, in addition to lookups of host names.
    fn connect(settings: &EngineSettings, stop: Arc<Stop>) -> Result<Self, EngineError> {
        let mut engine = Self {
            client: discovery::connect(settings)?,
            run_id: String::new(),
            clock: settings.clock,
            offset: 0,
            stop,
        };
        engine.check(settings)?;
        engine.read_clock()?;
        Ok(engine)
    }

    /// The time on the engine's clock, in milliseconds.
    pub(super) fn now(&self) -> u64 {
        self.on_its_clock((self.clock)())
    }

    /// Converts a time of our clock to the engine's.
    pub(super) fn on_its_clock(&self, milliseconds: u64) -> u64 {
        milliseconds.saturating_add_signed(self.offset)
    }

    /// Compares the clocks. To be repeated, because they drift, and the engine's can be set.
    pub(super) fn read_clock(&mut self) -> Result<(), EngineError> {
        let before = (self.clock)();
        let reply = self.query(&cmd("TIME"))?;
        let after = (self.clock)();
        let (seconds, microseconds) = <(u64, u64)>::from_redis_value(reply)
            .map_err(|_| EngineError::unexpected_reply("TIME"))?;
        let time = seconds
            .saturating_mul(1000)
            .saturating_add(microseconds / 1000);
        let ours = before.midpoint(after);
        self.offset = i64::try_from(i128::from(time) - i128::from(ours)).unwrap_or(0);
        Ok(())
    }

    /// What has to be added to our clock to get the engine's, in milliseconds.
    pub(super) fn clock_offset(&self) -> i64 {
        self.offset
    }

    /// Sends a command without waiting for its reply.
    pub(super) fn send(&mut self, command: &Cmd) -> Result<(), EngineError> {
        self.renew_deadline_unless_stopped();
        self.client.send(&command.get_packed_command())
    }

    /// Waits for a message of a channel, or a reply to [`send`](Self::send), for `time` at
    /// most.
    pub(super) fn receive(&mut self, time: Duration) -> Result<Option<Value>, EngineError> {
        self.renew_deadline_unless_stopped();
        self.client.receive(time)
    }

    /// Sends a command and waits for its reply, for two seconds at most.
    pub(super) fn query(&mut self, command: &Cmd) -> Result<Value, EngineError> {
        self.renew_deadline_unless_stopped();
        self.client.query(command)
    }

    /// Sends encoded commands at once, and waits for so many replies, which may be errors;
    /// for two seconds at most.
    pub(super) fn query_all(
        &mut self,
        commands: &[u8],
        count: usize,
    ) -> Result<Vec<Value>, EngineError> {
        self.renew_deadline_unless_stopped();
        self.client.query_all(commands, count)
    }

    /// Allows what is sent and received after the link was stopped to take two seconds in
    /// total.
    pub(super) fn renew_deadline(&mut self) {
        self.client.renew_deadline();
    }

    /// Lets what is sent and received after the link was stopped end at this time.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.client.set_deadline(deadline);
    }

    /// After the link was stopped, the last deadline holds for everything.
    fn renew_deadline_unless_stopped(&mut self) {
        if !self.stop.is_stopped() {
            self.client.renew_deadline();
        }
    }

    fn check(&mut self, settings: &EngineSettings) -> Result<(), EngineError> {
        let Value::BulkString(info) = self.query(&cmd("INFO"))? else {
            return Err(EngineError::unexpected_reply("INFO"));
        };
        let info = String::from_utf8_lossy(&info);
        let find = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        self.run_id = find("run_id").unwrap_or_default().to_owned();
        if find("role") == Some("slave") {
            let text = "the engine is a replica, which accepts no changes";
            return Err(match settings.url.place {
                Place::Server(_) | Place::Socket(_) => {
                    EngineError::Refused(format!("{text}: cluster.url has to name its primary"))
                }
                // Whoever was asked does not know the new primary yet.
                _ => EngineError::Away(text.into()),
            });
        }
        let policy = find("maxmemory_policy").unwrap_or_default();
        if policy.starts_with("allkeys-") {
            return Err(EngineError::Refused(format!(
                "the engine's maxmemory-policy is {policy}, with which it would delete the \
                 swarm: set it to noeviction",
                policy = clean(policy)
            )));
        }
        // This removes nothing. It fails if the engine is too old. The version number does
        // not tell, because Valkey reports that of the Redis release it is derived from.
        for kind in &settings.kinds {
            let mut trim = cmd("XTRIM");
            trim.arg(settings.stream(*kind)).arg("MINID").arg("0");
            self.query(&trim).map_err(|error| match error {
                EngineError::Away(text) if text.contains("syntax error") => EngineError::Refused(
                    "the engine is too old: Redis 6.2 or later is needed, or Valkey".into(),
                ),
                error => error,
            })?;
        }
        Ok(())
    }
}
