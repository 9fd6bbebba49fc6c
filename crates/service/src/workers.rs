//! Worker threads and their heartbeats.
//!
//! A worker owns its sockets and returns only after it was asked to stop. If it returns
//! earlier, fails or panics, the whole process ends, with a logged reason. Each worker
//! sends a heartbeat on every turn of its loop, at least once a second; the watchdog and
//! `/health` check them.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::logging::panic_text;

mod standalone;

pub use standalone::Standalone;

/// Maximum time between two heartbeats of an idle worker: it waits for events no longer
/// than this.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// A worker without a heartbeat for this long counts as stuck.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Longest name of a thread that Linux shows (`pthread_setname_np`).
const MAX_THREAD_NAME_LENGTH: usize = 15;

/// The workers of a daemon.
pub struct Workers {
    /// In the order in which they were started.
    entries: Vec<WorkerHandle>,
    /// Set once, when workers are to stop.
    stopping: Arc<AtomicBool>,
    /// Called by a worker's thread when it ends, with the worker's index.
    ended: Arc<dyn Fn(usize, End) + Send + Sync>,
}

impl Workers {
    /// Starts a worker on a new thread.
    ///
    /// `wake` interrupts the worker's wait for events, so that it checks
    /// [`Context::is_stopping`] soon; it is called from other threads, possibly after
    /// the worker has ended. `body` returns `Ok` only after it was asked to stop.
    ///
    /// # Errors
    ///
    /// When the operating system allows no further thread.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        wake: impl Fn() + Send + Sync + 'static,
        body: impl FnOnce(Context) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.start(name.into(), true, wake, body)
    }

    /// Like [`spawn`](Self::spawn), for a thread that serves no clients: it is not counted
    /// as a worker, and its heartbeats are not monitored, so it may wait for others.
    ///
    /// # Errors
    ///
    /// When the operating system allows no further thread.
    pub fn spawn_background(
        &mut self,
        name: impl Into<String>,
        wake: impl Fn() + Send + Sync + 'static,
        body: impl FnOnce(Context) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.start(name.into(), false, wake, body)
    }

    fn start(
        &mut self,
        name: String,
        serves_clients: bool,
        wake: impl Fn() + Send + Sync + 'static,
        body: impl FnOnce(Context) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let heartbeat = Arc::new(Heartbeat::default());
        let context = Context {
            name: name.clone(),
            beats: Cell::new(0),
            heartbeat: Arc::clone(&heartbeat),
            stopping: Arc::clone(&self.stopping),
        };
        let stopping = Arc::clone(&self.stopping);
        let ended = Arc::clone(&self.ended);
        let index = self.entries.len();

        let thread = thread::Builder::new()
            .name(thread_name(&name))
            .spawn(move || {
                let result = panic::catch_unwind(AssertUnwindSafe(|| body(context)));
                let end = match result {
                    Ok(Ok(())) if stopping.load(Ordering::Relaxed) => End::Asked,
                    Ok(Ok(())) => End::Failed("ended unexpectedly".to_owned()),
                    Ok(Err(error)) => End::Failed(format!("{error:#}")),
                    Err(payload) => End::Failed(panic_message(payload.as_ref())),
                };
                ended(index, end);
            })
            .with_context(|| format!("cannot start the thread of worker {name}"))?;

        self.entries.push(WorkerHandle {
            name,
            serves_clients,
            heartbeat,
            wake: Box::new(wake),
            thread: Some(thread),
            seen: Seen::now(),
            pinged: 0,
        });
        Ok(())
    }

    /// Number of workers, without background threads.
    pub fn len(&self) -> usize {
        let workers = self.entries.iter();
        workers.filter(|worker| worker.serves_clients).count()
    }

    /// Whether no worker was started.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts without workers. `ended` is called on the thread of each worker, just before
    /// it ends, with the worker's index in the order of starting, and the reason.
    pub(crate) fn new(ended: impl Fn(usize, End) + Send + Sync + 'static) -> Self {
        Self {
            entries: Vec::new(),
            stopping: Arc::default(),
            ended: Arc::new(ended),
        }
    }

    /// The name of the worker with this index.
    pub(crate) fn name(&self, index: usize) -> &str {
        self.entries
            .get(index)
            .map_or("unknown", |worker| worker.name.as_str())
    }

    /// Asks every worker to stop, and wakes it.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        for worker in &self.entries {
            (worker.wake)();
        }
    }

    /// Whether every worker has sent a heartbeat since this last returned `true`. Only
    /// then does systemd's watchdog get its ping.
    pub(crate) fn all_beat(&mut self) -> bool {
        let advanced = self
            .entries
            .iter()
            .filter(|worker| worker.serves_clients)
            .all(|worker| worker.heartbeat.beats() != worker.pinged);
        if advanced {
            for worker in &mut self.entries {
                worker.pinged = worker.heartbeat.beats();
            }
        }
        advanced
    }

    /// The names of workers that are stuck, and the time since their last heartbeat.
    pub(crate) fn stuck(&mut self, now: Instant) -> Vec<(String, Duration)> {
        let mut stuck = Vec::new();
        for worker in self.entries.iter_mut().filter(|it| it.serves_clients) {
            let beats = worker.heartbeat.beats();
            if beats != worker.seen.beats {
                worker.seen = Seen { beats, at: now };
            }
            let still = now.saturating_duration_since(worker.seen.at);
            if still >= STUCK_AFTER {
                stuck.push((worker.name.clone(), still));
            }
        }
        stuck
    }

    /// Joins the threads that have ended; returns the names of workers that still run.
    pub(crate) fn join_ended(&mut self) -> Vec<&str> {
        let mut running = Vec::new();
        for worker in &mut self.entries {
            if let Some(thread) = worker.thread.take_if(|thread| thread.is_finished()) {
                // A panic was caught inside the thread and passed to `ended`.
                let _ = thread.join();
            }
            if worker.thread.is_some() {
                running.push(worker.name.as_str());
            }
        }
        running
    }
}

/// What the service gives a worker: its name, its heartbeat, and the request to stop.
pub struct Context {
    name: String,
    beats: Cell<u64>,
    heartbeat: Arc<Heartbeat>,
    stopping: Arc<AtomicBool>,
}

impl Context {
    /// The name given at [`Workers::spawn`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a heartbeat: a relaxed store. To be called on every turn of the worker's
    /// loop, at least every [`HEARTBEAT_INTERVAL`].
    pub fn beat(&self) {
        let beats = self.beats.get().wrapping_add(1);
        self.beats.set(beats);
        self.heartbeat.beats.store(beats, Ordering::Relaxed);
    }

    /// Whether the worker was asked to stop: to answer requests that it has read, and
    /// return.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Why a worker ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It was asked to stop.
    Asked,
    /// It failed, panicked, or returned without being asked.
    Failed(String),
}

struct WorkerHandle {
    name: String,
    serves_clients: bool,
    heartbeat: Arc<Heartbeat>,
    wake: Box<dyn Fn() + Send + Sync>,
    thread: Option<JoinHandle<()>>,
    /// The heartbeats as of the last check by [`Workers::stuck`].
    seen: Seen,
    /// The heartbeats when [`Workers::all_beat`] last returned `true`.
    pinged: u64,
}

/// A number of heartbeats, and when it was first seen.
struct Seen {
    beats: u64,
    at: Instant,
}

impl Seen {
    fn now() -> Self {
        Self {
            beats: 0,
            at: Instant::now(),
        }
    }
}

/// How many heartbeats a worker has sent. It has cache lines of its own, because its
/// worker writes it on every turn: two lines, as processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Heartbeat {
    beats: AtomicU64,
}

impl Heartbeat {
    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    match panic_text(payload) {
        Some(text) => format!("panicked: {text}"),
        None => "panicked".to_owned(),
    }
}

/// The name that Linux shows for a worker's thread. A name with a zero byte would make
/// the start of the thread panic, and Linux truncates long names.
fn thread_name(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_graphic)
        .take(MAX_THREAD_NAME_LENGTH)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel, sync_channel};

    use super::*;

    /// Longer than any of these threads needs on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// No workers yet, and a channel that receives the end of each.
    fn workers() -> (Workers, Receiver<(usize, End)>) {
        let (sender, ends) = channel();
        let workers = Workers::new(move |index, end| {
            let _ = sender.send((index, end));
        });
        (workers, ends)
    }

    fn end_of(body: impl FnOnce(Context) -> anyhow::Result<()> + Send + 'static) -> String {
        let (mut workers, ends) = workers();
        workers.spawn("one", || (), body).unwrap();
        match ends.recv_timeout(PATIENCE).unwrap() {
            (0, End::Asked) => "asked".to_owned(),
            (0, End::Failed(reason)) => reason,
            (index, _) => panic!("worker {index}"),
        }
    }

    #[test]
    fn tells_why_a_worker_ended() {
        assert_eq!(end_of(|_| Ok(())), "ended unexpectedly");
        assert_eq!(
            end_of(|_| Err(anyhow::anyhow!("inner").context("outer"))),
            "outer: inner"
        );
        assert_eq!(end_of(|_| panic!("at {}", 1)), "panicked: at 1");
        assert_eq!(end_of(|_| panic!("plainly")), "panicked: plainly");
    }

    #[test]
    fn stops_and_joins() {
        let (mut workers, ends) = workers();
        let (wake, woken) = sync_channel(1);
        workers
            .spawn(
                "one",
                move || {
                    let _ = wake.try_send(());
                },
                move |context| {
                    while !context.is_stopping() {
                        context.beat();
                        woken.recv_timeout(PATIENCE)?;
                    }
                    Ok(())
                },
            )
            .unwrap();
        assert_eq!(workers.join_ended(), ["one"]);

        workers.stop();
        let end = ends.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(end, (0, End::Asked)), "{end:?}");
        let start = Instant::now();
        while !workers.join_ended().is_empty() {
            assert!(start.elapsed() < PATIENCE);
            thread::yield_now();
        }
    }

    #[test]
    fn notices_who_does_not_beat() {
        let (mut workers, _ends) = workers();
        let (go, turns) = sync_channel::<()>(0);
        let (done, beaten) = sync_channel(0);
        workers
            .spawn(
                "one",
                || (),
                move |context| {
                    while turns.recv().is_ok() {
                        context.beat();
                        done.send(())?;
                    }
                    Ok(())
                },
            )
            .unwrap();

        assert!(!workers.all_beat(), "no beat yet");
        go.send(()).unwrap();
        beaten.recv().unwrap();
        assert!(workers.all_beat());
        assert!(!workers.all_beat(), "no beat since");

        let now = Instant::now();
        assert!(workers.stuck(now).is_empty());
        let later = now + STUCK_AFTER;
        assert_eq!(workers.stuck(later), [("one".to_owned(), STUCK_AFTER)]);
        go.send(()).unwrap();
        beaten.recv().unwrap();
        assert!(workers.stuck(later).is_empty());
    }

    #[test]
    fn thread_names_are_what_linux_takes() {
        assert_eq!(thread_name("udp worker\0 number 12"), "udpworkernumber");
    }
}
