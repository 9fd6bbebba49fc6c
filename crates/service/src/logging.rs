//! Log output: to the journal with structured fields, or to standard error, one line per
//! record.
//!
//! Writing may block: a pipe that is not read is soon full, and the journal can hang. So
//! a service puts its records into a bounded queue ([`queue`]), and a separate thread
//! writes them; records that do not fit are counted and dropped.

use std::any::Any;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic;
use std::sync::{Arc, OnceLock};
use std::thread;

use anyhow::Context;
use log::kv::{self, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

mod queue;

use queue::{Queue, Queued};

/// The priority of errors, as syslog(3), the kernel and the journal count.
pub(crate) const PRIORITY_ERROR: u8 = 3;

/// The target of records that are written as they are, for people at a terminal.
pub(crate) const PLAIN: &str = "plain";

/// Whether the log is written to a terminal.
pub(crate) fn is_for_people() -> bool {
    !connected_to_journal() && io::stderr().is_terminal()
}

/// Installs the logger: for the journal if standard error is connected to it
/// (`JOURNAL_STREAM`), otherwise for standard error. Panics are logged as well, with their
/// location.
///
/// A service (`is_service`) never blocks on its log: its records are written by a
/// separate thread, from [`detach`] on. Any other program writes them synchronously.
///
/// # Errors
///
/// If a logger is already installed.
pub fn init(program: &str, level: LevelFilter, is_service: bool) -> anyhow::Result<()> {
    let writer = writer(program);
    let logger = if is_service {
        let queue = QUEUE.get_or_init(|| Queue::new(writer)).clone();
        Box::new(Queued(queue))
    } else {
        writer
    };
    log::set_boxed_logger(logger).context("there is a logger already")?;
    log::set_max_level(level);
    panic::set_hook(Box::new(|info| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let place = info.location().map(ToString::to_string);
        log::error!(
            thread = name, place = place.as_deref();
            "thread {name} panicked: {}",
            panic_text(info.payload()).unwrap_or("for no stated reason")
        );
        // The process may be about to exit.
        log::logger().flush();
    }));
    Ok(())
}

/// Starts the thread that writes the log of a service. To be called after privileges
/// were dropped, which has to happen before there is a second thread.
pub(crate) fn detach() {
    if let Some(queue) = QUEUE.get() {
        queue.start();
    }
}

/// The queue of a service.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

fn writer(program: &str) -> Box<dyn Log> {
    if connected_to_journal() {
        match JournalLog::empty() {
            Ok(journal) => Box::new(JournalOrStandardError {
                journal: journal.with_syslog_identifier(program.to_owned()),
            }),
            // Standard error is connected to the journal as well, but without fields.
            Err(_) => Box::new(StandardError { priorities: true }),
        }
    } else {
        Box::new(StandardError { priorities: false })
    }
}

/// The message of a panic, if it is text.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Sends records to the journal or, if that fails because a chroot hides its socket, to
/// standard error.
///
/// Errors are always written to standard error, because one may be the last record of the
/// process: journald determines the unit of a structured record by looking up the process,
/// which on a busy machine has exited by then, and `journalctl -u` would not show why a
/// start has failed. For standard error, journald knows the unit from the service manager.
struct JournalOrStandardError {
    journal: JournalLog,
}

impl Log for JournalOrStandardError {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let may_be_the_last = record.level() == Level::Error;
        if may_be_the_last || self.journal.journal_send(record).is_err() {
            StandardError { priorities: true }.log(record);
        }
    }

    fn flush(&self) {}
}

/// Writes records to standard error.
struct StandardError {
    /// Whether lines begin with a priority that the journal understands
    /// (sd-daemon(3)) instead of a readable level.
    priorities: bool,
}

impl Log for StandardError {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // One write per record, so that records of several threads are not mixed. Errors
        // of standard error cannot be reported anywhere.
        let _ = io::stderr().write_all(line(record, self.priorities).as_bytes());
    }

    fn flush(&self) {}
}

/// A record as a line: `WARN  message (key=value)`.
fn line(record: &Record<'_>, priorities: bool) -> String {
    if record.target() == PLAIN {
        return format!("{}\n", record.args());
    }
    let prefix = if priorities {
        let priority = match record.level() {
            Level::Error => PRIORITY_ERROR,
            Level::Warn => 4,
            Level::Info => 5,
            Level::Debug => 6,
            Level::Trace => 7,
        };
        format!("<{priority}>")
    } else {
        String::new()
    };
    let mut line = if priorities {
        prefix.clone()
    } else {
        format!("{:<5} ", record.level())
    };
    let _ = write!(line, "{}", record.args());
    let mut fields = Fields(String::new());
    // The visitor below never fails.
    let _ = record.key_values().visit(&mut fields);
    if !fields.0.is_empty() {
        let _ = write!(line, " ({})", fields.0);
    }
    let mut line = without_controls(line);
    // A record of several lines must not look like several records. For the journal,
    // each line is a record with a priority.
    line = line.replace('\n', &format!("\n{prefix}      "));
    line.push('\n');
    line
}

/// Replaces what a terminal would obey instead of showing it. Names, keys and values of
/// files may contain anything.
pub fn without_controls(text: String) -> String {
    let is_obeyed = |char: char| match char {
        '\n' | '\t' => false,
        // Those that change the direction of the text after them (Unicode, annex 9).
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        char => char.is_control(),
    };
    if !text.contains(is_obeyed) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_obeyed(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

struct Fields(String);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        let _ = write!(self.0, "{key}={value}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_line(message: &str, fields: &[(&str, u64)], priorities: bool) -> String {
        line(
            &Record::builder()
                .level(Level::Warn)
                .args(format_args!("{message}"))
                .key_values(&fields)
                .build(),
            priorities,
        )
    }

    #[test]
    fn lines_are_readable() {
        assert_eq!(record_line("hello", &[], false), "WARN  hello\n");
        assert_eq!(
            record_line("hello", &[("a", 1), ("b", 2)], false),
            "WARN  hello (a=1 b=2)\n"
        );
        assert_eq!(
            record_line("two\nlines", &[], false),
            "WARN  two\n      lines\n"
        );
    }

    #[test]
    fn terminals_are_not_told_what_to_do() {
        assert_eq!(
            record_line("a\u{1b}[31m\r\u{9b}b\u{202e}\tö", &[], false),
            "WARN  a\\u{1b}[31m\\u{d}\\u{9b}b\\u{202e}\tö\n"
        );
    }

    #[test]
    fn lines_for_the_journal_have_priorities() {
        assert_eq!(record_line("hello", &[("a", 1)], true), "<4>hello (a=1)\n");
        assert_eq!(
            record_line("two\nlines", &[], true),
            "<4>two\n<4>      lines\n"
        );
    }
}
