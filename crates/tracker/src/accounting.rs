//! Accounting: the announces of clients with keys, as JSON lines in a file or entries of a
//! stream of the cluster's engine, from which the site of a private tracker computes the
//! ratios of its users.
//!
//! Workers put a [`Record`] into a bounded queue, which never blocks: what does not fit is
//! counted and lost. A thread of its own writes them, so that neither a full disk nor one
//! that hangs, nor an engine that is away, delays a reply. While they cannot be written, that
//! thread keeps what it has and tries again.
//!
//! * `record`: announces, and their form as JSON.
//! * `file`: the file, and how it is rotated.
//! * `stream`: the stream.
//! * `destination`: either of them.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_service::config::{AccountingConfig, Diagnostic};
use aquatic_service::metrics::{Counter, Metric, Metrics};
use aquatic_service::workers::{Context, Workers};

use crate::cluster::Link;

mod destination;
mod file;
mod record;
mod stream;

use destination::{Destination, Failure};
pub use record::{LabelText, Record, Traffic};

/// The configuration key of the file.
pub const KEY: &str = "accounting.path";

/// Maximum number of records that wait to be written: about 11 MB.
const QUEUE: usize = 0x1_0000;

/// How long the thread sleeps while there is nothing to write. Workers do not wake it, which
/// would be a system call.
const PAUSE: Duration = Duration::from_millis(50);

/// Minimum time between two messages about the same error.
const REPEAT_ERROR: Duration = Duration::from_secs(60);

/// How long a stopping process waits for the last records to be written: less than it
/// waits for its threads, by the time that an engine that hangs may delay the beginning.
const STOP_PATIENCE: Duration = Duration::from_secs(7);

/// Maximum length of the text that is written at a time.
const CHUNK: usize = 0x1_0000;

/// The records of a tracker that keeps accounts.
#[derive(Default)]
pub struct Accounting {
    shared: Arc<Shared>,
}

/// Puts records into the queue. Each worker has a clone.
#[derive(Clone)]
pub struct Ledger {
    sender: SyncSender<Record>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    config: Mutex<AccountingConfig>,
    /// Set by a reload: limits are taken over, and the file is closed and opened again.
    reopen: AtomicBool,
    written: Counter,
    dropped: Counter,
    /// Why nothing can be written at present.
    error: Mutex<Option<String>>,
}

const RECORDS: Metric = Metric::counter(
    "accounting_records_total",
    "Announces of clients with keys, by whether they were written to the file or stream of \
     accounting (written), or lost because it could not be written in time (dropped); 0 without \
     accounting",
)
.labelled(&["result"]);
const FAILING: Metric = Metric::gauge(
    "accounting_failing",
    "1 while announces of clients with keys cannot be written to the file or stream of \
     accounting and wait, 0 otherwise",
);

/// The metrics of accounting.
pub const METRICS: &[Metric] = &[RECORDS, FAILING];

/// The file, if there is one, with its configuration key.
pub fn written_file(config: &AccountingConfig) -> Option<(&'static str, PathBuf)> {
    config.file().map(|path| (KEY, path.to_owned()))
}

/// Checks that the file, if it is there, can be appended to. `path_now` returns where it is
/// now, as in [`Daemon::check`](aquatic_service::Daemon::check).
///
/// # Errors
///
/// Why not.
pub fn check(
    config: &AccountingConfig,
    path_now: &dyn Fn(&Path) -> PathBuf,
) -> Result<(), Diagnostic> {
    let Some(path) = config.file().map(path_now) else {
        return Ok(());
    };
    let opened = OpenOptions::new()
        .append(true)
        // Opening a named pipe would wait for its reader; it is an error later.
        .custom_flags(file::NONBLOCK)
        .open(&path);
    match opened {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = path.display();
            let text = format!("cannot append to {path}: {error}");
            Err(Diagnostic::error(KEY, text))
        }
        _ => Ok(()),
    }
}

impl Accounting {
    /// Starts the thread that writes, if the configuration names a file or asks for a stream,
    /// for which `link` has the engine. The thread ends when all clones of the [`Ledger`] were
    /// dropped.
    ///
    /// # Errors
    ///
    /// When the file cannot be appended to, or the system allows no further thread.
    pub fn start(
        config: &AccountingConfig,
        link: Option<&Link>,
        workers: &mut Workers,
    ) -> anyhow::Result<(Self, Option<Ledger>)> {
        let shared = Arc::new(Shared::default());
        shared.locked_config().clone_from(config);
        let accounting = Self {
            shared: shared.clone(),
        };
        let Some(destination) = Destination::new(config, link) else {
            return Ok((accounting, None));
        };
        check(config, &Path::to_owned)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let stop = destination.stopper();
        let writer = Writer::new(destination, receiver, shared.clone());
        workers.spawn_background("accounting", stop, move |context| {
            writer.run(&context);
            Ok(())
        })?;
        Ok((accounting, Some(Ledger { sender, shared })))
    }

    /// Takes over the limits of a reloaded configuration, and has the file opened again.
    pub fn reconfigure(&self, config: &AccountingConfig) {
        self.shared.locked_config().clone_from(config);
        self.shared.reopen.store(true, Relaxed);
    }

    /// Why announces cannot be written at present.
    pub fn error(&self) -> Option<String> {
        self.shared.locked_error().clone()
    }

    /// Has this error.
    #[cfg(test)]
    pub(crate) fn set_error(&self, error: &str) {
        *self.shared.locked_error() = Some(error.to_owned());
    }

    /// Adds the metrics.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        metrics.add(&RECORDS, &["written"], self.shared.written.value());
        metrics.add(&RECORDS, &["dropped"], self.shared.dropped.value());
        metrics.add(&FAILING, &[], u64::from(self.error().is_some()));
    }
}

impl Ledger {
    /// Puts a record into the queue, unless that is full.
    #[inline]
    pub fn add(&self, record: Record) {
        match self.sender.try_send(record) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.dropped.add(1);
            }
        }
    }
}

impl Shared {
    fn locked_config(&self) -> MutexGuard<'_, AccountingConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked_error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread has.
struct Writer {
    receiver: Receiver<Record>,
    shared: Arc<Shared>,
    destination: Destination,
    /// Lines that are to be written.
    text: Vec<u8>,
    /// The number of these lines.
    lines: u64,
    /// When the last message about an error was logged.
    told: Option<Instant>,
    dropped_before: u64,
}

/// What a turn of the thread did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It wrote a whole chunk, so there may be more.
    Busy,
    /// Nothing is left for now, or it is not possible to write yet.
    Idle,
    /// It could not write, and should not try again before this time has passed.
    Failed(Duration),
    /// Nothing is left, and there are no workers any more.
    Ended,
}

impl Writer {
    fn new(destination: Destination, receiver: Receiver<Record>, shared: Arc<Shared>) -> Self {
        Self {
            receiver,
            shared,
            destination,
            text: Vec::with_capacity(CHUNK),
            lines: 0,
            told: None,
            dropped_before: 0,
        }
    }

    fn run(mut self, context: &Context) {
        let mut end = None;
        let mut paused_until = Instant::now();
        loop {
            let now = Instant::now();
            if context.is_stopping() {
                if end.is_none() {
                    self.destination.end_at(now + STOP_PATIENCE);
                }
                let end = *end.get_or_insert(now + STOP_PATIENCE);
                if now >= end {
                    self.give_up();
                    return;
                }
            } else if now < paused_until {
                thread::sleep(PAUSE);
                continue;
            }
            match self.turn(now) {
                Turn::Busy => {}
                Turn::Idle => thread::sleep(PAUSE),
                Turn::Failed(pause) => {
                    paused_until = Instant::now() + pause;
                    thread::sleep(PAUSE);
                }
                Turn::Ended => return,
            }
        }
    }

    /// Writes what is in the queue, at most a chunk.
    fn turn(&mut self, now: Instant) -> Turn {
        if self.shared.reopen.swap(false, Relaxed) {
            let config = self.shared.locked_config().clone();
            self.destination.reconfigure(&config);
        }
        let mut is_ended = false;
        let is_full = loop {
            if self.text.len() + record::MAX_LINE_BYTES > CHUNK {
                break true;
            }
            match self.receiver.try_recv() {
                Ok(record) => {
                    record.write(self.destination.next_number(), &mut self.text);
                    self.lines += 1;
                }
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => {
                    is_ended = true;
                    break false;
                }
            }
        };
        match self.write(is_ended, now) {
            Ok(false) => Turn::Idle,
            Ok(true) => match (is_full, is_ended) {
                (true, _) => Turn::Busy,
                (false, true) => Turn::Ended,
                (false, false) => Turn::Idle,
            },
            Err(failure) => {
                let pause = failure.pause;
                self.failed(failure, now);
                Turn::Failed(pause)
            }
        }
    }

    /// Writes the lines; returns whether that was possible.
    fn write(&mut self, is_ended: bool, now: Instant) -> Result<bool, Failure> {
        if !self.destination.write(&self.text, now)? {
            return Ok(false);
        }
        self.succeeded();
        self.tell_of_drops(now);
        if is_ended {
            self.destination.sync()?;
        }
        Ok(true)
    }

    fn succeeded(&mut self) {
        self.text.clear();
        self.shared.written.add(self.lines);
        self.lines = 0;
        let mut error = self.shared.locked_error();
        if error.take().is_some() {
            log::info!("accounting: {} again", self.destination.works());
        }
    }

    fn failed(&mut self, failure: Failure, now: Instant) {
        let text = failure.text;
        if self.may_tell(now) {
            log::error!("{text}; announces wait to be written, and are lost if it takes long");
        }
        *self.shared.locked_error() = Some(text);
    }

    fn tell_of_drops(&mut self, now: Instant) {
        let dropped = self.shared.dropped.value();
        let lost = dropped - self.dropped_before;
        if lost > 0 && self.may_tell(now) {
            self.dropped_before = dropped;
            log::error!(lost; "accounting: announces were lost, because they were not written in time");
        }
    }

    /// Whether a message may be logged now.
    fn may_tell(&mut self, now: Instant) -> bool {
        let may = self.told.is_none_or(|told| now - told >= REPEAT_ERROR);
        if may {
            self.told = Some(now);
        }
        may
    }

    /// Counts what was not written before the process has to end.
    fn give_up(&mut self) {
        let lost = self.lines + self.receiver.try_iter().take(QUEUE).count() as u64;
        self.shared.dropped.add(lost);
        if lost > 0 {
            log::error!(lost; "accounting: announces could not be written before the end");
        }
    }
}

#[cfg(test)]
mod tests;
