//! Reads lists line by line.

use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::paths;
use crate::files;

/// Maximum length of a line: longer ones are certainly not an entry with a comment.
pub const MAX_LINE_BYTES: usize = 4096;

/// Number of bytes that are read with one call.
const READ_BUFFER: usize = 256 * 1024;

/// Number of lines between two checks of the deadline.
const LINES_PER_CLOCK_READ: u64 = 4096;

/// Collects the entries of a list.
pub trait Collector {
    /// A file of this length is about to be read.
    fn expect(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Takes a line, which may be blank or a comment.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn line(&mut self, line: &[u8]) -> Result<(), String>;
}

/// Reads the files of one list.
#[derive(Debug)]
pub struct Reader {
    what: &'static str,
    deadline: Option<Instant>,
    begun: Instant,
    files: usize,
}

impl Reader {
    /// Reads files of `what`, as it is called in messages, until `deadline`.
    pub fn new(what: &'static str, deadline: Option<Instant>) -> Self {
        Self {
            what,
            deadline,
            begun: Instant::now(),
            files: 0,
        }
    }

    /// Reads the file at `path`, or all files of a directory.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, is not a regular file, or has a line that `collector`
    /// rejects; or if the deadline has passed before its end is reached. `key` is that of
    /// the path.
    pub fn read(
        &mut self,
        key: &'static str,
        path: &Path,
        collector: &mut impl Collector,
    ) -> Result<(), LoadError> {
        let what = self.what;
        let failed = |path: &Path, error| LoadError {
            what,
            key,
            path: path.to_owned(),
            error,
        };
        let files = paths::files(path).map_err(|error| failed(path, ParseError::Read(error)))?;
        for file in files {
            match self.read_file(&file, collector) {
                Ok(()) => self.files += 1,
                // It was not configured, but found in its directory.
                Err(ParseError::Read(_)) if file != path && paths::is_gone(&file) => {
                    log::info!("{what} {}: it was removed meanwhile", file.display());
                }
                Err(error) => return Err(failed(&file, error)),
            }
        }
        Ok(())
    }

    fn read_file(&self, path: &Path, collector: &mut impl Collector) -> Result<(), ParseError> {
        let file = files::open_regular(path).map_err(ParseError::Read)?;
        collector.expect(file.metadata().map_err(ParseError::Read)?.len());
        let text = BufReader::with_capacity(READ_BUFFER, file);
        parse(text, self.deadline, collector)
    }

    /// The list that the entries have become.
    pub fn finish<T>(self, list: T) -> super::Loaded<T> {
        super::Loaded {
            list,
            files: self.files,
            duration: self.begun.elapsed(),
        }
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// Passes the lines of a text to `collector`, without line ends.
///
/// # Errors
///
/// At the first line that it rejects, and if a line is too long; or if `deadline` has passed
/// before the end is reached.
pub fn parse(
    mut text: impl BufRead,
    deadline: Option<Instant>,
    collector: &mut impl Collector,
) -> Result<(), ParseError> {
    let mut buffer = Vec::new();
    let mut line = 0;
    loop {
        if line % LINES_PER_CLOCK_READ == 0
            && deadline.is_some_and(|deadline| Instant::now() >= deadline)
        {
            return Err(ParseError::TooSlow { line });
        }
        line += 1;
        buffer.clear();
        let read = (&mut text)
            .take(MAX_LINE_BYTES as u64 + 1)
            .read_until(b'\n', &mut buffer)
            .map_err(ParseError::Read)?;
        if read == 0 {
            return Ok(());
        }
        if line == 1
            && let Some(format) = binary_format(&buffer)
        {
            return Err(ParseError::Binary { format });
        }
        if read > MAX_LINE_BYTES {
            return Err(ParseError::LongLine { line });
        }
        collector
            .line(text_of(&buffer, line == 1))
            .map_err(|reason| ParseError::Line { line, reason })?;
    }
}

/// A line without its end, and without the byte order mark that Windows puts before the
/// first one.
fn text_of(line: &[u8], is_first: bool) -> &[u8] {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

    let line = match line.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) if is_first => rest,
        _ => line,
    };
    line.trim_ascii_end()
}

/// What a file is that blocklists are distributed as, and that is not text.
fn binary_format(start: &[u8]) -> Option<&'static str> {
    const FORMATS: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "compressed by gzip"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"BZh", "compressed by bzip2"),
        (b"\xfd7zXZ", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"\xff\xff\xff\xffP2B", "in the binary format P2B"),
    ];
    let mut found = FORMATS.iter().filter(|(magic, _)| start.starts_with(magic));
    found.next().map(|(_, format)| *format)
}

/// Why a file is not a valid list.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {error}", .path.display())]
pub struct LoadError {
    /// The list.
    pub what: &'static str,
    /// The key of the configuration that names the file, or its directory.
    pub key: &'static str,
    /// The file, as the process sees it (after a chroot).
    pub path: PathBuf,
    /// The reason, which is part of the message.
    pub error: ParseError,
}

/// Why a text is not a valid list.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// It is not text.
    #[error("it is {format}, and a list is plain text: convert it first")]
    Binary {
        /// What it is.
        format: &'static str,
    },
    /// A line is not an entry.
    #[error("line {line}: {reason}")]
    Line {
        /// Line number, from 1.
        line: u64,
        /// The reason.
        reason: String,
    },
    /// A line is too long.
    #[error("line {line} is longer than {MAX_LINE_BYTES} bytes; expected one entry per line")]
    LongLine {
        /// Line number, from 1.
        line: u64,
    },
    /// The end of the file was not reached in time.
    #[error("it was not read in time: {line} lines so far")]
    TooSlow {
        /// Number of lines that were read.
        line: u64,
    },
}
