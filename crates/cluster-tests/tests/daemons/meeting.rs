//! How daemons find each other's sockets, and what they log if they cannot.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::thread;
use std::time::Duration;

use aquatic_test_harness::tracker::{Place, Tracker};

use crate::client::{Url, seeder};
use crate::pair::{Pair, Site, await_counts, await_linked};

/// Longer than it takes to find another daemon.
const LONG_ENOUGH: Duration = Duration::from_millis(2_500);

/// Starts both daemons after `change`, and expects that each serves alone.
fn expect_alone(change: impl Fn(Place) -> Place) -> [Tracker; 2] {
    let site = Site::new();
    let pair = [site.udp(), site.http()].map(|place| change(place).start());
    thread::sleep(LONG_ENOUGH);
    let [udp, http] = &pair;
    Url::Udp(udp.ipv4()).announce(seeder('a', 1001));
    Url::Http(http.ipv4()).announce(seeder('b', 1001));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(Url::Udp(udp.ipv4()).scrape('b').seeders, 0);
    assert_eq!(Url::Http(http.ipv4()).scrape('a').seeders, 0);
    assert!(!site.socket("aquatic-udp").exists());
    pair
}

fn has_warned(tracker: &Tracker, needle: &str) {
    let log = tracker.daemon.log();
    let lines = log.lines().filter(|line| line.contains(needle)).count();
    assert_eq!(lines, 1, "{needle} is said once:\n{log}");
}

fn runtime_directory(mut place: Place, path: impl AsRef<Path>) -> Place {
    place
        .setup
        .set_environment("XDG_RUNTIME_DIR", path.as_ref());
    place
}

#[test]
fn who_is_told_so_serves_alone() {
    for tracker in expect_alone(|place| place.with(&[("cluster.local", "false")])) {
        let names = tracker.samples();
        let mut names = names.names();
        assert!(!names.any(|name| name.contains("cluster")));
        assert!(!tracker.daemon.log().contains("other daemons"));
    }
}

#[test]
fn without_a_runtime_directory_each_serves_alone() {
    for tracker in expect_alone(|place| runtime_directory(place, "")) {
        has_warned(&tracker, "XDG_RUNTIME_DIR is not set");
    }
}

#[test]
fn a_runtime_directory_that_cannot_be_used_is_said_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let missing = directory.path().join("missing");
    let long = directory.path().join("x".repeat(90));
    fs::create_dir(&long).unwrap();
    // An `aquatic` that another user may have made: a link, and a directory open to all.
    let linked = directory.path().join("linked");
    fs::create_dir(&linked).unwrap();
    symlink(directory.path(), linked.join("aquatic")).unwrap();
    let open = directory.path().join("open");
    fs::create_dir_all(open.join("aquatic")).unwrap();
    fs::set_permissions(open.join("aquatic"), fs::Permissions::from_mode(0o777)).unwrap();

    let paths = [&file, &missing, &long, &linked, &open];
    for path in paths
        .map(|path| path.as_path())
        .into_iter()
        .chain([Path::new("relative")])
    {
        for tracker in expect_alone(|place| runtime_directory(place, path)) {
            has_warned(&tracker, "peers are not shared with other daemons");
        }
    }
    assert!(!missing.exists());
}

#[test]
fn a_second_one_waits_until_the_first_has_ended() {
    let pair = Pair::start();
    let second = pair.site.udp().start();
    second.daemon.wait_for_log("another process does that");
    thread::sleep(LONG_ENOUGH);
    has_warned(&second, "another process does that");
    // Others read from the first daemon.
    let [udp, http] = pair.ipv4();
    Url::Udp(second.ipv4()).announce(seeder('b', 1002));
    udp.announce(seeder('a', 1001));
    await_counts(http, 'a', [1, 0, 0]);
    assert_eq!(http.scrape('b').seeders, 0);

    let Pair { udp, http, site } = pair;
    udp.daemon.stop();
    await_linked(&second);
    await_counts(Url::Http(http.ipv4()), 'b', [1, 0, 0]);
    assert!(site.socket("aquatic-udp").exists());
}

#[test]
fn a_directory_that_was_removed_is_made_again() {
    let pair = Pair::start();
    fs::remove_dir_all(pair.site.runtime().join("aquatic")).unwrap();
    let [udp, http] = pair.ipv4();
    // Existing connections do not need the directory.
    udp.announce(seeder('a', 1001));
    await_counts(http, 'a', [1, 0, 0]);
    pair.udp.daemon.wait_for_log("was removed or replaced");
    let Pair { udp, http, site } = pair;
    let http = http.restart();
    await_linked(&http);
    await_counts(Url::Http(http.ipv4()), 'a', [1, 0, 0]);
    assert!(site.socket("aquatic-udp").exists());
    drop(udp);
}
