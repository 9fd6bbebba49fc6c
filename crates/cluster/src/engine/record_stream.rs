//! A stream of records in the engine that other programs read, such as that of accounting.
//!
//! The records of a writer are numbered. Several are appended in one transaction, which also
//! sets a key of the writer to the number of the last one. After an error that leaves open
//! whether a transaction was executed, the key tells. A connection that was given up may
//! still have a transaction under way, so each is executed only if nobody has set the key
//! since the connection has read it (`WATCH`), and a new connection sets it first. So each
//! record is in the stream once, unless the engine has forgotten the key in the meantime.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Value, cmd};

use super::connection::{Connector, Engine};
use super::error::EngineError;
use super::{EngineSettings, Stop, Stopper};

/// The name of the field that contains a record.
const FIELD: &str = "json";

/// How long the key of a writer is kept after its last record, in seconds.
const KEY_SECONDS: u64 = 86_400;

/// Time within which a missing key means that the engine has lost its data.
const LOSS_MILLISECONDS: u64 = KEY_SECONDS * 500;

/// How long a call waits for a connection that is being made.
const CONNECT_TIME: Duration = Duration::from_millis(20);

/// Maximum number of attempts of a call: one with a connection that the engine may have
/// closed in the meantime, one with a new one, and one after the key has expired.
const ATTEMPTS: usize = 3;

/// Appends records to a stream of the engine.
pub struct RecordStream {
    settings: EngineSettings,
    /// The key of the stream.
    stream: String,
    /// The key with the number of the last record.
    last_key: String,
    connector: Connector,
    engine: Option<Engine>,
    /// The number of the last record that is in the stream.
    last: u64,
    /// Whether that is certain: no transaction was sent without a reply.
    is_certain: bool,
    /// The number of the last record that was sent.
    sent: u64,
    /// When the last record was appended.
    appended_at: u64,
    stop: Arc<Stop>,
    /// When everything has to end.
    end: Option<Instant>,
}

/// Records of which the first has a number, and the others those that follow.
#[derive(Debug, Clone, Copy)]
pub struct Numbered<'a> {
    /// The number of the first one, at least 1.
    pub first: u64,
    /// The records.
    pub records: &'a [&'a [u8]],
}

/// What has become of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// All are in the stream.
    All,
    /// There is no connection yet.
    Connecting,
}

/// What has become of a transaction.
enum Executed {
    Yes,
    /// Its key was set by others, or has expired.
    No,
}

impl RecordStream {
    /// A stream with this name in the namespace of the cluster. Makes no connection yet.
    pub(super) fn new(settings: EngineSettings, name: &str) -> Self {
        let stream = settings.key(name);
        Self {
            last_key: format!("{stream}:{:016x}", writer(&settings)),
            stream,
            connector: Connector::default(),
            engine: None,
            last: 0,
            is_certain: true,
            sent: 0,
            appended_at: 0,
            stop: Arc::new(Stop::default()),
            end: None,
            settings,
        }
    }

    /// The key of the stream in the engine.
    pub fn key(&self) -> &str {
        &self.stream
    }

    /// Identifies this writer, in records.
    pub fn writer(&self) -> u64 {
        writer(&self.settings)
    }

    /// When it is dropped, a call that is under way ends within two seconds.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Lets all calls end at this time.
    pub fn end_at(&mut self, end: Instant) {
        self.end = Some(end);
        self.stop.set();
        if let Some(engine) = &mut self.engine {
            engine.set_deadline(end);
        }
    }

    /// Appends records, and removes the oldest ones of the stream beyond `max_records`,
    /// approximately. To be called with the same records again, and perhaps more of them,
    /// until all are in the stream. Without records, it connects. Takes some seconds at most.
    ///
    /// # Errors
    /// Why they could not be appended.
    pub fn append(
        &mut self,
        numbered: Numbered<'_>,
        max_records: u64,
    ) -> Result<Appended, EngineError> {
        let mut result = Ok(Appended::Connecting);
        for _ in 0..ATTEMPTS {
            let engine = self.engine.take();
            let is_old = engine.is_some();
            let mut engine = match engine {
                Some(engine) => engine,
                None => match self.connect(max_records)? {
                    Some(engine) => engine,
                    None => return result,
                },
            };
            match self.try_append(&mut engine, numbered, max_records) {
                Ok(Executed::Yes) => {
                    self.engine = Some(engine);
                    return Ok(Appended::All);
                }
                Ok(Executed::No) => {
                    self.begin(&mut engine)?;
                    self.engine = Some(engine);
                }
                Err(EngineError::Full) => {
                    self.engine = Some(engine);
                    return Err(EngineError::Full);
                }
                Err(error @ EngineError::Refused(_)) => return Err(error),
                // It may be closed because nothing was sent for a while, or because the
                // engine was restarted.
                Err(_) if is_old => result = Ok(Appended::Connecting),
                Err(error) => return Err(error),
            }
        }
        result
    }

    /// A connection that is ready for records; `None` while it is being made.
    fn connect(&mut self, max_records: u64) -> Result<Option<Engine>, EngineError> {
        let connected = self
            .connector
            .connect(&self.settings, &self.stop, CONNECT_TIME);
        let Some(connected) = connected else {
            return Ok(None);
        };
        let mut engine = connected?;
        if let Some(end) = self.end {
            engine.set_deadline(end);
        }
        // Before the key is set, which takes memory. This also finds out whether the stream
        // can be used at all.
        self.trim(&mut engine, max_records)?;
        self.begin(&mut engine)?;
        Ok(Some(engine))
    }

    /// Reads the number of the last record, and sets it to the same value, so that no
    /// transaction of an earlier connection is executed later.
    fn begin(&mut self, engine: &mut Engine) -> Result<(), EngineError> {
        for _ in 0..ATTEMPTS {
            let found = self.read_last(engine)?;
            let last = self.last_in_stream(found);
            let mut commands = Vec::new();
            cmd("MULTI").write_packed_command(&mut commands);
            self.write_last(last, &mut commands);
            cmd("EXEC").write_packed_command(&mut commands);
            self.write_watch(&mut commands);
            let replies = engine.query_all(&commands, 4)?;
            // A transaction of an earlier connection was executed in between.
            if executed(&replies)?.is_none() {
                continue;
            }
            self.report_loss(found);
            self.last = last;
            self.is_certain = true;
            return first_error(&replies);
        }
        Err(EngineError::Away(format!(
            "others write to {}",
            self.last_key
        )))
    }

    /// Reads the key, and watches it from then on.
    fn read_last(&self, engine: &mut Engine) -> Result<Option<u64>, EngineError> {
        let mut commands = Vec::new();
        self.write_watch(&mut commands);
        let mut get = cmd("GET");
        get.arg(&self.last_key).write_packed_command(&mut commands);
        let replies = engine.query_all(&commands, 2)?;
        match &replies[..] {
            [Value::ServerError(error), _] | [_, Value::ServerError(error)] => Err(error.into()),
            [_, Value::Nil] => Ok(None),
            [_, Value::BulkString(digits)] => std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .map(Some)
                .ok_or_else(|| EngineError::unexpected_reply("GET")),
            _ => Err(EngineError::unexpected_reply("GET")),
        }
    }

    /// The number of the last record in the stream, if the key says `found`.
    fn last_in_stream(&self, found: Option<u64>) -> u64 {
        match found {
            Some(found) if !self.is_certain => found.clamp(self.last, self.sent),
            // What the engine has lost cannot be appended again.
            _ => self.last,
        }
    }

    fn report_loss(&self, found: Option<u64>) {
        if self.last == 0 {
            return;
        }
        let since = (self.settings.clock)().saturating_sub(self.appended_at);
        let is_lost = match found {
            Some(found) => found < self.last,
            None => since < LOSS_MILLISECONDS,
        };
        if is_lost {
            log::error!(
                "the engine has lost data that it had accepted: records of {} that nobody had \
                 read may be missing",
                self.stream
            );
        }
    }

    /// Appends what is not in the stream yet.
    fn try_append(
        &mut self,
        engine: &mut Engine,
        numbered: Numbered<'_>,
        max_records: u64,
    ) -> Result<Executed, EngineError> {
        let known = (self.last + 1).saturating_sub(numbered.first);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let records = numbered.records.get(known..).unwrap_or_default();
        if records.is_empty() {
            return Ok(Executed::Yes);
        }
        let last = numbered.first + numbered.records.len() as u64 - 1;
        let commands = self.transaction(records, last, max_records);
        self.is_certain = false;
        self.sent = self.sent.max(last);
        let replies = engine.query_all(&commands, records.len() + 4)?;
        self.is_certain = true;
        match executed(&replies) {
            Ok(None) => Ok(Executed::No),
            Ok(Some(())) => {
                self.last = last;
                self.appended_at = (self.settings.clock)();
                // Without the last command, the connection cannot be used for others.
                first_error(&replies)?;
                Ok(Executed::Yes)
            }
            Err(EngineError::Full) => {
                // An addition is refused before it could remove anything, for instance after
                // the limit was lowered.
                self.trim(engine, max_records)?;
                Err(EngineError::Full)
            }
            Err(error) => Err(error),
        }
    }

    /// The commands that append records, of which the last one has the number `last`. They
    /// have four replies in addition to one for each record.
    fn transaction(&self, records: &[&[u8]], last: u64, max_records: u64) -> Vec<u8> {
        let mut commands = Vec::new();
        cmd("MULTI").write_packed_command(&mut commands);
        for (index, record) in records.iter().enumerate() {
            let mut add = cmd("XADD");
            add.arg(&self.stream);
            if index == 0 {
                // This removes more than one transaction adds.
                add.arg("MAXLEN").arg("~").arg(max_records);
            }
            add.arg("*").arg(FIELD).arg(*record);
            add.write_packed_command(&mut commands);
        }
        self.write_last(last, &mut commands);
        cmd("EXEC").write_packed_command(&mut commands);
        self.write_watch(&mut commands);
        commands
    }

    fn write_last(&self, last: u64, commands: &mut Vec<u8>) {
        let mut set = cmd("SET");
        set.arg(&self.last_key).arg(last);
        set.arg("EX").arg(KEY_SECONDS);
        set.write_packed_command(commands);
    }

    fn write_watch(&self, commands: &mut Vec<u8>) {
        let mut watch = cmd("WATCH");
        watch.arg(&self.last_key).write_packed_command(commands);
    }

    fn trim(&self, engine: &mut Engine, max_records: u64) -> Result<(), EngineError> {
        let mut trim = cmd("XTRIM");
        trim.arg(&self.stream).arg("MAXLEN").arg("~");
        engine.query(trim.arg(max_records)).map(drop)
    }
}

fn writer(settings: &EngineSettings) -> u64 {
    u64::from_be_bytes(settings.node.0)
}

/// Whether a transaction was executed, from the replies to it and to the command after it;
/// `None` if a key that was watched has changed.
fn executed(replies: &[Value]) -> Result<Option<()>, EngineError> {
    let Some((_, replies)) = replies.split_last() else {
        return Err(EngineError::unexpected_reply("EXEC"));
    };
    // Before the reply to EXEC, an error is the reason why nothing is executed.
    first_error(replies)?;
    match replies.last() {
        Some(Value::Nil) => Ok(None),
        // The commands after one that fails are executed all the same.
        Some(Value::Array(executed)) => first_error(executed).map(Some),
        _ => Err(EngineError::unexpected_reply("EXEC")),
    }
}

fn first_error(replies: &[Value]) -> Result<(), EngineError> {
    let error = replies.iter().find_map(|reply| match reply {
        Value::ServerError(error) => Some(EngineError::from(error)),
        _ => None,
    });
    error.map_or(Ok(()), Err)
}
