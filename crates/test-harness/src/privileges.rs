//! What a process may still do.

use std::fs;

/// The user ID of `nobody` and the group ID of `nogroup`.
const NOBODY: u32 = 65534;

/// Asserts that every thread of a process runs as `nobody`, has no capabilities, and
/// cannot gain any. Returns the number of threads.
///
/// # Panics
/// When a thread has privileges, or the process has ended.
#[track_caller]
pub fn assert_powerless(process_id: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{process_id}/task")).expect("read the threads");
    let mut threads = 0;
    for task in tasks {
        let path = task.expect("read the threads").path().join("status");
        let status = fs::read_to_string(path).expect("read the status of a thread");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let values = line.unwrap_or_else(|| panic!("{name} in {status}"));
            values.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let four_times = format!("{NOBODY} {NOBODY} {NOBODY} {NOBODY}");
        assert_eq!(field("Uid:"), four_times);
        assert_eq!(field("Gid:"), four_times);
        assert_eq!(field("Groups:"), "");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        threads += 1;
    }
    threads
}
