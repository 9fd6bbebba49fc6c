//! Failed starts, and the increasing delay before the next one.
//!
//! systemd restarts a failed service, either because of its unit or because of input at
//! its socket, in the latter case immediately and indefinitely. A start that keeps
//! failing would load the machine and fill its journal. Therefore each failure is
//! recorded in the service's runtime directory (`RuntimeDirectoryPreserve=yes`), and
//! the next start waits before it tries. The status line shows this and the reason; the
//! sockets stay open meanwhile.
//!
//! The wait ends when the configuration changes. Stopping or restarting the service
//! during the wait clears the record.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{files, runtime_directory};

/// The name of the note in the runtime directory.
const NAME: &str = "failed-starts";

/// Maximum size of a note.
const MAX_BYTES: u64 = 64 * 1024;

/// Maximum length of a reason; longer ones are truncated.
const MAX_REASON_BYTES: usize = 2_000;

/// After serving for this long, a failure does not count as a failed start.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// The directory of credentials (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Interval at which a wait is checked for its end.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The note about failed starts; without a runtime directory, nothing is noted.
pub(super) struct Attempts {
    place: Option<PathBuf>,
    note: Option<Note>,
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// The configuration, or a file that it names.
    Configuration,
    /// Something else.
    Other,
}

/// Whether to try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Try.
    Go,
    /// Asked to stop.
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Number of consecutive failures.
    count: u32,
    kind: Kind,
    reason: String,
    /// Files whose change ends the wait, and their state at the failure.
    watched: Vec<(PathBuf, FileState)>,
}

/// State of a file, by which a change is noticed; `None` if there is none.
type FileState = Option<(i64, i64, u64, u64)>;

impl Attempts {
    /// Reads the note in the directory of `$RUNTIME_DIRECTORY`.
    pub(super) fn from_environment() -> Self {
        Self::at(runtime_directory::own().map(|directory| directory.join(NAME)))
    }

    fn at(place: Option<PathBuf>) -> Self {
        let read = |place: &PathBuf| {
            let bytes = files::read_regular(place, MAX_BYTES).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        Self {
            note: place.as_ref().and_then(read),
            place,
        }
    }

    /// Waits as long as the recorded failures require. `tell` is called with a status
    /// line, `is_stopped` returns whether the process was asked to stop.
    pub(super) fn wait(
        &mut self,
        mut tell: impl FnMut(&str),
        mut is_stopped: impl FnMut() -> bool,
    ) -> Decision {
        let Some(note) = &self.note else {
            return Decision::Go;
        };
        let pause = pause(note.kind, note.count).saturating_sub(self.age());
        let begun = Instant::now();
        if !pause.is_zero() {
            tell(&format!(
                "waiting {} seconds to try again, because the last start failed: {}",
                pause.as_secs().max(1),
                note.reason
            ));
        }
        while begun.elapsed() < pause && !note.is_changed() {
            if is_stopped() {
                self.forget();
                return Decision::Stop;
            }
            thread::sleep(POLL_INTERVAL);
        }
        Decision::Go
    }

    /// Records a failure; `served` is how long the service was running, and a change of
    /// one of the files in `watched` ends the next wait.
    pub(super) fn failed(
        &mut self,
        kind: Kind,
        reason: &str,
        served: Option<Duration>,
        watched: &[&Path],
    ) {
        let Some(place) = &self.place else { return };
        let before = self.note.as_ref().map_or(0, |note| note.count);
        let is_first = served.is_some_and(|served| served >= STEADY_AFTER);
        let note = Note {
            count: if is_first {
                1
            } else {
                before.saturating_add(1)
            },
            kind,
            reason: reason[..reason.floor_char_boundary(MAX_REASON_BYTES)].to_owned(),
            watched: watched
                .iter()
                .filter(|path| !is_credential(path))
                .map(|path| ((*path).to_owned(), file_state(path)))
                .collect(),
        };
        // Without a note the next start is not delayed, which is no worse than the reason
        // for which it cannot be written.
        let written = serde_json::to_vec(&note).map(|bytes| fs::write(place, bytes));
        if !matches!(written, Ok(Ok(()))) {
            log::debug!("cannot record the failed start in {}", place.display());
        }
        self.note = Some(note);
    }

    /// Clears the record: the next start is not delayed.
    pub(super) fn forget(&mut self) {
        self.note = None;
        if let Some(place) = &self.place {
            // Usually there is none.
            let _ = fs::remove_file(place);
        }
    }

    /// How long ago the last failure was, according to the wall clock.
    fn age(&self) -> Duration {
        let modified = self
            .place
            .as_ref()
            .and_then(|place| fs::metadata(place).and_then(|data| data.modified()).ok());
        modified
            .and_then(|modified| SystemTime::now().duration_since(modified).ok())
            .unwrap_or_default()
    }
}

impl Note {
    fn is_changed(&self) -> bool {
        self.watched
            .iter()
            .any(|(path, seen)| file_state(path) != *seen)
    }
}

/// The delay after this many consecutive failures.
fn pause(kind: Kind, count: u32) -> Duration {
    let doubled = |seconds: u64, times: u32| {
        let factor = 1u64.checked_shl(times.min(16)).unwrap_or(u64::MAX);
        Duration::from_secs(seconds.saturating_mul(factor)).min(MAX_PAUSE)
    };
    match (kind, count) {
        (_, 0) => Duration::ZERO,
        // It has to be corrected by an operator, who sees the failure immediately.
        (Kind::Configuration, count) => doubled(15, count - 1),
        // After a single failure, the service is restarted after RestartSec=.
        (Kind::Other, 1) => Duration::ZERO,
        (Kind::Other, count) => doubled(1, count - 2),
    }
}

/// Whether a file is a credential: systemd writes it anew for each start, so it looks
/// changed even if it is not.
fn is_credential(path: &Path) -> bool {
    env::var_os(CREDENTIALS).is_some_and(|directory| path.starts_with(directory))
}

fn file_state(path: &Path) -> FileState {
    let data = fs::metadata(path).ok()?;
    // The status change time also covers permissions and owners.
    Some((data.ctime(), data.ctime_nsec(), data.size(), data.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn seconds(kind: Kind, counts: std::ops::Range<u32>) -> Vec<u64> {
        counts.map(|count| pause(kind, count).as_secs()).collect()
    }

    #[test]
    fn pauses_grow_up_to_a_minute() {
        assert_eq!(seconds(Kind::Configuration, 0..5), [0, 15, 30, 60, 60]);
        assert_eq!(
            seconds(Kind::Other, 0..10),
            [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
        );
        assert_eq!(pause(Kind::Other, u32::MAX), MAX_PAUSE);
    }

    #[test]
    fn waits_until_the_file_is_changed() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join(NAME);
        let config = directory.path().join("config");
        fs::write(&config, "wrong").unwrap();
        let mut first = Attempts::at(Some(place.clone()));
        assert_eq!(
            first.wait(|_| panic!("no reason to wait"), || false),
            Decision::Go
        );
        first.failed(Kind::Configuration, "all wrong", None, &[&config]);

        let mut told = String::new();
        let begun = Instant::now();
        let mut second = Attempts::at(Some(place.clone()));
        let mut polls = 0;
        let decision = second.wait(
            |text| text.clone_into(&mut told),
            || {
                polls += 1;
                if polls == 3 {
                    fs::write(&config, "right now").unwrap();
                }
                false
            },
        );
        assert_eq!(decision, Decision::Go);
        assert!(polls >= 3 && begun.elapsed() < Duration::from_secs(10));
        assert!(told.ends_with("all wrong"), "{told}");

        // Failures are added up, unless the daemon had served for a while in between.
        second.failed(Kind::Other, "x", Some(Duration::from_secs(1)), &[]);
        assert_eq!(second.note.as_ref().unwrap().count, 2);
        second.failed(Kind::Other, "x", Some(STEADY_AFTER), &[&config]);
        let note = second.note.as_ref().unwrap();
        assert_eq!(note.count, 1);
        // A change of permissions counts, too: they may have caused the failure.
        assert!(!note.is_changed());
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(note.is_changed());
        second.forget();
        assert!(Attempts::at(Some(place)).note.is_none());
    }

    #[test]
    fn a_stop_ends_the_waiting_for_good() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join(NAME);
        Attempts::at(Some(place.clone())).failed(Kind::Configuration, "x", None, &[]);
        let mut attempts = Attempts::at(Some(place.clone()));
        assert_eq!(attempts.wait(|_| (), || true), Decision::Stop);
        assert!(!place.exists());
    }

    #[test]
    fn a_damaged_note_is_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join(NAME);
        fs::write(&place, "{\"count\": ").unwrap();
        assert!(Attempts::at(Some(place)).note.is_none());
        assert!(Attempts::at(None).note.is_none());
    }
}
