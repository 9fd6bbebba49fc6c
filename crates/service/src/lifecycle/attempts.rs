//! Starts that fail, and the pause before the next one, which grows.
//!
//! systemd starts a failed service again, either because its unit says so or
//! because something arrived at its socket, which it does at once and for ever. A
//! start that goes on failing would burden the machine and fill its journal. So
//! each failure is noted in the service's runtime directory
//! (`RuntimeDirectoryPreserve=yes`), and the next start waits before it tries. That
//! it waits, and why, is in the status line; the sockets stay open meanwhile.
//!
//! It goes on at once when the configuration was changed. Whoever stops or restarts
//! it while it waits ends the waiting for good.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::files;

/// The name of the note in the runtime directory.
const NAME: &str = "failed-starts";

/// The most bytes of a note.
const MOST_BYTES: u64 = 64 * 1024;

/// The most bytes of a reason that are kept.
const MOST_REASON_BYTES: usize = 2_000;

/// Who has served for so long did not fail to start.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often it is looked whether to go on.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// The note about failed starts; without a runtime directory, nothing is noted.
pub(super) struct Attempts {
    place: Option<PathBuf>,
    note: Option<Note>,
}

/// What is wrong with a start.
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
    /// How often in a row.
    count: u32,
    kind: Kind,
    reason: String,
    /// Files that can be mended, and what they looked like.
    watched: Vec<(PathBuf, Look)>,
}

/// What a file looks like from outside; `None` when there is none.
type Look = Option<(i64, i64, u64, u64)>;

impl Attempts {
    /// Looks what is noted in the directory of `$RUNTIME_DIRECTORY`.
    pub(super) fn from_environment() -> Self {
        let directory = std::env::var_os("RUNTIME_DIRECTORY");
        let first = directory.and_then(|list| std::env::split_paths(&list).next());
        Self::at(first.map(|directory| directory.join(NAME)))
    }

    fn at(place: Option<PathBuf>) -> Self {
        let read = |place: &PathBuf| {
            let bytes = files::read_regular(place, MOST_BYTES).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        Self {
            note: place.as_ref().and_then(read),
            place,
        }
    }

    /// Waits as long as the noted failures demand. `tell` gets a line for the status,
    /// `is_stopped` says whether the process was asked to end.
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
                "waiting {} seconds to try again, as the last start failed: {}",
                pause.as_secs().max(1),
                note.reason
            ));
        }
        while begun.elapsed() < pause && !note.is_mended() {
            if is_stopped() {
                self.forget();
                return Decision::Stop;
            }
            thread::sleep(LOOK_AFTER);
        }
        Decision::Go
    }

    /// Notes a failure; `served` is how long it had served, and `watched` are the
    /// files whose change is reason to try at once.
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
            reason: reason[..reason.floor_char_boundary(MOST_REASON_BYTES)].to_owned(),
            watched: watched
                .iter()
                .map(|path| ((*path).to_owned(), look(path)))
                .collect(),
        };
        // Without a note the next start tries at once, which is no worse than what
        // keeps it from being written.
        let written = serde_json::to_vec(&note).map(|bytes| fs::write(place, bytes));
        if !matches!(written, Ok(Ok(()))) {
            log::debug!("cannot note the failure in {}", place.display());
        }
        self.note = Some(note);
    }

    /// All is well: the next start need not wait.
    pub(super) fn forget(&mut self) {
        self.note = None;
        if let Some(place) = &self.place {
            // It mostly is not there.
            let _ = fs::remove_file(place);
        }
    }

    /// How long ago the last failure was, as far as the clock can be believed.
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
    fn is_mended(&self) -> bool {
        self.watched.iter().any(|(path, seen)| look(path) != *seen)
    }
}

/// The pause after so many failures in a row.
fn pause(kind: Kind, count: u32) -> Duration {
    let doubled = |seconds: u64, times: u32| {
        let factor = 1u64.checked_shl(times.min(16)).unwrap_or(u64::MAX);
        Duration::from_secs(seconds.saturating_mul(factor)).min(LONGEST_PAUSE)
    };
    match (kind, count) {
        (_, 0) => Duration::ZERO,
        // Mending takes a person, who is shown the failure at once.
        (Kind::Configuration, count) => doubled(15, count - 1),
        // A service that has failed for once is back after RestartSec=.
        (Kind::Other, 1) => Duration::ZERO,
        (Kind::Other, count) => doubled(1, count - 2),
    }
}

fn look(path: &Path) -> Look {
    let data = fs::metadata(path).ok()?;
    // That of the last change of any kind: of rights and owners, too.
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
        assert_eq!(pause(Kind::Other, u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn waits_until_the_file_is_mended() {
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
        let mut looks = 0;
        let decision = second.wait(
            |text| text.clone_into(&mut told),
            || {
                looks += 1;
                if looks == 3 {
                    fs::write(&config, "right now").unwrap();
                }
                false
            },
        );
        assert_eq!(decision, Decision::Go);
        assert!(looks >= 3 && begun.elapsed() < Duration::from_secs(10));
        assert!(told.ends_with("all wrong"), "{told}");

        // Failures count up, unless it had served for a while.
        second.failed(Kind::Other, "x", Some(Duration::from_secs(1)), &[]);
        assert_eq!(second.note.as_ref().unwrap().count, 2);
        second.failed(Kind::Other, "x", Some(STEADY_AFTER), &[&config]);
        let note = second.note.as_ref().unwrap();
        assert_eq!(note.count, 1);
        // What was wrong may be who may read the file.
        assert!(!note.is_mended());
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(note.is_mended());
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
