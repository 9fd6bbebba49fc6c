//! Metrics that every daemon has, about its process, lists and snapshot; and its
//! health.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::mem;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;

use super::{Metric, Metrics};
use crate::lists::Lists;
use crate::workers::STUCK_AFTER;

const BUILD_INFO: Metric =
    Metric::info("build_info", "Version of the daemon, as a label").labelled(&["version"]);
const START_TIME: Metric = Metric::gauge(
    "process_start_time_seconds",
    "Start time of the process, in seconds since the Unix epoch",
)
.of_any_process();
const CPU: Metric = Metric::counter(
    "process_cpu_seconds_total",
    "Processor time that the process has used, in user and system mode",
)
.of_any_process();
/// Memory that is in use.
pub const RESIDENT_MEMORY: Metric = Metric::gauge(
    "process_resident_memory_bytes",
    "Resident memory of the process",
)
.of_any_process();
const VIRTUAL_MEMORY: Metric = Metric::gauge(
    "process_virtual_memory_bytes",
    "Size of the address space of the process",
)
.of_any_process();
const OPEN_FDS: Metric =
    Metric::gauge("process_open_fds", "Open file descriptors").of_any_process();
const MAX_FDS: Metric = Metric::gauge(
    "process_max_fds",
    "Maximum number of open file descriptors (RLIMIT_NOFILE)",
)
.of_any_process();
const WORKERS: Metric = Metric::gauge("workers", "Worker threads");
const WORKERS_STUCK: Metric = Metric::gauge("workers_stuck", "Worker threads that are stuck");
const ACCESS_LIST_ENTRIES: Metric =
    Metric::gauge("access_list_entries", "Info hashes in the access list");
const ACCESS_LIST_TIMESTAMP: Metric = Metric::gauge(
    "access_list_loaded_timestamp_seconds",
    "When the access list was loaded, in seconds since the Unix epoch",
);
const LIST_ENTRIES: Metric = Metric::gauge(
    "list_entries",
    "Entries of each list that is configured: info hashes of the access list, ranges of \
     addresses of the ban list, prefixes of peer ids of the client list",
)
.labelled(&["list"]);
const LIST_FILES: Metric =
    Metric::gauge("list_files", "Files that each list was read from").labelled(&["list"]);
const LIST_MEMORY: Metric = Metric::gauge(
    "list_memory_bytes",
    "Memory that the entries of each list take",
)
.labelled(&["list"]);
const LIST_TIMESTAMP: Metric = Metric::gauge(
    "list_loaded_timestamp_seconds",
    "When each list was read, in seconds since the Unix epoch",
)
.labelled(&["list"]);
const LIST_LOAD_SECONDS: Metric =
    Metric::gauge("list_load_seconds", "How long it took to read each list").labelled(&["list"]);
const LAST_RELOAD_SUCCESSFUL: Metric = Metric::gauge(
    "last_reload_successful",
    "1 if the last reload succeeded, or none was requested yet; 0 if it failed",
);
const LAST_RELOAD_SUCCESS: Metric = Metric::gauge(
    "last_reload_success_timestamp_seconds",
    "End of the last successful reload, or the start, in seconds since the Unix epoch",
);
const RELOAD_FAILURES: Metric = Metric::counter(
    "reload_failures_total",
    "Failed reloads, which changed nothing, by what could not be read or used",
)
.labelled(&["what"]);
const NEED_RESTART: Metric = Metric::gauge(
    "restart_needed_keys",
    "Keys of the configuration that have changed and need a restart to take effect, as of the \
     last reload",
);
const SNAPSHOT_TIMESTAMP: Metric = Metric::gauge(
    "snapshot_timestamp_seconds",
    "When the last snapshot was begun, in seconds since the Unix epoch",
);
const SNAPSHOT_BYTES: Metric = Metric::gauge("snapshot_bytes", "Size of the last snapshot");
const SNAPSHOT_DURATION: Metric = Metric::gauge(
    "snapshot_write_seconds",
    "Time taken to write and sync the last snapshot",
);
const SNAPSHOT_FAILURES: Metric = Metric::counter(
    "snapshot_failures_total",
    "Snapshots that could not be written",
);
const SNAPSHOT_FAILING: Metric = Metric::gauge(
    "snapshot_failing",
    "1 if snapshots cannot be written, otherwise 0",
);

/// The metrics that every daemon has.
pub const METRICS: &[Metric] = &[
    BUILD_INFO,
    START_TIME,
    CPU,
    RESIDENT_MEMORY,
    VIRTUAL_MEMORY,
    OPEN_FDS,
    MAX_FDS,
    WORKERS,
    WORKERS_STUCK,
    ACCESS_LIST_ENTRIES,
    ACCESS_LIST_TIMESTAMP,
    LIST_ENTRIES,
    LIST_FILES,
    LIST_MEMORY,
    LIST_TIMESTAMP,
    LIST_LOAD_SECONDS,
    LAST_RELOAD_SUCCESSFUL,
    LAST_RELOAD_SUCCESS,
    RELOAD_FAILURES,
    NEED_RESTART,
    SNAPSHOT_TIMESTAMP,
    SNAPSHOT_BYTES,
    SNAPSHOT_DURATION,
    SNAPSHOT_FAILURES,
    SNAPSHOT_FAILING,
];

/// The state of the process, which the main thread updates for the metrics server.
pub(crate) struct Process {
    started: Instant,
    started_at: u64,
    page_bytes: u64,
    /// Opened at startup, because `/proc` is not accessible after a chroot.
    memory: Option<File>,
    lists: Lists,
    worker_count: AtomicU64,
    stuck: Mutex<Vec<(String, Duration)>>,
    /// When the main thread last ran an iteration of its loop, in milliseconds since the
    /// start.
    main_turn: AtomicU64,
    is_stopping: AtomicBool,
    snapshot: Mutex<SnapshotMetrics>,
    reloads: Mutex<Reloads>,
}

struct Reloads {
    /// Number of failed reloads of each item, by label.
    failures: BTreeMap<String, u64>,
    /// What has failed in the reload that is under way.
    current: Vec<String>,
    /// Why it leaves out the configuration.
    partial: Option<String>,
    last: LastReload,
    /// The end of the last one in which none failed, or the start of the process, in
    /// seconds since the Unix epoch.
    succeeded_at: u64,
}

/// What has become of the last reload.
#[derive(Debug, Default, Clone)]
pub(crate) struct LastReload {
    /// In seconds since 1970; `None` if there was none yet.
    pub(crate) ended_at: Option<u64>,
    /// Why items were not reloaded.
    pub(crate) failures: Vec<String>,
    /// Why the configuration was not reloaded, although the rest was.
    pub(crate) partial: Option<String>,
    /// Keys that were changed, and take effect when the daemon is restarted.
    pub(crate) needs_restart: Vec<String>,
}

#[derive(Default, Clone)]
pub(crate) struct SnapshotMetrics {
    pub(crate) taken_at: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) duration: Option<Duration>,
    failures: u64,
    /// Why snapshots cannot be written at present.
    pub(crate) unsaved: Option<String>,
}

impl Process {
    /// To be called before a chroot.
    pub(crate) fn new(memory: Option<File>, lists: Lists) -> Self {
        Self {
            started: Instant::now(),
            started_at: seconds_since_epoch(),
            page_bytes: page_bytes(),
            memory,
            lists,
            worker_count: AtomicU64::new(0),
            stuck: Mutex::default(),
            main_turn: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            snapshot: Mutex::default(),
            reloads: Mutex::new(Reloads {
                failures: BTreeMap::new(),
                current: Vec::new(),
                partial: None,
                last: LastReload::default(),
                succeeded_at: seconds_since_epoch(),
            }),
        }
    }

    /// Registers what a reload reads, so that no failures of it are counted as 0.
    pub(crate) fn is_reloadable(&self, what: &str) {
        self.reloads().failures.insert(label(what), 0);
    }

    /// A reload has failed because of this.
    pub(crate) fn reload_failed(&self, what: &str, reason: &str) {
        let mut reloads = self.reloads();
        reloads.current.push(reason.to_owned());
        *reloads.failures.entry(label(what)).or_default() += 1;
    }

    /// A reload has read that these keys differ from those in effect, and need a restart.
    pub(crate) fn needs_restart(&self, keys: Vec<String>) {
        self.reloads().last.needs_restart = keys;
    }

    /// A reload has taken over everything except the configuration.
    pub(crate) fn reload_was_partial(&self, reason: &str) {
        self.reloads().partial = Some(reason.to_owned());
    }

    /// A reload has ended.
    pub(crate) fn reload_ended(&self) {
        let mut reloads = self.reloads();
        let now = seconds_since_epoch();
        reloads.last = LastReload {
            ended_at: Some(now),
            failures: mem::take(&mut reloads.current),
            partial: reloads.partial.take(),
            needs_restart: mem::take(&mut reloads.last.needs_restart),
        };
        if reloads.last.failures.is_empty() {
            reloads.succeeded_at = now;
        }
    }

    /// What has become of the last reload.
    pub(crate) fn last_reload(&self) -> LastReload {
        self.reloads().last.clone()
    }

    /// Reports an iteration of the main thread, and the workers that are stuck.
    pub(crate) fn turn(&self, now: Instant, workers: usize, stuck: Vec<(String, Duration)>) {
        self.worker_count.store(workers as u64, Ordering::Relaxed);
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = stuck;
        let since_start = now.saturating_duration_since(self.started);
        self.main_turn
            .store(since_start.as_millis() as u64, Ordering::Relaxed);
    }

    /// A snapshot was restored at startup.
    pub(crate) fn snapshot_restored(&self, taken_at: u64) {
        self.with_snapshot(|metrics| metrics.taken_at = Some(taken_at));
    }

    /// A snapshot was written. Returns whether the previous attempt had failed.
    pub(crate) fn snapshot_written(&self, written: &crate::snapshot::Written) -> bool {
        self.with_snapshot(|metrics| {
            metrics.taken_at = Some(written.taken_at);
            metrics.bytes = Some(written.bytes);
            metrics.duration = Some(written.duration);
            metrics.unsaved.take().is_some()
        })
    }

    /// A snapshot could not be written.
    pub(crate) fn snapshot_failed(&self, reason: &str) {
        self.with_snapshot(|metrics| {
            metrics.failures += 1;
            metrics.unsaved = Some(reason.to_owned());
        });
    }

    /// Snapshots cannot be written, as a check before the first one has shown.
    pub(crate) fn cannot_save(&self, reason: &str) {
        self.with_snapshot(|metrics| metrics.unsaved = Some(reason.to_owned()));
    }

    /// Snapshots can be written at another place, or are disabled.
    pub(crate) fn can_save(&self) {
        self.with_snapshot(|metrics| metrics.unsaved = None);
    }

    /// Why snapshots cannot be written at present; `None` if they can, or are disabled.
    pub(crate) fn unsaved(&self) -> Option<String> {
        self.with_snapshot(|metrics| metrics.unsaved.clone())
    }

    /// It is stopping: nothing more is known of workers and the main thread.
    pub(crate) fn begins_to_stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Why the process is unhealthy; `None` if it is healthy.
    pub(crate) fn ailment(&self) -> Option<String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Some("the service is stopping".to_owned());
        }
        let now = self.started.elapsed();
        let turn = Duration::from_millis(self.main_turn.load(Ordering::Relaxed));
        let still = now.saturating_sub(turn);
        if still >= STUCK_AFTER {
            return Some(format!(
                "the main thread has been stuck for {} seconds",
                still.as_secs()
            ));
        }
        let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        let texts: Vec<_> = stuck
            .iter()
            .map(|(name, still)| {
                let seconds = still.as_secs();
                format!("worker {name} has been stuck for {seconds} seconds")
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    }

    /// When it was started, in seconds since 1970.
    pub(crate) fn started_at(&self) -> u64 {
        self.started_at
    }

    /// How long it has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Number of workers.
    pub(crate) fn workers(&self) -> u64 {
        self.worker_count.load(Ordering::Relaxed)
    }

    /// The lists of whom and what is served.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// What is known of snapshots.
    pub(crate) fn snapshot(&self) -> SnapshotMetrics {
        self.with_snapshot(|metrics| metrics.clone())
    }

    /// Adds the metrics of the process.
    pub(crate) fn add_metrics(&self, metrics: &mut Metrics) {
        metrics.add(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1u64);
        metrics.add(&START_TIME, &[], self.started_at);
        if let Some(seconds) = cpu_seconds() {
            metrics.add(&CPU, &[], seconds);
        }
        self.add_memory_metrics(metrics);
        if let Some(count) = open_file_descriptors() {
            metrics.add(&OPEN_FDS, &[], count);
        }
        if let Ok((maximum, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            metrics.add(&MAX_FDS, &[], maximum);
        }
        metrics.add(&WORKERS, &[], self.workers());
        let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.add(&WORKERS_STUCK, &[], stuck.len());
        drop(stuck);
        self.add_list_metrics(metrics);
        self.add_reload_metrics(metrics);
        self.add_snapshot_metrics(metrics);
    }

    /// Adds the memory of the process; the others are not plotted.
    pub(crate) fn add_memory_metrics(&self, metrics: &mut Metrics) {
        if let Some([all, resident]) = self.memory_bytes() {
            metrics.add(&VIRTUAL_MEMORY, &[], all);
            metrics.add(&RESIDENT_MEMORY, &[], resident);
        }
    }

    fn add_list_metrics(&self, metrics: &mut Metrics) {
        for facts in self.lists.facts() {
            let name = label(facts.what);
            let labels: &[&str] = &[&name];
            metrics.add(&LIST_ENTRIES, labels, facts.entries);
            metrics.add(&LIST_FILES, labels, facts.files);
            metrics.add(&LIST_MEMORY, labels, facts.memory_bytes);
            metrics.add(&LIST_TIMESTAMP, labels, facts.loaded_at);
            metrics.add(&LIST_LOAD_SECONDS, labels, facts.duration.as_secs_f64());
        }
        let list = &self.lists.access_list;
        if !list.is_off() {
            metrics.add(&ACCESS_LIST_ENTRIES, &[], list.current().len());
            metrics.add(&ACCESS_LIST_TIMESTAMP, &[], list.loaded_at());
        }
    }

    fn reloads(&self) -> MutexGuard<'_, Reloads> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_reload_metrics(&self, metrics: &mut Metrics) {
        let reloads = self.reloads();
        metrics.add(
            &LAST_RELOAD_SUCCESSFUL,
            &[],
            u64::from(reloads.last.failures.is_empty()),
        );
        metrics.add(&LAST_RELOAD_SUCCESS, &[], reloads.succeeded_at);
        metrics.add(&NEED_RESTART, &[], reloads.last.needs_restart.len());
        for (what, &count) in &reloads.failures {
            metrics.add(&RELOAD_FAILURES, &[what], count);
        }
    }

    fn add_snapshot_metrics(&self, metrics: &mut Metrics) {
        let snapshot = self.snapshot();
        if let Some(taken_at) = snapshot.taken_at {
            metrics.add(&SNAPSHOT_TIMESTAMP, &[], taken_at);
        }
        if let Some(bytes) = snapshot.bytes {
            metrics.add(&SNAPSHOT_BYTES, &[], bytes);
        }
        if let Some(duration) = snapshot.duration {
            metrics.add(&SNAPSHOT_DURATION, &[], duration.as_secs_f64());
        }
        metrics.add(&SNAPSHOT_FAILURES, &[], snapshot.failures);
        let is_failing = snapshot.unsaved.is_some();
        metrics.add(&SNAPSHOT_FAILING, &[], u64::from(is_failing));
    }

    fn with_snapshot<T>(&self, access: impl FnOnce(&mut SnapshotMetrics) -> T) -> T {
        access(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The size of the address space, and of what of it is resident.
    fn memory_bytes(&self) -> Option<[u64; 2]> {
        // The first two numbers are those of pages (proc_pid_statm(5)).
        let mut buffer = [0; 128];
        let length = self.memory.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(&buffer[..length]).ok()?;
        let mut pages = text.split_ascii_whitespace().map(str::parse::<u64>);
        let mut next = || Some(pages.next()?.ok()? * self.page_bytes);
        Some([next()?, next()?])
    }
}

/// The label of an item: `tls_certificate`.
fn label(what: &str) -> String {
    what.to_lowercase().replace(' ', "_")
}

/// Opens the file that contains the memory use.
pub(crate) fn open_memory() -> Option<File> {
    File::open("/proc/self/statm").ok()
}

/// The number of open files; `None` if `/proc` is not accessible after a chroot.
fn open_file_descriptors() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // The listing itself has one open.
    Some((entries.count() as u64).saturating_sub(1))
}

/// The processor time of all threads.
fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn page_bytes() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(4096)
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_list::{AccessList, InfoHashSet};

    fn process(list: AccessList) -> Process {
        Process::new(open_memory(), Lists::of_torrents(list))
    }

    #[test]
    fn metrics_are_plausible() {
        let set = InfoHashSet::parse("11".repeat(20).as_bytes()).unwrap();
        let process = process(AccessList::Deny(set));
        process.snapshot_written(&crate::snapshot::Written {
            bytes: 7,
            duration: Duration::from_millis(1500),
            taken_at: seconds_since_epoch() - 10,
        });
        process.snapshot_failed("disk on fire");
        process.is_reloadable("access list");
        process.is_reloadable("TLS certificate");
        process.reload_failed("TLS certificate", "expired");
        let mut metrics = Metrics::new("x");
        process.add_metrics(&mut metrics);
        let json = metrics.to_json();

        assert_eq!(json["x_build_info"][env!("CARGO_PKG_VERSION")], 1);
        assert!(json["process_resident_memory_bytes"].as_u64().unwrap() > 100_000);
        assert!(json["process_open_fds"].as_u64().unwrap() >= 3);
        assert_eq!(json["x_access_list_entries"], 1);
        let loaded_at = json["x_access_list_loaded_timestamp_seconds"].as_u64();
        assert!(seconds_since_epoch() - loaded_at.unwrap() < 100);
        assert!(json["process_cpu_seconds_total"].as_f64().unwrap() >= 0.0);
        assert!(json["process_max_fds"].as_u64().unwrap() >= 3);
        assert_eq!(
            json["x_reload_failures_total"],
            serde_json::json!({"access_list": 0, "tls_certificate": 1})
        );
        assert_eq!(json["x_snapshot_bytes"], 7);
        assert_eq!(json["x_snapshot_write_seconds"], 1.5);
        assert_eq!(json["x_snapshot_failures_total"], 1);
        assert_eq!(json["x_snapshot_failing"], 1);
        let taken_at = json["x_snapshot_timestamp_seconds"].as_u64().unwrap();
        assert!((10..100).contains(&(seconds_since_epoch() - taken_at)));
    }

    #[test]
    fn metrics_without_meaning_are_left_out() {
        let mut metrics = Metrics::new("x");
        process(AccessList::Off).add_metrics(&mut metrics);
        let json = metrics.to_json();
        assert!(json.get("x_access_list_entries").is_none());
        assert!(json.get("x_snapshot_timestamp_seconds").is_none());
    }

    #[test]
    fn reloads_succeed_if_no_part_fails() {
        let process = process(AccessList::Off);
        let is_successful = || {
            let mut metrics = Metrics::new("x");
            process.add_metrics(&mut metrics);
            metrics.to_json()["x_last_reload_successful"] == 1
        };
        assert!(is_successful());
        process.reload_failed("access list", "line 1");
        process.reload_ended();
        assert!(!is_successful());
        process.reload_ended();
        assert!(is_successful());
    }

    #[test]
    fn what_is_not_saved_is_known_until_it_is() {
        let process = process(AccessList::Off);
        let written = crate::snapshot::Written {
            bytes: 7,
            duration: Duration::ZERO,
            taken_at: 1,
        };
        assert!(!process.snapshot_written(&written));
        process.cannot_save("read-only");
        assert_eq!(process.unsaved().unwrap(), "read-only");
        process.snapshot_failed("full");
        assert_eq!(process.unsaved().unwrap(), "full");
        assert_eq!(process.ailment(), None, "it serves all the same");
        assert!(process.snapshot_written(&written));
        assert_eq!(process.unsaved(), None);
    }

    #[test]
    fn ailments_are_named() {
        let mut process = process(AccessList::Off);
        assert_eq!(process.ailment(), None);

        let stuck = vec![("udp-1".to_owned(), Duration::from_secs(12))];
        process.turn(Instant::now(), 2, stuck);
        assert_eq!(
            process.ailment().unwrap(),
            "worker udp-1 has been stuck for 12 seconds"
        );
        process.turn(Instant::now(), 2, Vec::new());
        assert_eq!(process.ailment(), None);

        process.started -= STUCK_AFTER * 2;
        assert!(process.ailment().unwrap().starts_with("the main thread"));
        process.begins_to_stop();
        assert_eq!(process.ailment().unwrap(), "the service is stopping");
    }
}
