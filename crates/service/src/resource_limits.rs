//! Resource limits of the process.
//!
//! They are read from `/proc`, not with getrlimit(2), because system call filters of
//! sandboxed services may forbid that.

use std::fs;

use caps::{CapSet, Capability};
use nix::sys::resource::{self, Resource};

use crate::metrics::server::MAX_CONNECTIONS;

/// The value of a resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// This maximum.
    At(u64),
    /// No limit.
    Unlimited,
}

/// A soft limit, which is in effect, and the hard limit, up to which a process may raise
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    soft: Limit,
    hard: Limit,
}

/// How many bytes of memory the process may lock; `None` if that is unknown.
pub fn locked_memory_bytes() -> Option<Limit> {
    from_proc(LOCKED_MEMORY).map(|pair| pair.soft)
}

/// The limits in effect of some process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many files it may open.
    pub open_files: Limit,
    /// How many bytes of memory it may lock.
    pub locked_memory_bytes: Limit,
}

impl Limits {
    /// Parses the file `limits` of a process in `/proc`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self {
            open_files: parse(text, OPEN_FILES)?.soft,
            locked_memory_bytes: parse(text, LOCKED_MEMORY)?.soft,
        })
    }
}

/// The largest receive buffer that a process without privileges gets for a
/// socket (`net.core.rmem_max`), in bytes.
pub fn largest_receive_buffer_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?;
    text.trim().parse().ok()
}

/// Descriptors that the service itself may need at any time, besides those that are open
/// when its workers start. Connections must leave this many free: without descriptors,
/// metrics, snapshots and reloads would fail.
pub const RESERVED_FILES: u64 =
    METRICS_FILES + SNAPSHOT_FILES + RELOAD_FILES + SIGNAL_FILES + LOG_FILES;

/// All connections of the metrics server, and one that is accepted when they are full.
const METRICS_FILES: u64 = MAX_CONNECTIONS as u64 + 1;
/// The snapshot and the scrape export with their directories.
const SNAPSHOT_FILES: u64 = 4;
/// The access list, the certificate and its key, which are read at the same time,
/// each with the directories of its path.
const RELOAD_FILES: u64 = 6;
/// The pipe that wakes the thread which waits for signals.
const SIGNAL_FILES: u64 = 4;
/// The journal's socket, if it has to be reopened, and files in `/proc` that are read at
/// intervals.
const LOG_FILES: u64 = 4;

/// Raises the limit of open files to `needed`, as far as possible without privileges.
/// Returns the limit if it is known and lower.
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

/// The number of open files; `None` if that is unknown.
pub fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // The directory that is being read is one of them.
    Some((entries.count() as u64).saturating_sub(1))
}

/// The limit of open files; `None` if there is none, or it is unknown.
pub fn max_open_files() -> Option<u64> {
    match open_files_limit()?.soft {
        Limit::At(limit) => Some(limit),
        Limit::Unlimited => None,
    }
}

/// A note if [`allow_open_files`] could not raise the limit to `needed` in a process that
/// is started in the same way as this one.
pub fn open_files_note(needed: u64) -> Option<String> {
    let hard = from_proc(OPEN_FILES)?.hard;
    (hard < Limit::At(needed)).then(|| {
        format!(
            "if started from this shell, the tracker could open only {} of the {needed} files that \
             network.max_connections may need; run `ulimit -n {needed}` first. A systemd service \
             uses LimitNOFILE= of its unit",
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

/// A note if the kernel will not grant a receive buffer of this size to a process that is
/// started in the same way as this one.
pub fn receive_buffer_note(wanted_bytes: u64) -> Option<String> {
    // With this capability, a process may exceed net.core.rmem_max.
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
            "if started from this shell, a socket would get only {largest} of the configured \
             {wanted_bytes} bytes of receive buffer; run `sysctl -w \
             net.core.rmem_max={wanted_bytes}` first. A systemd socket uses ReceiveBuffer= of its \
             unit"
        )
    })
}

const OPEN_FILES: &str = "Max open files";
const LOCKED_MEMORY: &str = "Max locked memory";

/// From `/proc` or, if that is missing, as in a chroot, from the kernel: a chroot is not
/// combined with system call filters.
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
        assert_eq!(parse(text, LOCKED_MEMORY), Some(memory));
        let both = Limits {
            open_files: files.soft,
            locked_memory_bytes: memory.soft,
        };
        assert_eq!(Limits::parse(text), Some(both));
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
            // The limit is raised as far as possible, although that is not enough.
            assert_eq!(allow_open_files(hard + 1), Some(hard));
            assert_eq!(max_open_files(), Some(hard));
            let text = open_files_note(hard + 1).unwrap();
            assert!(text.contains("LimitNOFILE="), "{text}");
            assert!(text.starts_with("if started from this shell, "), "{text}");
        }
    }

    #[test]
    fn open_files_are_counted() {
        // Other tests open and close files at the same time.
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
        assert!(text.starts_with("if started from this shell, "), "{text}");
    }
}
