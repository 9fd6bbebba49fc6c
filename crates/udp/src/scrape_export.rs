//! A file with the counts of all torrents, written at intervals.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use aquatic_bittorrent::InfoHash;
use aquatic_service::files;
use aquatic_swarm::{Scraped, Swarm, TorrentWalk};

use crate::config::ScrapeExportsConfig;
use crate::tracker::State;

/// The mode of the file: readable for all users, as far as the umask allows.
const MODE: u32 = 0o666;

/// When the file is to be written next.
pub(crate) struct ScrapeExport {
    config: ScrapeExportsConfig,
    /// `None` if no file is configured.
    due: Option<Instant>,
    is_running: Arc<AtomicBool>,
}

impl ScrapeExport {
    /// Writes for the first time after one interval.
    pub(crate) fn new(config: &ScrapeExportsConfig, now: Instant) -> Self {
        Self {
            due: next(config, now),
            config: config.clone(),
            is_running: Arc::default(),
        }
    }

    /// Changes the configuration. If that changes anything, the next export is one interval
    /// later.
    pub(crate) fn reconfigure(&mut self, config: &ScrapeExportsConfig, now: Instant) {
        if self.config != *config {
            self.due = next(config, now);
            self.config.clone_from(config);
        }
    }

    /// Writes the file on a separate thread if it is due, unless the previous one is still
    /// being written.
    pub(crate) fn run_if_due(&mut self, state: &Arc<State>, now: Instant) {
        if self.due.is_none_or(|due| now < due) || self.is_running.swap(true, Relaxed) {
            return;
        }
        self.due = next(&self.config, now);
        let state = state.clone();
        let path = self.config.path.clone();
        let is_running = self.is_running.clone();
        let write_and_log = move || {
            let start = Instant::now();
            match write(&state, &path) {
                Ok(torrents) => log::info!(
                    path = path.display().to_string(),
                    torrents,
                    milliseconds = start.elapsed().as_millis() as u64;
                    "wrote the scrape export"
                ),
                Err(error) => {
                    log::error!("cannot write the scrape export {}: {error}", path.display());
                }
            }
            is_running.store(false, Relaxed);
        };
        let thread = thread::Builder::new().name("scrape-export".to_owned());
        if let Err(error) = thread.spawn(write_and_log) {
            log::error!("cannot start the thread that writes the scrape export: {error}");
            self.is_running.store(false, Relaxed);
        }
    }
}

/// When the export is due that follows one at `now`.
fn next(config: &ScrapeExportsConfig, now: Instant) -> Option<Instant> {
    let interval = config.frequency.duration();
    config.enable_scrape_exports.then(|| now + interval)
}

/// Replaces the file at `path`; returns its number of lines without the first.
///
/// Each line has an info hash, its address family, and its seeders, leechers
/// and downloads, with tabs in between. The first line names them.
fn write(state: &State, path: &Path) -> io::Result<u64> {
    files::replace(path, MODE, |file| {
        let mut file = BufWriter::new(file);
        writeln!(file, "info_hash\tfamily\tseeders\tleechers\tcompleted")?;
        let ipv4 = write_swarm(&state.swarms.ipv4, "ipv4", &mut file)?;
        let ipv6 = write_swarm(&state.swarms.ipv6, "ipv6", &mut file)?;
        file.flush()?;
        Ok(ipv4 + ipv6)
    })
}

/// Copies some lines at a time while a lock is held, and writes them afterwards.
fn write_swarm<const S: usize, const K: usize, const N: usize>(
    swarm: &Swarm<S, K, N>,
    family: &str,
    file: &mut impl Write,
) -> io::Result<u64> {
    let mut torrents = Vec::<(InfoHash, Scraped)>::new();
    let mut count = 0;
    let mut walk = TorrentWalk::new();
    while walk.step(swarm, |hash, scraped| torrents.push((*hash, scraped))) {
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
    use aquatic_service::lists::Lists;
    use aquatic_swarm::{Announce, Families, HashKey, SwarmLimits};

    use super::*;

    fn state() -> State {
        State {
            swarms: Families::new(HashKey::new([1; 16]), SwarmLimits::default()),
            lists: Lists::default(),
        }
    }

    fn announce<const S: usize, const N: usize>(swarm: &Swarm<S, S, N>, torrent: u8, seeder: bool) {
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

    #[test]
    fn lists_every_torrent_when_it_is_due() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("export");
        fs::write(&path, "of yesterday").unwrap();
        let state = Arc::new(state());
        announce(&state.swarms.ipv4, 0x0a, true);
        announce(&state.swarms.ipv4, 0x0b, false);
        announce(&state.swarms.ipv6, 0x0a, false);

        let start = Instant::now();
        let mut config = ScrapeExportsConfig {
            path: path.clone(),
            ..ScrapeExportsConfig::default()
        };
        let mut export = ScrapeExport::new(&config, start);
        assert!(export.due.is_none());
        config.enable_scrape_exports = true;
        let interval = config.frequency.duration();
        export.reconfigure(&config, start);
        // A reload without changes does not delay the export.
        export.reconfigure(&config, start + interval / 2);
        export.run_if_due(&state, start + interval - Duration::from_secs(1));
        assert!(!export.is_running.load(Relaxed));
        assert_eq!(fs::read_to_string(&path).unwrap(), "of yesterday");

        export.run_if_due(&state, start + interval);
        while export.is_running.load(Relaxed) {
            thread::yield_now();
        }
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
}
