//! A file with the counts of all torrents, written at intervals.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use aquatic_bittorrent::InfoHash;
use aquatic_service::config::ScrapeExportSettings;
use aquatic_service::files;
use aquatic_service::metrics::{Metric, Metrics};
use aquatic_swarm::{Scraped, Swarms, TorrentWalk};

/// The mode of the file: readable for all users, as far as the umask allows.
const MODE: u32 = 0o666;

const EXPORTS: Metric = Metric::counter(
    "scrape_exports_total",
    "Exports of all torrents to a file, by result: written or failed",
)
.labelled(&["result"]);

/// The metrics of scrape exports.
pub const SCRAPE_EXPORT_METRICS: &[Metric] = &[EXPORTS];

/// Writes the file when it is due.
pub struct ScrapeExport {
    /// Used by the main thread alone.
    schedule: Mutex<Schedule>,
    progress: Arc<Progress>,
}

/// When the file is to be written next.
struct Schedule {
    /// `None` if no file is configured.
    settings: Option<ScrapeExportSettings>,
    due: Option<Instant>,
}

/// What the main thread and the one that writes share.
#[derive(Default)]
struct Progress {
    is_running: AtomicBool,
    written: AtomicU64,
    failed: AtomicU64,
}

impl ScrapeExport {
    /// Writes for the first time after one interval.
    pub fn new(settings: Option<ScrapeExportSettings>, now: Instant) -> Self {
        Self {
            schedule: Mutex::new(Schedule {
                due: next(settings.as_ref(), now),
                settings,
            }),
            progress: Arc::default(),
        }
    }

    /// Changes the settings. If that changes anything, the next export is one interval
    /// later.
    pub fn reconfigure(&self, settings: Option<ScrapeExportSettings>, now: Instant) {
        let mut schedule = self.locked();
        if schedule.settings != settings {
            schedule.due = next(settings.as_ref(), now);
            schedule.settings = settings;
        }
    }

    /// Writes the file on a separate thread if it is due, unless the previous one is still
    /// being written. `write` is [`export_torrents`] of the daemon's swarms.
    pub fn run_if_due(
        &self,
        now: Instant,
        write: impl FnOnce(&Path) -> io::Result<u64> + Send + 'static,
    ) {
        let mut schedule = self.locked();
        let Some(settings) = schedule.settings.clone() else {
            return;
        };
        let is_due = schedule.due.is_some_and(|due| now >= due);
        if !is_due || self.progress.is_running.swap(true, Relaxed) {
            return;
        }
        schedule.due = next(Some(&settings), now);
        let progress = self.progress.clone();
        let write_and_log = move || {
            let start = Instant::now();
            let path = settings.path;
            match write(&path) {
                Ok(torrents) => {
                    progress.written.fetch_add(1, Relaxed);
                    log::info!(
                        path = path.display().to_string(),
                        torrents,
                        milliseconds = start.elapsed().as_millis() as u64;
                        "wrote the scrape export"
                    );
                }
                Err(error) => {
                    progress.failed.fetch_add(1, Relaxed);
                    log::error!("cannot write the scrape export {}: {error}", path.display());
                }
            }
            progress.is_running.store(false, Relaxed);
        };
        let thread = thread::Builder::new().name("scrape-export".to_owned());
        if let Err(error) = thread.spawn(write_and_log) {
            log::error!("cannot start the thread that writes the scrape export: {error}");
            self.progress.failed.fetch_add(1, Relaxed);
            self.progress.is_running.store(false, Relaxed);
        }
    }

    /// Adds the numbers of exports.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        let Progress {
            written, failed, ..
        } = &*self.progress;
        metrics.add(&EXPORTS, &["written"], written.load(Relaxed));
        metrics.add(&EXPORTS, &["failed"], failed.load(Relaxed));
    }

    fn locked(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the export is due that follows one at `now`.
fn next(settings: Option<&ScrapeExportSettings>, now: Instant) -> Option<Instant> {
    settings.map(|settings| now + settings.interval)
}

/// Replaces the file at `path` by one with all torrents; returns its number of lines without
/// the first.
///
/// Each line has an info hash, its address family (or `all`, where both share a swarm), and
/// its seeders, leechers and downloads, with tabs in between. The first line names them.
///
/// # Errors
///
/// If the file cannot be written; the former one stays then.
pub fn export_torrents(swarms: &impl Swarms, path: &Path) -> io::Result<u64> {
    files::replace(path, MODE, |file| {
        let mut file = BufWriter::new(file);
        writeln!(file, "info_hash\tfamily\tseeders\tleechers\tcompleted")?;
        let mut count = 0;
        for (number, (family, _)) in swarms.totals().into_iter().enumerate() {
            count += write_swarm(swarms, number, family, &mut file)?;
        }
        file.flush()?;
        Ok(count)
    })
}

/// Copies some lines at a time while a lock is held, and writes them afterwards.
fn write_swarm(
    swarms: &impl Swarms,
    number: usize,
    family: &str,
    file: &mut impl Write,
) -> io::Result<u64> {
    let mut torrents = Vec::<(InfoHash, Scraped)>::new();
    let mut count = 0;
    let mut walk = TorrentWalk::new();
    while swarms.walk(number, &mut walk, |hash, scraped| {
        torrents.push((*hash, scraped));
    }) {
        for (info_hash, scraped) in &torrents {
            let Scraped {
                seeders,
                leechers,
                completed,
            } = scraped;
            writeln!(
                file,
                "{info_hash}\t{family}\t{seeders}\t{leechers}\t{completed}"
            )?;
            count += 1;
        }
        torrents.clear();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use aquatic_bittorrent::AnnounceEvent;
    use aquatic_swarm::{Announce, Families, HashKey, Swarm, SwarmLimits, WebSwarms};

    use super::*;

    fn swarms<S>(new: impl FnOnce(HashKey, SwarmLimits) -> S) -> Arc<S> {
        Arc::new(new(HashKey::new([1; 16]), SwarmLimits::default()))
    }

    fn announce<const S: usize, const K: usize, const N: usize>(
        swarm: &Swarm<S, K, N>,
        torrent: u8,
        seeder: bool,
    ) {
        let announce = Announce {
            record: [torrent; S],
            is_seeder: seeder,
            event: AnnounceEvent::Completed,
            wanted: 0,
            now_seconds: 0,
            lifetime_seconds: 1,
        };
        let mut random = fastrand::Rng::with_seed(1);
        let mut locked = swarm.lock(&InfoHash([torrent; 20]));
        locked.announce(&announce, &mut random).unwrap();
    }

    fn run<S: Swarms + Send + Sync + 'static>(
        export: &ScrapeExport,
        swarms: &Arc<S>,
        now: Instant,
    ) {
        let swarms = swarms.clone();
        export.run_if_due(now, move |path| export_torrents(&*swarms, path));
    }

    fn finish(export: &ScrapeExport) {
        while export.progress.is_running.load(Relaxed) {
            thread::yield_now();
        }
    }

    fn counts(export: &ScrapeExport) -> (u64, u64) {
        let progress = &export.progress;
        (
            progress.written.load(Relaxed),
            progress.failed.load(Relaxed),
        )
    }

    #[test]
    fn lists_every_torrent_when_it_is_due() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("export");
        fs::write(&path, "of yesterday").unwrap();
        let swarms = swarms(Families::new);
        announce(&swarms.ipv4, 0x0a, true);
        announce(&swarms.ipv4, 0x0b, false);
        announce(&swarms.ipv6, 0x0a, false);

        let start = Instant::now();
        let export = ScrapeExport::new(None, start);
        run(&export, &swarms, start + Duration::from_secs(86_400));
        assert_eq!(counts(&export), (0, 0));
        let interval = Duration::from_secs(600);
        let settings = ScrapeExportSettings {
            interval,
            path: path.clone(),
        };
        export.reconfigure(Some(settings.clone()), start);
        // A reload without changes does not delay the export.
        export.reconfigure(Some(settings), start + interval / 2);
        run(&export, &swarms, start + interval - Duration::from_secs(1));
        assert!(!export.progress.is_running.load(Relaxed));
        assert_eq!(fs::read_to_string(&path).unwrap(), "of yesterday");

        run(&export, &swarms, start + interval);
        finish(&export);
        assert_eq!(counts(&export), (1, 0));
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines.remove(0),
            "info_hash\tfamily\tseeders\tleechers\tcompleted"
        );
        lines.sort_unstable();
        let hash = |byte: &str| byte.repeat(20);
        let expected = [
            format!("{}\tipv4\t1\t0\t1", hash("0a")),
            format!("{}\tipv6\t0\t1\t0", hash("0a")),
            format!("{}\tipv4\t0\t1\t0", hash("0b")),
        ];
        assert_eq!(lines, expected);
        // No temporary file is left.
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn webtorrent_may_have_one_swarm_or_two_and_failures_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        for are_families_apart in [false, true] {
            let swarms = swarms(|key, limits| WebSwarms::new(key, limits, are_families_apart));
            for swarm in swarms.all() {
                announce(swarm, 0x0a, true);
            }
            let path = directory.path().join("export");
            let settings = ScrapeExportSettings {
                interval: Duration::from_secs(60),
                path: path.clone(),
            };
            let start = Instant::now();
            let export = ScrapeExport::new(Some(settings), start);
            run(&export, &swarms, start + Duration::from_secs(60));
            finish(&export);
            let text = fs::read_to_string(&path).unwrap();
            let families: Vec<&str> = text
                .lines()
                .skip(1)
                .filter_map(|line| line.split('\t').nth(1))
                .collect();
            let expected: &[&str] = if are_families_apart {
                &["ipv4", "ipv6"]
            } else {
                &["all"]
            };
            assert_eq!(families, expected);

            let nowhere = ScrapeExportSettings {
                interval: Duration::from_secs(60),
                path: directory.path().join("none/export"),
            };
            export.reconfigure(Some(nowhere), start);
            run(&export, &swarms, start + Duration::from_secs(60));
            finish(&export);
            assert_eq!(counts(&export), (1, 1));
        }
    }
}
