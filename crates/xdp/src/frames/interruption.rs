//! Ends a consumer before one of its changes of shared memory, as SIGKILL would, and lets
//! the kernel act before each of them.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// How many changes are left until the end; `None` is no end.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    static MEANWHILE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

struct Interrupted;

/// Called before each change of shared memory.
pub(crate) fn step() {
    // What happens meanwhile makes changes of its own, before which nothing happens.
    let meanwhile = MEANWHILE.take();
    let left = LEFT.take();
    if let Some(mut act) = meanwhile {
        act();
        MEANWHILE.set(Some(act));
    }
    match left {
        None => {}
        Some(0) => panic::resume_unwind(Box::new(Interrupted)),
        Some(left) => LEFT.set(Some(left - 1)),
    }
}

/// Runs `action` until it ends or has made `changes`; `meanwhile` runs before each. Returns
/// nothing if it was interrupted.
pub(super) fn run<T>(
    changes: Option<usize>,
    meanwhile: impl FnMut() + 'static,
    action: impl FnOnce() -> T,
) -> Option<T> {
    LEFT.set(changes);
    MEANWHILE.set(Some(Box::new(meanwhile)));
    let result = panic::catch_unwind(AssertUnwindSafe(action));
    LEFT.set(None);
    MEANWHILE.set(None);
    match result {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<Interrupted>() => None,
        Err(panic) => panic::resume_unwind(panic),
    }
}
