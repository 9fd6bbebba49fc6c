//! Accounting to a stream of the engine of a cluster.

use std::time::{Duration, Instant};

use aquatic_service::config::AccountingConfig;

use super::Failure;
use super::record::Number;
use crate::cluster::{Link, RecordStream, RecordStreamError};

/// The name of the stream within the namespace of the cluster.
const NAME: &str = "accounting";

/// The pause after an error, which is doubled with each further one.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The stream, to which all trackers of a cluster append.
pub(super) struct AccountingStream {
    stream: RecordStream,
    max_records: u64,
    /// The number of the first line that is not in the stream yet.
    first: u64,
    /// The number of the next line.
    next: u64,
    /// How many times in a row it failed.
    failures: u32,
}

impl AccountingStream {
    /// `None` without an engine.
    pub(super) fn new(config: &AccountingConfig, link: Option<&Link>) -> Option<Self> {
        Some(Self {
            stream: link?.record_stream(NAME)?,
            max_records: config.max_stream_records.as_u64(),
            first: 1,
            next: 1,
            failures: 0,
        })
    }

    /// Takes over the limit.
    pub(super) fn reconfigure(&mut self, config: &AccountingConfig) {
        self.max_records = config.max_stream_records.as_u64();
    }

    /// A function that lets a call that is under way end soon.
    pub(super) fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        self.stream.stopper()
    }

    /// Lets everything end at this time.
    pub(super) fn end_at(&mut self, end: Instant) {
        self.stream.end_at(end);
    }

    /// The number of the next line.
    pub(super) fn next_number(&mut self) -> Number {
        let sequence = self.next;
        self.next += 1;
        Number {
            run: self.stream.writer(),
            sequence,
        }
    }

    /// Appends lines, each as an entry; returns whether they are in the stream. They are
    /// those that were passed before, if they are not in the stream yet, and new ones.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<bool, Failure> {
        let records: Vec<&[u8]> = lines
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
            .collect();
        let appended = self.stream.append(self.first, &records, self.max_records);
        let is_appended = appended.map_err(|error| self.failure(error))?;
        if is_appended {
            self.first = self.next;
            self.failures = 0;
        }
        Ok(is_appended)
    }

    fn failure(&mut self, error: RecordStreamError) -> Failure {
        let pause = match error.is_lasting {
            true => MAX_PAUSE,
            false => MAX_PAUSE.min(MIN_PAUSE * (1 << self.failures.min(10))),
        };
        self.failures = self.failures.saturating_add(1);
        Failure {
            text: format!(
                "cannot append to the accounting stream of cluster.url: {}",
                error.text
            ),
            pause,
        }
    }
}
