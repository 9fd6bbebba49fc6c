//! What the main thread of a daemon does again and again, a little at a time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::Figures;

/// A piece of work that is done in steps.
pub struct Chore<T> {
    /// Used by the main thread alone.
    state: Mutex<State<T>>,
    longest_step_nanoseconds: AtomicU64,
}

struct State<T> {
    work: T,
    next_step: Instant,
}

impl<T> Chore<T> {
    /// Its first step is due now.
    pub fn new(work: T) -> Self {
        Self {
            state: Mutex::new(State {
                work,
                next_step: Instant::now(),
            }),
            longest_step_nanoseconds: AtomicU64::new(0),
        }
    }

    /// Does a step if one is due; `step` returns the pause until the next.
    /// Returns how long nothing is due.
    pub fn tick(&self, now: Instant, step: impl FnOnce(&mut T) -> Duration) -> Duration {
        let mut state = self.locked();
        if now >= state.next_step {
            let start = Instant::now();
            state.next_step = now + step(&mut state.work);
            let nanoseconds = start.elapsed().as_nanos() as u64;
            self.longest_step_nanoseconds
                .fetch_max(nanoseconds, Relaxed);
        }
        state.next_step.saturating_duration_since(Instant::now())
    }

    /// Changes what is to be done; the next step is due at once.
    pub fn change(&self, change: impl FnOnce(&mut T)) {
        let mut state = self.locked();
        change(&mut state.work);
        state.next_step = Instant::now();
    }

    /// Adds how long a step took at most.
    pub fn add_figures(&self, figures: &mut Figures) {
        let longest_step = self.longest_step_nanoseconds.load(Relaxed);
        figures.gauge(
            "longest_housekeeping_step_seconds",
            "The longest time for which peers were forgotten in one go",
            &[],
            longest_step as f64 / 1e9,
        );
    }

    fn locked(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_done_when_they_are_due() {
        let chore = Chore::new(0);
        let start = Instant::now();
        let pause = Duration::from_secs(60);
        let step = |count: &mut i32| {
            *count += 1;
            pause
        };
        assert!(chore.tick(start, step) > pause / 2);
        assert!(chore.tick(start + pause / 2, step) > pause / 2);
        assert_eq!(chore.locked().work, 1);
        chore.change(|count| *count = 10);
        chore.tick(Instant::now(), step);
        assert_eq!(chore.locked().work, 11);
        chore.tick(start + pause * 2, step);
        assert_eq!(chore.locked().work, 12);
    }
}
