//! Awaiting a condition until a deadline, for conditions that can only be asked
//! for again and again.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that normally takes milliseconds. Long,
/// because it is only ever waited out when the test fails, and machines that run
/// tests can be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks `attempt` until it answers `Some`.
///
/// # Panics
/// When [`PATIENCE`] has run out; the message names `what` was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain: {what}",
            PATIENCE.as_secs()
        );
        thread::sleep(PAUSE);
    }
}
