//! Values that other workers send to a worker.

use std::mem;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::task;

use crate::sync::{Arc, AtomicBool, Mutex};

/// Memory that an inbox keeps while it is empty.
const SPARE_ITEMS: usize = 1 << 10;
const SPARE_BYTES: usize = 256 << 10;

/// Wakes a worker from any thread, so that it calls
/// [`woken`](crate::Protocol::woken).
#[derive(Clone)]
pub struct WorkerWaker(Arc<Kind>);

enum Kind {
    Mio(mio::Waker),
    Task(TaskWaker),
}

/// Wakes a task of an executor.
#[derive(Default)]
pub(crate) struct TaskWaker {
    is_woken: AtomicBool,
    task: Mutex<Option<task::Waker>>,
}

impl WorkerWaker {
    pub(crate) fn of_mio(waker: mio::Waker) -> Self {
        Self(Arc::new(Kind::Mio(waker)))
    }

    pub(crate) fn of_task() -> Self {
        Self(Arc::new(Kind::Task(TaskWaker::default())))
    }

    /// Wakes the worker.
    pub fn wake(&self) {
        match &*self.0 {
            // It fails only if the worker has ended, and needs no waking.
            Kind::Mio(waker) => drop(waker.wake()),
            Kind::Task(waker) => waker.wake(),
        }
    }

    /// The waker of the worker's task, if it has one.
    #[cfg_attr(
        not(feature = "glommio"),
        allow(dead_code, reason = "without glommio, only tests have tasks")
    )]
    pub(crate) fn task(&self) -> Option<&TaskWaker> {
        match &*self.0 {
            Kind::Mio(_) => None,
            Kind::Task(waker) => Some(waker),
        }
    }
}

impl TaskWaker {
    fn wake(&self) {
        self.is_woken.store(true, Release);
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }

    /// Whether the task was woken since the last call; if not, `task` is woken the next
    /// time.
    #[cfg_attr(
        not(feature = "glommio"),
        allow(dead_code, reason = "without glommio, only tests have tasks")
    )]
    pub(crate) fn register(&self, task: &task::Waker) -> bool {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
        self.is_woken.swap(false, AcqRel)
    }

    /// Forgets the task, which has ended.
    #[cfg_attr(
        not(feature = "glommio"),
        allow(dead_code, reason = "without glommio, only tests have tasks")
    )]
    pub(crate) fn unregister(&self) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Values of `T` for a worker, each with some bytes: bounded, and without an
/// allocation for each.
pub struct Inbox<T> {
    waiting: Mutex<Batch<T>>,
    waker: WorkerWaker,
    max_items: usize,
    max_bytes: usize,
}

/// Values that were taken out of an inbox.
#[derive(Debug)]
pub struct Batch<T> {
    /// Each value, with the end of its bytes.
    items: Vec<(T, usize)>,
    bytes: Vec<u8>,
}

/// The inbox has reached its maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker does not keep up with what others leave for it")]
pub struct InboxFull;

impl<T> Inbox<T> {
    /// An empty inbox of the worker of `waker`, which takes no more when it has
    /// `max_items` values or `max_bytes` bytes.
    pub fn new(waker: WorkerWaker, max_items: usize, max_bytes: usize) -> Self {
        Self {
            waiting: Mutex::new(Batch::new()),
            waker,
            max_items,
            max_bytes,
        }
    }

    /// The waker of the worker whose inbox it is.
    pub fn waker(&self) -> &WorkerWaker {
        &self.waker
    }

    /// Adds a value, with the bytes that `write` appends, and wakes the
    /// worker if the inbox was empty.
    ///
    /// # Errors
    ///
    /// When it is full; nothing is added then.
    pub fn put(&self, item: T, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), InboxFull> {
        let was_empty = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let Batch { items, bytes } = &mut *waiting;
            if items.len() >= self.max_items || bytes.len() >= self.max_bytes {
                return Err(InboxFull);
            }
            let was_empty = items.is_empty();
            write(bytes);
            items.push((item, bytes.len()));
            was_empty
        };
        if was_empty {
            self.waker.wake();
        }
        Ok(())
    }

    /// Exchanges all that is in the inbox for `batch`, which is emptied first.
    pub fn take(&self, batch: &mut Batch<T>) {
        batch.clear();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *waiting, batch);
    }
}

impl<T> Batch<T> {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            items: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// The values with their bytes, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&T, &[u8])> {
        let mut start = 0;
        self.items.iter().map(move |(item, end)| {
            let bytes = &self.bytes[start..*end];
            start = *end;
            (item, bytes)
        })
    }

    fn clear(&mut self) {
        self.items.clear();
        self.items.shrink_to(SPARE_ITEMS);
        self.bytes.clear();
        self.bytes.shrink_to(SPARE_BYTES);
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self::new()
    }
}
