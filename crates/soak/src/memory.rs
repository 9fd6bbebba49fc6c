//! Memory that the trackers have allocated, without that of the tests.
//!
//! Each test is a thread, and a tracker runs in the thread of its test, so allocations of
//! the thread count while [`counted`] runs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt;

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with a counter.
#[derive(Debug)]
pub struct Counting;

fn add(bytes: isize) {
    // A thread that is ending does not allocate for a tracker.
    let is_counted = IS_COUNTED.try_with(Cell::get).unwrap_or(false);
    if is_counted {
        let _ = BYTES.try_with(|total| total.set(total.get() + bytes));
    }
}

/// The size of an allocation, which is at most `isize::MAX`.
fn size(layout: Layout) -> isize {
    layout.size() as isize
}

// SAFETY: every call is passed on unchanged to the system's allocator, which obeys the
// contract; counting only changes numbers in thread-local storage, which needs no
// allocation.
#[allow(unsafe_code, reason = "an allocator can only be made so")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(size(layout));
        // SAFETY: the caller obeys the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(-size(layout));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(new_size as isize - size(layout));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs a function whose allocations count.
pub fn counted<T>(action: impl FnOnce() -> T) -> T {
    let before = IS_COUNTED.replace(true);
    let value = action();
    IS_COUNTED.set(before);
    value
}

/// Within [`counted`], runs a function of the test, whose allocations do not count.
pub fn uncounted<T>(action: impl FnOnce() -> T) -> T {
    let before = IS_COUNTED.replace(false);
    let value = action();
    IS_COUNTED.set(before);
    value
}

/// Bytes that are allocated by this thread and count.
#[must_use]
pub fn bytes() -> isize {
    BYTES.get()
}

/// The maximum of each day.
#[derive(Debug, Default)]
pub struct Days(Vec<isize>);

impl Days {
    /// Records what is used on a day, counted from zero.
    pub fn note(&mut self, day: u64) {
        let day = usize::try_from(day).unwrap_or(usize::MAX);
        while self.0.len() <= day {
            self.0.push(0);
        }
        self.0[day] = self.0[day].max(bytes());
    }

    /// Asserts that memory does not grow: the last third of the days needed little more than
    /// the first. A run of a few days is too short to tell.
    ///
    /// # Panics
    /// If it grows.
    pub fn assert_steady(&self) {
        let third = self.0.len() / 3;
        if third < 4 {
            return;
        }
        let most = |days: &[isize]| days.iter().copied().max().unwrap_or(0);
        let first = most(&self.0[..third]);
        let last = most(&self.0[self.0.len() - third..]);
        assert!(
            last <= first + first / 4,
            "memory grows from {first} to {last} bytes: {:?}",
            self.0
        );
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.0.iter().copied().max().unwrap_or(0);
        write!(
            f,
            "at most {} KiB, at the end {}",
            most >> 10,
            bytes() >> 10
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counted_allocations_count() {
        let before = bytes();
        let kept = counted(|| vec![0_u8; 1_000]);
        let other = vec![0_u8; 5_000];
        assert_eq!(bytes() - before, 1_000);
        let own = counted(|| uncounted(|| vec![0_u8; 3_000]));
        assert_eq!(bytes() - before, 1_000);
        counted(|| drop(kept));
        assert_eq!(bytes(), before);
        drop(own);
        drop(other);
    }

    #[test]
    fn growth_is_detected() {
        Days(vec![9, 10, 9, 10, 9, 10, 9, 10, 9, 10, 9, 12]).assert_steady();
        let growing = Days((1_i32..=30).map(|it| it as isize).collect());
        assert!(std::panic::catch_unwind(|| growing.assert_steady()).is_err());
    }
}
