//! What the system allows the process, read without changing it.
//!
//! Read from `/proc`, not by getrlimit(2): system call filters of hardened
//! services may forbid everything that has to do with limits.

use std::fs;

/// What a resource limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// No more than this.
    At(u64),
    /// No limit.
    Unlimited,
}

/// How many files the process may have open (the soft limit); `None` when that
/// cannot be found out.
pub fn open_files() -> Option<Limit> {
    from_proc("Max open files")
}

/// How many bytes of memory the process may lock (the soft limit); `None` when
/// that cannot be found out.
pub fn locked_memory_bytes() -> Option<Limit> {
    from_proc("Max locked memory")
}

/// The largest receive buffer that a process without privileges gets for a
/// socket (`net.core.rmem_max`), in bytes.
pub fn largest_receive_buffer_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?;
    text.trim().parse().ok()
}

/// A warning when fewer files may be open than a daemon needs.
pub fn open_files_warning(needed: u64) -> Option<String> {
    match open_files() {
        Some(Limit::At(limit)) if limit < needed => Some(format!(
            "{needed} files may have to be open at once, but the limit is {limit}; \
             raise it with LimitNOFILE= or `ulimit -n {needed}`"
        )),
        _ => None,
    }
}

/// A warning when the kernel will not grant a process without CAP_NET_ADMIN a
/// receive buffer of this size.
pub fn receive_buffer_warning(wanted_bytes: u64) -> Option<String> {
    let largest = largest_receive_buffer_bytes()?;
    (largest < wanted_bytes).then(|| {
        format!(
            "a receive buffer of {wanted_bytes} bytes is configured, but net.core.rmem_max is \
             {largest}; run `sysctl -w net.core.rmem_max={wanted_bytes}`, \
             set ReceiveBuffer= in the socket unit, or start as root"
        )
    })
}

fn from_proc(name: &str) -> Option<Limit> {
    parse(&fs::read_to_string("/proc/self/limits").ok()?, name)
}

/// Lines have a name, the soft limit, the hard limit and a unit.
fn parse(limits: &str, name: &str) -> Option<Limit> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(Limit::Unlimited),
        number => number.parse().ok().map(Limit::At),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            1024                 524288               files\n\
                    Max locked memory         unlimited            unlimited            bytes\n";
        assert_eq!(parse(text, "Max open files"), Some(Limit::At(1024)));
        assert_eq!(parse(text, "Max locked memory"), Some(Limit::Unlimited));
        assert_eq!(parse(text, "Max other"), None);
        assert!(Limit::At(u64::MAX) < Limit::Unlimited);

        assert!(open_files().is_some() && locked_memory_bytes().is_some());
    }

    #[test]
    fn warnings_say_what_would_be_right() {
        assert_eq!(open_files_warning(0), None);
        if let Some(Limit::At(limit)) = open_files() {
            let text = open_files_warning(limit + 1).unwrap();
            assert!(text.contains("LimitNOFILE="), "{text}");
        }
        assert_eq!(receive_buffer_warning(0), None);
        let text = receive_buffer_warning(u64::MAX).unwrap();
        assert!(text.contains("net.core.rmem_max"), "{text}");
    }
}
