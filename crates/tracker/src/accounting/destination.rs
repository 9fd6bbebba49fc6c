//! Where announces are written: to a file, or to a stream of the cluster's engine.

use std::time::{Duration, Instant};

use aquatic_service::config::AccountingConfig;

use super::file::AccountingFile;
use super::record::Number;
use super::stream::AccountingStream;
use crate::cluster::Link;

/// How long to wait after an error of the file before trying again.
const RETRY: Duration = Duration::from_secs(1);

/// Where announces are written.
pub(super) enum Destination {
    File(AccountingFile),
    Stream(Box<AccountingStream>),
}

/// Why nothing can be written at present.
#[derive(Debug)]
pub(super) struct Failure {
    /// In words.
    pub(super) text: String,
    /// How long to wait before trying again.
    pub(super) pause: Duration,
}

impl Destination {
    /// What the configuration asks for, if anything.
    pub(super) fn new(config: &AccountingConfig, link: Option<&Link>) -> Option<Self> {
        if config.stream {
            return AccountingStream::new(config, link).map(|it| Self::Stream(Box::new(it)));
        }
        config
            .file()
            .map(|_| Self::File(AccountingFile::new(config)))
    }

    /// Takes over what a reload has changed, and opens a file again.
    pub(super) fn reconfigure(&mut self, config: &AccountingConfig) {
        match self {
            Self::File(file) => file.reconfigure(config),
            Self::Stream(stream) => stream.reconfigure(config),
        }
    }

    /// A function that lets a call that is under way end soon.
    pub(super) fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        match self {
            Self::File(_) => Box::new(|| {}),
            Self::Stream(stream) => Box::new(stream.stopper()),
        }
    }

    /// Lets all calls end at this time, if they can.
    pub(super) fn end_at(&mut self, end: Instant) {
        match self {
            // A disk that hangs cannot be interrupted.
            Self::File(_) => {}
            Self::Stream(stream) => stream.end_at(end),
        }
    }

    /// The number of the next line, if lines could be written twice.
    pub(super) fn next_number(&mut self) -> Option<Number> {
        match self {
            Self::File(_) => None,
            Self::Stream(stream) => Some(stream.next_number()),
        }
    }

    /// Writes whole lines: all of them or none. Returns whether they are written. If not, the
    /// next call has to begin with the same ones.
    pub(super) fn write(&mut self, lines: &[u8], now: Instant) -> Result<bool, Failure> {
        match self {
            Self::File(file) => {
                let written = file.write(lines, now);
                written.map_err(|error| Failure::of_file(file, &error))?;
                Ok(true)
            }
            Self::Stream(stream) => stream.append(lines),
        }
    }

    /// Has what was written on the disk, if that is up to this process.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        match self {
            Self::File(file) => {
                let synced = file.sync();
                synced.map_err(|error| Failure::of_file(file, &error))
            }
            Self::Stream(_) => Ok(()),
        }
    }

    /// What to say when it works after an error.
    pub(super) fn works(&self) -> &'static str {
        match self {
            Self::File(_) => "the file can be written",
            Self::Stream(_) => "announces are appended to the stream",
        }
    }
}

impl Failure {
    fn of_file(file: &AccountingFile, error: &std::io::Error) -> Self {
        let path = file.path().display();
        Self {
            text: format!("cannot write the accounting file {path}: {error}"),
            pause: RETRY,
        }
    }
}
