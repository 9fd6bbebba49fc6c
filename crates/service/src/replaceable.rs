//! A value that the main thread replaces while workers use it.
//!
//! `arc_swap` would check for a new value at every access, but everything that is done for
//! a request has to see the same one.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A value that can be replaced as a whole, such as the settings.
#[derive(Debug, Default)]
pub struct Replaceable<T>(Arc<Shared<T>>);

#[derive(Debug, Default)]
struct Shared<T> {
    latest: Mutex<Arc<T>>,
    /// How often it was replaced; changed only while `latest` is locked.
    generation: AtomicU64,
}

/// The value as one worker sees it: that of its last [`refresh`](Self::refresh).
#[derive(Debug, Clone)]
pub struct View<T> {
    shared: Arc<Shared<T>>,
    value: Arc<T>,
    generation: u64,
}

impl<T> Replaceable<T> {
    /// Starts with this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            latest: Mutex::new(Arc::new(value)),
            generation: AtomicU64::new(0),
        }))
    }

    /// Replaces the value.
    pub fn replace(&self, value: T) {
        let mut latest = self.0.locked();
        *latest = Arc::new(value);
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    /// The current value.
    pub fn latest(&self) -> Arc<T> {
        Arc::clone(&self.0.locked())
    }

    /// A view for a worker.
    pub fn view(&self) -> View<T> {
        let shared = Arc::clone(&self.0);
        let (value, generation) = shared.current();
        View {
            shared,
            value,
            generation,
        }
    }
}

impl<T> Clone for Replaceable<T> {
    /// Another handle of the same value.
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    fn locked(&self) -> MutexGuard<'_, Arc<T>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> (Arc<T>, u64) {
        let latest = self.locked();
        let generation = self.generation.load(Ordering::Relaxed);
        (Arc::clone(&latest), generation)
    }
}

impl<T> View<T> {
    /// Takes over the value if it was replaced; returns whether it was. Between two calls,
    /// the value stays the same. This costs one load of a number that rarely changes.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        let is_replaced = self.shared.generation.load(Ordering::Acquire) != self.generation;
        if is_replaced {
            self.take();
        }
        is_replaced
    }

    #[cold]
    fn take(&mut self) {
        (self.value, self.generation) = self.shared.current();
    }
}

impl<T> Deref for View<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_view_changes_when_it_is_refreshed() {
        let replaceable = Replaceable::new(1);
        let mut view = replaceable.view();
        assert!(!view.refresh());
        replaceable.clone().replace(2);
        replaceable.replace(3);
        assert_eq!(
            (*view, *replaceable.latest(), *replaceable.view()),
            (1, 3, 3)
        );
        assert!(view.refresh());
        assert_eq!(*view, 3);
        assert!(!view.refresh());
    }

    #[test]
    fn values_come_in_order_and_the_last_one_arrives() {
        let replaceable = Replaceable::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                let mut view = replaceable.view();
                scope.spawn(move || {
                    let mut before = 0;
                    while *view < 10_000 {
                        if view.refresh() {
                            assert!(*view > before, "{} after {before}", *view);
                            before = *view;
                        }
                    }
                });
            }
            for value in 1..=10_000 {
                replaceable.replace(value);
            }
        });
    }
}
