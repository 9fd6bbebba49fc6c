//! A list that workers use, and that the main thread replaces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

/// A list of an operator.
pub trait List: Default + Send + Sync + 'static {
    /// Its name in messages, and with `_` for spaces in metrics.
    const WHAT: &'static str;

    /// Whether it changes nothing, so that nothing has to be looked up in it.
    fn is_off(&self) -> bool;

    /// Number of its entries.
    fn entries(&self) -> usize;

    /// Memory that its entries take, in bytes.
    fn memory_bytes(&self) -> usize;

    /// Whether nothing is in it that its alarm is about.
    fn has_nothing(&self) -> bool {
        self.entries() == 0
    }

    /// Why it is probably not intended that it has replaced one with more entries.
    fn alarm(&self) -> Option<&'static str> {
        None
    }
}

/// A list, and how it was read.
#[derive(Debug, Clone, Default)]
pub struct Loaded<T> {
    /// The list.
    pub list: T,
    /// Number of files that it was read from.
    pub files: usize,
    /// How long that took.
    pub duration: Duration,
}

impl<T> From<T> for Loaded<T> {
    fn from(list: T) -> Self {
        Self {
            list,
            files: 0,
            duration: Duration::ZERO,
        }
    }
}

/// What metrics and the status page show of a list.
#[derive(Debug, Clone)]
pub struct ListFacts {
    /// Its name.
    pub what: &'static str,
    /// Number of its entries.
    pub entries: usize,
    /// Memory that they take, in bytes.
    pub memory_bytes: usize,
    /// Number of files that it was read from.
    pub files: usize,
    /// When it was read, in seconds since 1970.
    pub loaded_at: u64,
    /// How long that took.
    pub duration: Duration,
}

/// The list that workers use.
pub struct Handle<T> {
    current: ArcSwap<T>,
    /// Whether the list is off. This rarely changes, so checking it costs one predictable
    /// branch.
    is_off: AtomicBool,
    replacements: AtomicU64,
    loading: Mutex<Loading>,
}

#[derive(Debug, Clone, Copy)]
struct Loading {
    files: usize,
    at: u64,
    duration: Duration,
}

impl<T: List> Handle<T> {
    /// Starts with this list.
    pub fn new(loaded: impl Into<Loaded<T>>) -> Self {
        let Loaded {
            list,
            files,
            duration,
        } = loaded.into();
        Self {
            is_off: AtomicBool::new(list.is_off()),
            current: ArcSwap::from_pointee(list),
            replacements: AtomicU64::new(0),
            loading: Mutex::new(Loading {
                files,
                at: seconds_since_epoch(),
                duration,
            }),
        }
    }

    /// Whether nothing has to be looked up.
    #[inline]
    pub fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }

    /// The current list.
    #[inline]
    pub fn current(&self) -> arc_swap::Guard<Arc<T>> {
        self.current.load()
    }

    /// The current list, unless nothing has to be looked up in it.
    #[inline]
    pub fn if_on(&self) -> Option<arc_swap::Guard<Arc<T>>> {
        (!self.is_off()).then(|| self.current())
    }

    /// When the list was last loaded, in seconds since 1970.
    pub fn loaded_at(&self) -> u64 {
        self.loading().at
    }

    /// How many times the list was replaced.
    pub fn replacements(&self) -> u64 {
        self.replacements.load(Ordering::Acquire)
    }

    /// Replaces the list; returns the former one.
    pub fn replace(&self, loaded: impl Into<Loaded<T>>) -> Arc<T> {
        let Loaded {
            list,
            files,
            duration,
        } = loaded.into();
        let is_off = list.is_off();
        let former = self.current.swap(Arc::new(list));
        // Afterwards: until then, a list that is turned on is not consulted.
        self.is_off.store(is_off, Ordering::Relaxed);
        // Whoever sees this number also sees the list.
        self.replacements.fetch_add(1, Ordering::Release);
        *self.loading() = Loading {
            files,
            at: seconds_since_epoch(),
            duration,
        };
        former
    }

    /// Replaces the list, and logs that; returns whether there is or was one.
    pub(crate) fn replace_and_log(&self, loaded: Loaded<T>) -> bool {
        let was_configured = self.is_configured();
        let before = self.replace(loaded).entries();
        let current = self.current();
        let (what, entries) = (T::WHAT, current.entries());
        if !self.is_configured() {
            if was_configured {
                log::info!(before; "turned the {what} off");
            }
            return was_configured;
        }
        match current
            .alarm()
            .filter(|_| current.has_nothing() && before > entries)
        {
            Some(alarm) => log::warn!(
                entries, before;
                "the reloaded {what} has {entries} entries, the previous one had {before}: {alarm}"
            ),
            None => log::info!(entries, before; "reloaded the {what}"),
        }
        true
    }

    /// Logs what was read at the start, if anything.
    pub(crate) fn log_start(&self) {
        if self.is_configured() {
            log::info!(entries = self.current().entries(); "loaded the {}", T::WHAT);
        }
    }

    /// What is known of the list, if it is configured.
    pub(crate) fn facts(&self) -> Option<ListFacts> {
        let current = self.current();
        let Loading {
            files,
            at,
            duration,
        } = *self.loading();
        self.is_configured().then(|| ListFacts {
            what: T::WHAT,
            entries: current.entries(),
            memory_bytes: current.memory_bytes(),
            files,
            loaded_at: at,
            duration,
        })
    }

    /// Whether it has an effect, or was read from files that are empty.
    fn is_configured(&self) -> bool {
        !self.is_off() || self.loading().files > 0
    }

    fn loading(&self) -> MutexGuard<'_, Loading> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: List> Default for Handle<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
