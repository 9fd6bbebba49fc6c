//! Awaiting a condition until a deadline, for conditions that can only be asked
//! for again and again.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that normally takes milliseconds. It is long
/// because only a failing test waits for all of it, and machines that run tests can be
/// busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Calls `attempt` repeatedly until it returns `Some`.
///
/// # Panics
/// When [`PATIENCE`] is over; the message contains `what`.
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
