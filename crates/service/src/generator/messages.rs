//! What a generator has to say.

use std::io::{self, Write as _};
use std::{env, fs, process};

use super::SUFFIX;
use crate::{Daemon, logging};

/// Set by systemd for its generators.
const INVOKED_BY_SYSTEMD: &str = "SYSTEMD_SCOPE";

/// Reports errors on standard error and, for a generator run by systemd, in the kernel
/// log: there is no journal yet during boot.
pub(super) fn say<D: Daemon>(text: &str) {
    let name = D::NAME;
    // Errors of standard error cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "{name}{SUFFIX}: {text}");
    if env::var_os(INVOKED_BY_SYSTEMD).is_none() {
        return;
    }
    let prefix = format!(
        "<{}>{name}{SUFFIX}[{}]: ",
        logging::PRIORITY_ERROR,
        process::id()
    );
    for record in kernel_records(&prefix, text) {
        // Opened for each record: the kernel accepts ten records in five seconds per open
        // file and drops the rest (kernel.printk_devkmsg).
        let Ok(mut log) = fs::OpenOptions::new().write(true).open("/dev/kmsg") else {
            return;
        };
        // One write is one record.
        let _ = log.write_all(record.as_bytes());
    }
}

/// Maximum size of a record that is written to the kernel log. The kernel rejects those
/// of more than about 1,000 bytes.
const MAX_RECORD_BYTES: usize = 900;

/// Maximum number of records per message.
const MAX_RECORDS: usize = 50;

/// The lines of a text as records of the kernel log, truncated if they are too long.
fn kernel_records(prefix: &str, text: &str) -> impl Iterator<Item = String> {
    text.lines().take(MAX_RECORDS).map(move |line| {
        let room = MAX_RECORD_BYTES.saturating_sub(prefix.len());
        let end = line.floor_char_boundary(room);
        format!("{prefix}{}\n", &line[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_every_record() {
        let text = format!("short\n{}\n\nlast", "é".repeat(2000));
        let records: Vec<_> = kernel_records("<3>name[1]: ", &text).collect();
        assert_eq!(records[0], "<3>name[1]: short\n");
        assert_eq!(records[3], "<3>name[1]: last\n");
        assert!((800..=MAX_RECORD_BYTES + 1).contains(&records[1].len()));
        let many = "line\n".repeat(1000);
        assert_eq!(kernel_records("", &many).count(), MAX_RECORDS);
    }
}
