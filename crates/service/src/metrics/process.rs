//! Metrics that every daemon has, about its process, access list and snapshot; and its
//! health.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::Metrics;
use crate::access_list;
use crate::workers::STUCK_AFTER;

/// The state of the process, which the main thread updates for the metrics server.
pub(crate) struct Process {
    started: Instant,
    started_at: u64,
    page_bytes: u64,
    /// Opened at startup, because `/proc` is not accessible after a chroot.
    memory: Option<File>,
    access_list: Arc<access_list::Handle>,
    worker_count: AtomicU64,
    stuck: Mutex<Vec<(String, Duration)>>,
    /// When the main thread last ran an iteration of its loop, in milliseconds since the
    /// start.
    main_turn: AtomicU64,
    snapshot: Mutex<SnapshotMetrics>,
    /// Number of failed reloads of each item, by label.
    reload_failures: Mutex<BTreeMap<String, u64>>,
}

#[derive(Default, Clone)]
struct SnapshotMetrics {
    taken_at: Option<u64>,
    bytes: Option<u64>,
    duration: Option<Duration>,
    failures: u64,
    /// Why snapshots cannot be written at present.
    unsaved: Option<String>,
}

impl Process {
    /// To be called before a chroot.
    pub(crate) fn new(memory: Option<File>, access_list: Arc<access_list::Handle>) -> Self {
        Self {
            started: Instant::now(),
            started_at: seconds_since_epoch(),
            page_bytes: page_bytes(),
            memory,
            access_list,
            worker_count: AtomicU64::new(0),
            stuck: Mutex::default(),
            main_turn: AtomicU64::new(0),
            snapshot: Mutex::default(),
            reload_failures: Mutex::default(),
        }
    }

    /// Registers an item that reloads read. Failures of other items are not counted.
    pub(crate) fn is_reloadable(&self, what: &str) {
        self.reload_failures().insert(label(what), 0);
    }

    /// A reload of this item has failed, and its previous state remains.
    pub(crate) fn reload_failed(&self, what: &str) {
        if let Some(count) = self.reload_failures().get_mut(&label(what)) {
            *count += 1;
        }
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

    /// Why snapshots cannot be written at present; `None` if they can, or are disabled.
    pub(crate) fn unsaved(&self) -> Option<String> {
        self.with_snapshot(|metrics| metrics.unsaved.clone())
    }

    /// Why the process is unhealthy; `None` if it is healthy.
    pub(crate) fn ailment(&self) -> Option<String> {
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

    /// Adds the metrics of the process.
    pub(crate) fn add_metrics(&self, metrics: &mut Metrics) {
        let stuck = self
            .stuck
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        metrics.gauge(
            "build_info",
            "Always 1, with the version as a label",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1u64,
        );
        metrics.gauge(
            "start_time_seconds",
            "Start time of the process, in seconds since the Unix epoch",
            &[],
            self.started_at,
        );
        metrics.gauge(
            "workers",
            "Worker threads",
            &[],
            self.worker_count.load(Ordering::Relaxed),
        );
        metrics.gauge("workers_stuck", "Worker threads that are stuck", &[], stuck);
        if let Some(bytes) = self.resident_memory_bytes() {
            metrics.gauge(
                "resident_memory_bytes",
                "Resident memory of the process",
                &[],
                bytes,
            );
        }
        if let Some(count) = open_file_descriptors() {
            metrics.gauge("open_file_descriptors", "Open file descriptors", &[], count);
        }
        self.add_access_list_metrics(metrics);
        self.reload_family(metrics);
        self.snapshot_family(metrics);
    }

    fn add_access_list_metrics(&self, metrics: &mut Metrics) {
        let list = &self.access_list;
        if list.is_off() {
            return;
        }
        metrics.gauge(
            "access_list_entries",
            "Info hashes in the access list",
            &[],
            list.current().len(),
        );
        metrics.gauge(
            "access_list_age_seconds",
            "Time since the access list was loaded",
            &[],
            seconds_since_epoch().saturating_sub(list.loaded_at()),
        );
    }

    fn reload_failures(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        let failures = self.reload_failures.lock();
        failures.unwrap_or_else(PoisonError::into_inner)
    }

    fn reload_family(&self, metrics: &mut Metrics) {
        for (what, &count) in self.reload_failures().iter() {
            metrics.counter(
                "reload_failures_total",
                "Failed reloads, after which the previous state stayed in effect",
                &[("what", what)],
                count,
            );
        }
    }

    fn snapshot_family(&self, metrics: &mut Metrics) {
        let snapshot = self.with_snapshot(|metrics| metrics.clone());
        if let Some(taken_at) = snapshot.taken_at {
            metrics.gauge(
                "snapshot_age_seconds",
                "Time since the last snapshot was started",
                &[],
                seconds_since_epoch().saturating_sub(taken_at),
            );
        }
        if let Some(bytes) = snapshot.bytes {
            metrics.gauge("snapshot_bytes", "Size of the last snapshot", &[], bytes);
        }
        if let Some(duration) = snapshot.duration {
            metrics.gauge(
                "snapshot_write_seconds",
                "Time taken to write and sync the last snapshot",
                &[],
                duration.as_secs_f64(),
            );
        }
        metrics.counter(
            "snapshot_failures_total",
            "Snapshots that could not be written",
            &[],
            snapshot.failures,
        );
        metrics.gauge(
            "snapshot_failing",
            "1 if snapshots cannot be written, otherwise 0",
            &[],
            u64::from(snapshot.unsaved.is_some()),
        );
    }

    fn with_snapshot<T>(&self, access: impl FnOnce(&mut SnapshotMetrics) -> T) -> T {
        access(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn resident_memory_bytes(&self) -> Option<u64> {
        // The second number is that of resident pages (proc_pid_statm(5)).
        let mut buffer = [0; 128];
        let length = self.memory.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(&buffer[..length]).ok()?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * self.page_bytes)
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
    use crate::access_list::{AccessList, Handle, InfoHashSet};

    fn process(list: AccessList) -> Process {
        Process::new(open_memory(), Arc::new(Handle::new(list)))
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
        process.reload_failed("TLS certificate");
        process.reload_failed("something else");
        let mut metrics = Metrics::new("x");
        process.add_metrics(&mut metrics);
        let json = metrics.to_json();

        assert_eq!(json["x_build_info"][env!("CARGO_PKG_VERSION")], 1);
        assert!(json["x_resident_memory_bytes"].as_u64().unwrap() > 100_000);
        assert!(json["x_open_file_descriptors"].as_u64().unwrap() >= 3);
        assert_eq!(json["x_access_list_entries"], 1);
        assert!(json["x_access_list_age_seconds"].as_u64().unwrap() < 100);
        assert_eq!(
            json["x_reload_failures_total"],
            serde_json::json!({"access_list": 0, "tls_certificate": 1})
        );
        assert_eq!(json["x_snapshot_bytes"], 7);
        assert_eq!(json["x_snapshot_write_seconds"], 1.5);
        assert_eq!(json["x_snapshot_failures_total"], 1);
        assert_eq!(json["x_snapshot_failing"], 1);
        assert!((10..100).contains(&json["x_snapshot_age_seconds"].as_u64().unwrap()));
    }

    #[test]
    fn metrics_without_meaning_are_left_out() {
        let mut metrics = Metrics::new("x");
        process(AccessList::Off).add_metrics(&mut metrics);
        let json = metrics.to_json();
        assert!(json.get("x_access_list_entries").is_none());
        assert!(json.get("x_snapshot_age_seconds").is_none());
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
    }
}
