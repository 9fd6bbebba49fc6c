//! The file of accounting: what is written, rotated, and kept through errors.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};
use aquatic_service::config::numbers::{Bytes, Count};

use super::*;

fn record(number: u64) -> Record {
    Record {
        epoch_seconds: 1_800_000_000,
        label: LabelText::new("alice"),
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId([8; 20]),
        traffic: Traffic {
            uploaded: Some(number),
            downloaded: Some(0),
            left: Some(0),
        },
        event: AnnounceEvent::None,
        source: Ipv4Addr::LOCALHOST.into(),
        port: Some(6881),
    }
}

/// A writer that a test drives turn by turn.
struct Fixture {
    directory: tempfile::TempDir,
    ledger: Option<Ledger>,
    writer: Writer,
    now: Instant,
}

/// The smallest possible limit.
const MIN_BYTES: u64 = 0x1_0000;

fn config(path: PathBuf) -> AccountingConfig {
    AccountingConfig {
        path,
        max_file_bytes: Bytes::of::<0x100_0000>(),
        max_files: Count::of::<3>(),
        ..AccountingConfig::default()
    }
}

/// With files of the smallest length.
fn rotating() -> Fixture {
    let fixture = fixture();
    *fixture.writer.shared.locked_config() = AccountingConfig {
        max_file_bytes: Bytes::of::<MIN_BYTES>(),
        ..config(fixture.path())
    };
    fixture.writer.shared.reopen.store(true, Relaxed);
    fixture
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::default());
    let config = config(directory.path().join("accounts"));
    let destination = Destination::new(&config, None).unwrap();
    *shared.locked_config() = config;
    let (sender, receiver) = sync_channel(QUEUE);
    Fixture {
        directory,
        ledger: Some(Ledger {
            sender,
            shared: shared.clone(),
        }),
        writer: Writer::new(destination, receiver, shared),
        now: Instant::now(),
    }
}

impl Fixture {
    fn path(&self) -> PathBuf {
        self.directory.path().join("accounts")
    }

    fn add(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.ledger.as_ref().unwrap().add(record(number));
        }
    }

    /// Lets a second pass, and takes a turn.
    fn turn(&mut self) -> Turn {
        self.now += Duration::from_secs(1);
        self.writer.turn(self.now)
    }

    fn work(&mut self) {
        while self.turn() == Turn::Busy {}
    }

    fn counts(&self) -> (u64, u64) {
        let shared = &self.writer.shared;
        (shared.written.value(), shared.dropped.value())
    }

    /// The files, the latest last.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort_unstable();
        if paths.first() == Some(&self.path()) {
            paths.rotate_left(1);
        }
        paths
    }
}

/// The numbers in a file; every line has to be whole.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines()
        .map(|line| {
            assert!(
                line.starts_with("{\"version\":1,") && line.ends_with('}'),
                "{line}"
            );
            let (_, rest) = line.split_once("\"uploaded\":").unwrap();
            rest.split(',').next().unwrap().parse().unwrap()
        })
        .collect()
}

#[test]
fn everything_is_written_once_and_in_order() {
    let mut fixture = rotating();
    assert_eq!(fixture.turn(), Turn::Idle);
    assert!(fixture.files().is_empty());
    fixture.add(0..10_000);
    fixture.work();
    let written: Vec<u64> = fixture
        .files()
        .iter()
        .flat_map(|path| numbers(path))
        .collect();
    // The oldest files are removed, as the limit says.
    assert_eq!(fixture.files().len(), 4);
    let first = written[0];
    assert!(first > 0, "{first}");
    assert!(written.into_iter().eq(first..10_000));
    for path in fixture.files() {
        assert!(fs::metadata(&path).unwrap().len() <= MIN_BYTES, "{path:?}");
    }
    assert_eq!(fixture.counts(), (10_000, 0));
}

#[test]
fn files_of_a_clock_that_was_wrong_are_older_and_no_name_prevents_others() {
    let mut fixture = rotating();
    let named = |time: &str| {
        let mut name = fixture.path().into_os_string();
        name.push(format!(".{time}-00"));
        PathBuf::from(name)
    };
    let ahead = ["20991231T000000Z", "20991231T000001Z"].map(named);
    for path in &ahead {
        fs::write(path, "").unwrap();
    }
    // A directory cannot be removed like a file.
    let directory = named("20000101T000000Z");
    fs::create_dir(&directory).unwrap();
    fixture.add(0..10_000);
    fixture.work();
    assert!(ahead.iter().all(|path| !path.exists()));
    let mut files = fixture.files();
    files.retain(|path| *path != directory);
    // The directory counts as one of the oldest, and all others beyond the limit are gone.
    assert_eq!(files.len(), 4, "{files:?}");
    let written: Vec<u64> = files.iter().flat_map(|path| numbers(path)).collect();
    assert_eq!(written.last(), Some(&9_999));
    assert!(written.windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

#[test]
fn the_thread_ends_when_all_workers_have() {
    let mut fixture = fixture();
    fixture.add([1, 2]);
    fixture.ledger = None;
    assert_eq!(fixture.turn(), Turn::Ended);
    assert_eq!(numbers(&fixture.path()), [1, 2]);
}

#[test]
fn what_does_not_fit_into_the_queue_is_counted() {
    let mut fixture = fixture();
    fixture.add(0..QUEUE as u64 + 100);
    assert_eq!(fixture.counts(), (0, 100));
    fixture.work();
    assert_eq!(fixture.counts(), (QUEUE as u64, 100));
}

#[test]
fn a_file_that_was_moved_or_removed_is_opened_again() {
    let mut fixture = fixture();
    let moved = fixture.directory.path().join("moved");
    fixture.add([1]);
    fixture.work();
    fs::rename(fixture.path(), &moved).unwrap();
    fixture.add([2]);
    fixture.work();
    assert_eq!(
        (numbers(&moved), numbers(&fixture.path())),
        (vec![1], vec![2])
    );
    fs::remove_file(fixture.path()).unwrap();
    fixture.add([3]);
    fixture.work();
    assert_eq!(numbers(&fixture.path()), [3]);
}

/// However quickly it happens: time does not pass.
#[test]
fn what_is_written_after_a_directory_was_removed_is_not_lost_with_it() {
    let mut fixture = fixture();
    let directory = fixture.directory.path().to_owned();
    let mut next = 0;
    for is_made_again in [true, false, true] {
        fixture.add(next..next + 1);
        let now = fixture.now;
        assert_eq!(fixture.writer.turn(now), Turn::Idle);
        assert_eq!(numbers(&fixture.path()), [next]);
        fs::remove_dir_all(&directory).unwrap();
        if is_made_again {
            fs::create_dir(&directory).unwrap();
        }
        fixture.add(next + 1..next + 3);
        if !is_made_again {
            assert!(matches!(fixture.writer.turn(now), Turn::Failed(_)));
            fs::create_dir(&directory).unwrap();
        }
        assert_eq!(fixture.writer.turn(now), Turn::Idle);
        assert_eq!(numbers(&fixture.path()), [next + 1, next + 2]);
        next += 3;
        fs::remove_file(fixture.path()).unwrap();
    }
    assert_eq!(fixture.counts(), (9, 0));
}

#[test]
fn a_torn_line_is_not_continued() {
    let mut fixture = fixture();
    fs::write(fixture.path(), "{\"version\":1,\"ti").unwrap();
    fixture.add([1]);
    fixture.work();
    let text = fs::read_to_string(fixture.path()).unwrap();
    assert!(
        text.starts_with("{\"version\":1,\"ti\n{\"version\":1,\"time\""),
        "{text}"
    );
}

#[test]
fn nothing_is_lost_while_the_file_cannot_be_written() {
    let mut fixture = rotating();
    let missing = fixture.directory.path().join("missing");
    symlink(missing.join("accounts"), fixture.path()).unwrap();
    fixture.add(0..1_000);
    for _ in 0..100 {
        assert!(matches!(fixture.turn(), Turn::Failed(_)));
    }
    assert_eq!(fixture.counts(), (0, 0));
    let error = fixture.writer.shared.locked_error().clone().unwrap();
    assert!(error.contains("No such file"), "{error}");
    fs::create_dir(&missing).unwrap();
    fixture.work();
    assert_eq!(fixture.counts(), (1_000, 0));
    assert_eq!(*fixture.writer.shared.locked_error(), None);
    // The file that it leads to is rotated, not the link.
    assert!(fixture.path().is_symlink());
    assert!(fs::read_dir(&missing).unwrap().count() >= 2);
}

#[test]
fn what_is_no_file_is_an_error_and_does_not_block() {
    let mut fixture = fixture();
    fs::create_dir(fixture.path()).unwrap();
    fixture.add([1]);
    assert!(matches!(fixture.turn(), Turn::Failed(_)));
    fs::remove_dir(fixture.path()).unwrap();
    assert_eq!(fixture.turn(), Turn::Idle);
    assert_eq!(numbers(&fixture.path()), [1]);
}

#[test]
fn what_cannot_be_written_at_the_end_is_counted() {
    let mut fixture = fixture();
    fs::create_dir(fixture.path()).unwrap();
    fixture.add(0..1_000);
    assert!(matches!(fixture.turn(), Turn::Failed(_)));
    fixture.writer.give_up();
    assert_eq!(fixture.counts(), (0, 1_000));
}

#[test]
fn limits_can_be_changed() {
    let mut fixture = rotating();
    fixture.add(0..10_000);
    fixture.work();
    assert_eq!(fixture.files().len(), 4);
    let shared = fixture.writer.shared.clone();
    let accounting = Accounting { shared };
    accounting.reconfigure(&AccountingConfig {
        max_file_bytes: Bytes::of::<MIN_BYTES>(),
        max_files: Count::of::<1>(),
        ..config(fixture.path())
    });
    fixture.add(0..1_000);
    fixture.work();
    assert_eq!(fixture.files().len(), 2);
}

/// Errors, moves and changes at random: no line is written twice, out of order, or torn, and
/// what is missing was counted.
#[test]
fn agrees_with_a_plain_list() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut fixture = fixture();
    *fixture.writer.shared.locked_config() = AccountingConfig {
        max_file_bytes: Bytes::of::<0x10_0000>(),
        max_files: Count::of::<1_000>(),
        ..config(fixture.path())
    };
    fixture.writer.shared.reopen.store(true, Relaxed);
    let aside = tempfile::tempdir().unwrap();
    let mut next = 0;
    let mut kept: BTreeMap<u64, ()> = BTreeMap::new();
    for step in 0..2_000 {
        let path = fixture.path();
        match random.u8(0..10) {
            0 if path.is_dir() => fs::remove_dir(&path).unwrap(),
            0 if path.exists() => {
                fs::rename(&path, aside.path().join(step.to_string())).unwrap();
            }
            1 if !path.exists() => fs::create_dir(&path).unwrap(),
            2 => fixture.writer.shared.reopen.store(true, Relaxed),
            _ => {
                let count = random.u64(0..200);
                fixture.add(next..next + count);
                next += count;
            }
        }
        let _ = fixture.turn();
    }
    if fixture.path().is_dir() {
        fs::remove_dir(fixture.path()).unwrap();
    }
    fixture.work();
    let moved = fs::read_dir(aside.path())
        .unwrap()
        .map(|it| it.unwrap().path());
    for path in fixture.files().into_iter().chain(moved) {
        let numbers = numbers(&path);
        assert!(numbers.is_sorted(), "{path:?}");
        for number in numbers {
            assert_eq!(kept.insert(number, ()), None, "{number} twice");
        }
    }
    assert_eq!(fixture.counts(), (next, 0));
    assert_eq!(kept.len() as u64, next);
}
