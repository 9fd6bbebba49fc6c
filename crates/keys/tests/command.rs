//! The program, as its users run it.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test fails the test, and says where"
)]

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

struct Place {
    directory: tempfile::TempDir,
    file: PathBuf,
}

struct Ran {
    is_success: bool,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys");
        Self { directory, file }
    }

    fn with(text: &str) -> Self {
        let place = Self::new();
        fs::write(&place.file, text).unwrap();
        fs::set_permissions(&place.file, Permissions::from_mode(0o640)).unwrap();
        place
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aquatic-keys"))
            .arg("-f")
            .arg(&self.file)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        Ran {
            is_success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let ran = self.run_with(arguments, "");
        assert!(ran.is_success, "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    #[track_caller]
    fn fail(&self, arguments: &[&str]) -> String {
        let ran = self.run_with(arguments, "");
        assert!(!ran.is_success, "{arguments:?}: {}", ran.stdout);
        assert_eq!(ran.stdout, "");
        ran.stderr
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// The files beside the file of keys.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

const ALICE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const BOB: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

#[test]
fn keys_are_made_listed_and_revoked() {
    let place = Place::new();
    let made = place.run(&[
        "make",
        "-n",
        "3",
        "--label",
        "al ice",
        "--expires",
        "2100-01-01",
    ]);
    let keys: Vec<&str> = made.lines().collect();
    assert_eq!(keys.len(), 3);
    for key in &keys {
        assert_eq!(key.len(), 40, "{key}");
        assert!(key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    }
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    let mode = fs::metadata(&place.file).unwrap().mode();
    assert_eq!(mode & 0o7137, 0, "{mode:o}");
    let expected = format!("{} 2100-01-01 al ice", keys[0]);
    assert!(place.text().starts_with(&expected), "{}", place.text());

    let other = place.run(&["make"]);
    let listed = place.run(&["list"]);
    let expected = "1\t2100-01-01\tal ice\n2\t2100-01-01\tal ice\n3\t2100-01-01\tal ice\n\
        4\tnever\t\n";
    assert_eq!(listed, expected);
    let shown = place.run(&["list", "--show"]);
    assert!(shown.contains(&format!("4\tnever\t\t{other}")), "{shown}");
    let checked = place.run(&["check"]);
    assert!(
        checked.ends_with("4 keys, 0 of them expired, 1 without a label\n"),
        "{checked}"
    );

    place.run(&["revoke", keys[1]]);
    assert_eq!(place.run(&["list"]).lines().count(), 3);
    place.run(&["revoke", "--label", "al ice"]);
    assert_eq!(place.text(), other);
    let ran = place.run_with(&["revoke", "-"], &format!("\n{other}"));
    assert!(ran.is_success, "{}", ran.stderr);
    assert!(ran.stderr.contains("systemctl reload"), "{}", ran.stderr);
    assert_eq!(place.text(), "");
    assert_eq!(place.names(), ["keys"]);
}

#[test]
fn everything_else_stays_as_it_is() {
    let before = format!("# ours\r\n{ALICE}  2000-01-01   alice # gone\n\n  {BOB} bob");
    let place = Place::with(&before);
    let made = place.run(&["make"]);
    assert_eq!(place.text(), format!("{before}\n{made}"));
    place.run(&["revoke", "--expired"]);
    assert_eq!(place.text(), format!("# ours\r\n\n  {BOB} bob\n{made}"));
    assert_eq!(fs::metadata(&place.file).unwrap().mode() & 0o7777, 0o640);
    // Root can give files to others, and this program must not take them back.
    if std::os::unix::fs::chown(&place.file, Some(12_345), Some(23_456)).is_ok() {
        fs::set_permissions(&place.file, Permissions::from_mode(0o440)).unwrap();
        place.run(&["make"]);
        let metadata = fs::metadata(&place.file).unwrap();
        let found = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        assert_eq!(found, (12_345, 23_456, 0o440));
    }
    let link = place.directory.path().join("link");
    symlink("keys", &link).unwrap();
    let linked = Place {
        directory: tempfile::tempdir().unwrap(),
        file: link.clone(),
    };
    let before = place.run(&["list"]).lines().count();
    linked.run(&["make"]);
    assert!(link.is_symlink());
    assert_eq!(place.run(&["list"]).lines().count(), before + 1);
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let before = format!("{ALICE} alice\n{BOB} 2000-02-30\n");
    let place = Place::with(&before);
    for arguments in [&["make"][..], &["revoke", "--label", "alice"], &["check"]] {
        let error = place.fail(arguments);
        assert!(error.contains("line 2: the date after the key"), "{error}");
        assert!(!error.contains(BOB), "{error}");
        assert_eq!(place.text(), before);
        assert_eq!(place.names(), ["keys"]);
    }
    let place = Place::with(&format!("{ALICE} alice\n"));
    assert!(
        place
            .fail(&["revoke", ALICE, BOB])
            .contains("1 of these 2 keys")
    );
    assert!(
        place
            .fail(&["revoke", "--label", "bob"])
            .contains("has the label \"bob\"")
    );
    let error = place.fail(&["revoke", "short-secret"]);
    assert!(
        error.contains("12 characters") && !error.contains("short-secret"),
        "{error}"
    );
    assert!(place.fail(&["revoke"]).contains("required"));
    assert!(place.fail(&["make", "--label", "a#b"]).contains('#'));
    assert!(
        place
            .fail(&["make", "--expires", "tomorrow"])
            .contains("2027-01-31")
    );
    assert!(place.fail(&["make", "-n", "0"]).contains("1..=1000000"));
    assert_eq!(place.text(), format!("{ALICE} alice\n"));

    let twice = Place::with(&format!("{ALICE}\n#\n{ALICE}\n"));
    assert!(
        twice
            .fail(&["check"])
            .contains("line 3: the key is also on line 1")
    );
    fs::set_permissions(&twice.file, Permissions::from_mode(0o644)).unwrap();
    assert!(twice.fail(&["check"]).contains("chmod o-rwx"));
    let missing = Place::new();
    assert!(missing.fail(&["list"]).contains("No such file"));
    assert!(missing.fail(&["revoke", ALICE]).contains("does not exist"));
    assert_eq!(missing.names(), [""; 0]);
}

#[test]
fn several_at_a_time_lose_nothing() {
    let place = Place::with("# here\n");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..3 {
                    place.run(&["make"]);
                }
            });
        }
    });
    assert_eq!(place.run(&["list"]).lines().count(), 24);
}

/// Any user can lock a directory that it may read.
#[test]
fn a_lock_of_the_directory_is_no_obstacle_and_what_was_left_is_used_again() {
    let place = Place::with("# here\n");
    let directory = File::open(place.directory.path()).unwrap();
    directory.lock().unwrap();
    fs::write(place.directory.path().join("keys.new"), "left by another\n").unwrap();
    place.run(&["make", "--label", "alice"]);
    let text = place.text();
    assert!(
        text.starts_with("# here\n") && text.ends_with(" alice\n"),
        "{text}"
    );
    assert_eq!(place.names(), ["keys"]);
}

#[test]
fn keys_that_nobody_could_use_are_not_made() {
    let place = Place::with(ALICE);
    for date in ["2000-01-01", "2020-01-01T00:00:00Z"] {
        let error = place.fail(&["make", "--expires", date]);
        assert!(error.contains(" is in the past"), "{error}");
    }
    fs::set_permissions(&place.file, Permissions::from_mode(0o644)).unwrap();
    let error = place.fail(&["make"]);
    let expected = format!(
        "(mode 0644); correct this with: chmod o-rwx {}\n",
        place.file.display()
    );
    assert!(error.ends_with(&expected), "{error}");
    assert_eq!((place.text(), place.names().len()), (ALICE.to_owned(), 1));
    fs::set_permissions(&place.file, Permissions::from_mode(0o640)).unwrap();
    place.run(&["make"]);
}

/// An error says what is wrong, and not also what could not be done because of that.
#[test]
fn errors_are_about_one_thing() {
    let place = Place::with(&format!("{ALICE} alice\nshort\n"));
    let error = place.fail(&["make"]);
    let expected = format!("aquatic-keys: {}: line 2: ", place.file.display());
    assert!(error.starts_with(&expected), "{error}");
    let place = Place::with(ALICE);
    let error = place.fail(&["revoke", BOB]);
    assert!(
        error.starts_with("aquatic-keys: 1 of these 1 keys are not in "),
        "{error}"
    );
    let error = place.fail(&["revoke", "--label", "bob"]);
    assert!(error.starts_with("aquatic-keys: no key in "), "{error}");
}
