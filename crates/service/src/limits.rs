//! What the system allows the process.
//!
//! Read from `/proc`, not by getrlimit(2): system call filters of hardened
//! services may forbid everything that has to do with limits.

use std::fs;

use caps::{CapSet, Capability};
use nix::sys::resource::{self, Resource};

use crate::metrics::server::MOST_CONNECTIONS;

/// What a resource limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// No more than this.
    At(u64),
    /// No limit.
    Unlimited,
}

/// A soft limit, which counts, and the hard limit, up to which a process may
/// raise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    soft: Limit,
    hard: Limit,
}

/// How many bytes of memory the process may lock; `None` when that cannot be
/// found out.
pub fn locked_memory_bytes() -> Option<Limit> {
    from_proc("Max locked memory").map(|pair| pair.soft)
}

/// The largest receive buffer that a process without privileges gets for a
/// socket (`net.core.rmem_max`), in bytes.
pub fn largest_receive_buffer_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?;
    text.trim().parse().ok()
}

/// Descriptors that the service itself may need at any time, beside those that are
/// open when its workers start. Connections must leave so many free: a service that
/// has none left can neither be watched nor saved nor reloaded.
pub const RESERVED_FILES: u64 =
    METRICS_FILES + SNAPSHOT_FILES + RELOAD_FILES + SIGNAL_FILES + LOG_FILES;

/// All connections of the metrics server, and one that comes when it has as many.
const METRICS_FILES: u64 = MOST_CONNECTIONS as u64 + 1;
/// The snapshot and the scrape export with their directories, one after the other.
const SNAPSHOT_FILES: u64 = 4;
/// The access list, the certificate and its key, which are read at the same time,
/// each with what its path leads over.
const RELOAD_FILES: u64 = 6;
/// What wakes the thread that waits for signals.
const SIGNAL_FILES: u64 = 4;
/// The journal's socket, should it have to be opened again, and what is read of
/// `/proc` now and then.
const LOG_FILES: u64 = 4;

/// Sees to it that so many files may be open, as far as that needs no
/// privileges. Returns how many may be, if that is known and fewer.
pub fn allow_open_files(needed: u64) -> Option<u64> {
    let pair = open_files_limit()?;
    if pair.soft >= Limit::At(needed) {
        return None;
    }
    let (wanted, hard) = match pair.hard {
        Limit::At(hard) => (needed.min(hard), hard),
        Limit::Unlimited => (needed, resource::RLIM_INFINITY),
    };
    let soft = match pair.soft {
        Limit::At(soft) if soft >= wanted => soft,
        _ if resource::setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() => wanted,
        Limit::At(soft) => soft,
        Limit::Unlimited => return None,
    };
    (soft < needed).then_some(soft)
}

/// How many files are open; `None` when that cannot be found out.
pub fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // What is read just now is among them.
    Some((entries.count() as u64).saturating_sub(1))
}

/// How many files may be open now; `None` when there is no limit, or it cannot be
/// found out.
pub fn most_open_files() -> Option<u64> {
    match open_files_limit()?.soft {
        Limit::At(limit) => Some(limit),
        Limit::Unlimited => None,
    }
}

/// A note when [`allow_open_files`] could not allow as many to a process that is
/// started as this one was.
pub fn open_files_note(needed: u64) -> Option<String> {
    let hard = from_proc(OPEN_FILES)?.hard;
    (hard < Limit::At(needed)).then(|| {
        format!(
            "started from here, the tracker could have no more than {} of the {needed} files open \
             that network.max_connections may need; `ulimit -n {needed}` allows them. \
             A service of systemd has what LimitNOFILE= of its unit says",
            in_words(hard)
        )
    })
}

fn in_words(limit: Limit) -> String {
    match limit {
        Limit::At(limit) => limit.to_string(),
        Limit::Unlimited => "none".to_owned(),
    }
}

/// A note when the kernel will not grant a receive buffer of this size to a
/// process that is started as this one was.
pub fn receive_buffer_note(wanted_bytes: u64) -> Option<String> {
    // With this, a process may go beyond what the kernel usually grants.
    let is_free = caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_ADMIN);
    if is_free.unwrap_or(false) {
        return None;
    }
    receive_buffer_text(wanted_bytes)
}

fn receive_buffer_text(wanted_bytes: u64) -> Option<String> {
    let largest = largest_receive_buffer_bytes()?;
    (largest < wanted_bytes).then(|| {
        format!(
            "started from here, a socket would get {largest} of the {wanted_bytes} bytes of \
             receive buffer that are configured; `sysctl -w net.core.rmem_max={wanted_bytes}` \
             allows them. A socket of systemd has what ReceiveBuffer= of its unit says"
        )
    })
}

const OPEN_FILES: &str = "Max open files";

/// From `/proc`, or where that is missing, as in a directory that the process was
/// confined to, from the kernel: system call filters are not set up together with it.
fn open_files_limit() -> Option<Pair> {
    from_proc(OPEN_FILES).or_else(|| {
        let (soft, hard) = resource::getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        let limit = |number| match number {
            resource::RLIM_INFINITY => Limit::Unlimited,
            number => Limit::At(number),
        };
        Some(Pair {
            soft: limit(soft),
            hard: limit(hard),
        })
    })
}

fn from_proc(name: &str) -> Option<Pair> {
    parse(&fs::read_to_string("/proc/self/limits").ok()?, name)
}

/// Lines have a name, the soft limit, the hard limit and a unit.
fn parse(limits: &str, name: &str) -> Option<Pair> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = line.split_whitespace().map(|word| match word {
        "unlimited" => Some(Limit::Unlimited),
        number => number.parse().ok().map(Limit::At),
    });
    Some(Pair {
        soft: words.next()??,
        hard: words.next()??,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            1024                 524288               files\n\
                    Max locked memory         unlimited            unlimited            bytes\n";
        let files = Pair {
            soft: Limit::At(1024),
            hard: Limit::At(524_288),
        };
        assert_eq!(parse(text, OPEN_FILES), Some(files));
        let memory = Pair {
            soft: Limit::Unlimited,
            hard: Limit::Unlimited,
        };
        assert_eq!(parse(text, "Max locked memory"), Some(memory));
        assert_eq!(parse(text, "Max other"), None);
        assert!(Limit::At(u64::MAX) < Limit::Unlimited);

        assert!(from_proc(OPEN_FILES).is_some() && locked_memory_bytes().is_some());
    }

    #[test]
    fn the_soft_limit_of_files_is_raised_up_to_the_hard_one() {
        let Pair { soft, hard } = from_proc(OPEN_FILES).unwrap();
        let Limit::At(soft) = soft else { return };
        if Limit::At(soft + 1) <= hard {
            assert_eq!(open_files_note(soft + 1), None);
            assert_eq!(allow_open_files(soft + 1), None);
            let raised = from_proc(OPEN_FILES).unwrap();
            assert_eq!(raised.soft, Limit::At(soft + 1));
            assert_eq!(raised.hard, hard);
        }
        if let Limit::At(hard) = hard {
            // What may be had is had, though it is not enough.
            assert_eq!(allow_open_files(hard + 1), Some(hard));
            assert_eq!(most_open_files(), Some(hard));
            let text = open_files_note(hard + 1).unwrap();
            assert!(text.contains("LimitNOFILE="), "{text}");
            assert!(text.starts_with("started from here, "), "{text}");
        }
    }

    #[test]
    fn open_files_are_counted() {
        // Other tests open and close some at the same time.
        const MANY: usize = 200;
        let before = open_files().unwrap();
        let files: Vec<_> = (0..MANY)
            .map(|_| fs::File::open("/proc/self/limits").unwrap())
            .collect();
        let after = open_files().unwrap();
        assert!(after >= before + MANY as u64 / 2, "{before}, {after}");
        drop(files);
        assert!(open_files().unwrap() <= after - MANY as u64 / 2);
    }

    #[test]
    fn warnings_say_what_would_be_right() {
        assert_eq!(open_files_note(0), None);
        assert_eq!(allow_open_files(0), None);
        assert_eq!(receive_buffer_text(0), None);
        let text = receive_buffer_text(u64::MAX).unwrap();
        assert!(text.contains("net.core.rmem_max"), "{text}");
        assert!(text.starts_with("started from here, "), "{text}");
    }
}
