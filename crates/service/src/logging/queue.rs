//! The queue of records for the thread that writes them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use log::kv::{self, Key, Value, VisitSource};
use log::{Level, Log, Metadata, Record};

/// Maximum number of queued records, and maximum total length of their texts.
const MAX_RECORDS: usize = 4_096;
const MAX_BYTES: usize = 1 << 20;

/// Maximum time that the end of the process waits for queued records to be written.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// The logger of a service.
pub(super) struct Queued(pub(super) Arc<Queue>);

/// Records for a logger that may block.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Notified when records were added or written.
    changed: Condvar,
    writer: Box<dyn Log>,
    is_started: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<Owned>,
    bytes: usize,
    /// Number of dropped records since this was last logged.
    lost: u64,
    /// Whether a record is being written.
    is_writing: bool,
}

/// An owned record.
struct Owned {
    level: Level,
    target: String,
    module: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    text: String,
    fields: Vec<(String, String)>,
}

impl Log for Queued {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.writer.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.push(Owned::of(record));
    }

    fn flush(&self) {
        self.0.flush();
    }
}

impl Queue {
    pub(super) fn new(writer: Box<dyn Log>) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            writer,
            is_started: AtomicBool::new(false),
        })
    }

    /// Starts the writing thread, unless it is running.
    pub(super) fn start(self: &Arc<Self>) {
        if self.is_started.swap(true, Ordering::Relaxed) {
            return;
        }
        let queue = Arc::clone(self);
        let spawned = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || queue.write());
        if spawned.is_err() {
            // Flushing at the end tries again.
            self.is_started.store(false, Ordering::Relaxed);
        }
    }

    /// Waits for a limited time until everything is written.
    pub(super) fn flush(self: &Arc<Self>) {
        self.start();
        let deadline = Instant::now() + FLUSH_PATIENCE;
        let mut waiting = self.locked();
        while !waiting.records.is_empty() || waiting.is_writing || waiting.lost > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let result = self.changed.wait_timeout(waiting, left);
            waiting = result.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn push(&self, record: Owned) {
        let bytes = record.bytes();
        let mut waiting = self.locked();
        if waiting.records.len() >= MAX_RECORDS || waiting.bytes + bytes > MAX_BYTES {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += bytes;
        waiting.records.push_back(record);
        drop(waiting);
        self.changed.notify_all();
    }

    fn write(&self) {
        let mut waiting = self.locked();
        loop {
            // Records were dropped after those in the queue.
            let record = match waiting.records.pop_front() {
                Some(record) => record,
                None if waiting.lost > 0 => Owned::lost(std::mem::take(&mut waiting.lost)),
                None => {
                    let result = self.changed.wait(waiting);
                    waiting = result.unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            waiting.bytes = waiting.bytes.saturating_sub(record.bytes());
            waiting.is_writing = true;
            drop(waiting);
            record.log_to(&*self.writer);
            waiting = self.locked();
            waiting.is_writing = false;
            self.changed.notify_all();
        }
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owned {
    fn of(record: &Record<'_>) -> Self {
        let mut fields = Fields(Vec::new());
        // The visitor below never fails.
        let _ = record.key_values().visit(&mut fields);
        Self {
            level: record.level(),
            target: record.target().to_owned(),
            module: record.module_path().map(str::to_owned),
            file: record.file().map(str::to_owned),
            line: record.line(),
            text: record.args().to_string(),
            fields: fields.0,
        }
    }

    fn lost(count: u64) -> Self {
        Self {
            level: Level::Warn,
            target: module_path!().to_owned(),
            module: None,
            file: None,
            line: None,
            text: format!("{count} log messages were lost, because they were not read fast enough"),
            fields: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        let fields = self.fields.iter();
        self.text.len()
            + fields
                .map(|(key, value)| key.len() + value.len())
                .sum::<usize>()
    }

    fn log_to(&self, logger: &dyn Log) {
        logger.log(
            &Record::builder()
                .level(self.level)
                .target(&self.target)
                .module_path(self.module.as_deref())
                .file(self.file.as_deref())
                .line(self.line)
                .args(format_args!("{}", self.text))
                .key_values(&self.fields.as_slice())
                .build(),
        );
    }
}

struct Fields(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Blocks until it is allowed to write.
    struct Slow {
        gate: Mutex<Receiver<()>>,
        written: Sender<String>,
    }

    impl Log for Slow {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let _ = self.gate.lock().unwrap().recv();
            let field = record.key_values().get(Key::from_str("n"));
            let field = field.map(|value| value.to_string()).unwrap_or_default();
            let _ = self.written.send(format!("{} {field}", record.args()));
        }

        fn flush(&self) {}
    }

    fn log(queue: &Queued, text: &str, number: u64) {
        queue.log(
            &Record::builder()
                .args(format_args!("{text}"))
                .key_values(&[("n", number)])
                .build(),
        );
    }

    #[test]
    fn a_writer_that_hangs_holds_nobody_up() {
        let (open, gate) = channel();
        let (written, lines) = channel();
        let queue = Queued(Queue::new(Box::new(Slow {
            gate: Mutex::new(gate),
            written,
        })));
        // Records are queued before the thread is started.
        log(&queue, "first", 1);
        queue.0.start();
        let begun = Instant::now();
        for number in 2..MAX_RECORDS as u64 + 100 {
            log(&queue, "more", number);
        }
        log(&queue, &"x".repeat(MAX_BYTES), 0);
        queue.flush();
        assert!(begun.elapsed() < 10 * FLUSH_PATIENCE);
        assert!(lines.try_recv().is_err());

        drop(open);
        assert_eq!(lines.recv().unwrap(), "first 1");
        assert_eq!(lines.recv().unwrap(), "more 2");
        let last = lines.iter().find(|line| line.contains("were lost"));
        assert!(
            last.unwrap()
                .starts_with(|digit: char| digit.is_ascii_digit())
        );
        log(&queue, "later", 7);
        queue.flush();
        assert_eq!(lines.try_recv().unwrap(), "later 7");
    }
}
