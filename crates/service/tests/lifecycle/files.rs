//! Snapshots, and what `--check-config` finds about files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use aquatic_test_harness::daemon::Daemon;
use aquatic_test_harness::http;
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::Setup;
use aquatic_test_harness::waiting::{PATIENCE, eventually};
use nix::sys::signal::Signal;

crate::tests!(
    state_survives_a_restart,
    snapshots_are_written_while_running,
    an_odd_umask_keeps_nobody_from_its_own_snapshot,
    a_damaged_snapshot_is_set_aside,
    another_daemons_snapshot_is_refused,
    what_cannot_be_written_is_told_at_start,
    a_read_only_directory_is_served_from,
    a_full_disk_is_told_until_there_is_room,
    a_limit_of_file_sizes_ends_nothing,
    the_check_looks_at_files_and_leaves_none,
    the_check_does_not_need_the_port,
);

fn config(setup: &Setup, port: &Port) -> String {
    format!(
        "[network]\naddress = '{}'\n[snapshot]\npath = '{}'\ninterval_seconds = 1\n",
        port.ipv4(),
        setup.path("snapshot").display()
    )
}

fn state_survives_a_restart() {
    let setup = crate::setup();
    let port = Port::reserve();
    for start in 1..=3 {
        let mut daemon = setup.start(&config(&setup, &port));
        let status = daemon.wait_for_message("STATUS=", 0);
        assert_eq!(status, format!("STATUS=start {start}, 0 listed"));
        daemon.stop();
    }
}

fn snapshots_are_written_while_running() {
    let setup = crate::setup();
    let port = Port::reserve();
    let daemon = setup.start(&config(&setup, &port));
    let modified = || fs::metadata(setup.path("snapshot")).and_then(|data| data.modified());
    let first = eventually("a snapshot", || modified().ok());
    eventually("the next one", || {
        modified().ok().filter(|second| *second != first)
    });
    daemon.stop();
}

/// Root could read the snapshot in any case, so the daemon runs as another user.
fn an_odd_umask_keeps_nobody_from_its_own_snapshot() {
    const NOBODY: u32 = 65534;
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let directory = setup.path("disk");
    let config = with_disk(&setup, &port, &metrics);
    chown(&directory, Some(NOBODY), Some(NOBODY)).expect("root may");
    // The file that a process leaves if it is killed before it sets the mode.
    let left = setup.write("disk/snapshot.new", "half");
    chown(&left, Some(NOBODY), Some(NOBODY)).expect("root may");
    fs::set_permissions(&left, Permissions::from_mode(0o000)).expect("root may");
    for (start, mask) in ["777", "700", "477", "000"].iter().enumerate() {
        let script = format!(
            "umask {mask}; exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$0\" \"$@\""
        );
        let mut daemon = setup.start_unready_through(&["sh", "-c", &script], &config);
        daemon.wait_until_ready();
        let status = daemon.wait_for_message("STATUS=", 0);
        assert_eq!(
            status,
            format!("STATUS=start {}, 0 listed", start + 1),
            "{mask}"
        );
        daemon.stop();
        let snapshot = fs::metadata(directory.join("snapshot")).expect("it is written");
        assert_eq!(snapshot.permissions().mode() & 0o7777, 0o600, "{mask}");
    }
}

fn a_damaged_snapshot_is_set_aside() {
    let setup = crate::setup();
    let port = Port::reserve();
    setup.start(&config(&setup, &port)).stop();
    let mut bytes = fs::read(setup.path("snapshot")).expect("there is a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    setup.write("snapshot", &bytes);

    let mut daemon = setup.start(&config(&setup, &port));
    assert_eq!(
        daemon.wait_for_message("STATUS=", 0),
        "STATUS=start 1, 0 listed"
    );
    let logged = daemon.wait_for_log("cannot be used: it is damaged");
    assert!(logged.starts_with("ERROR "), "{logged}");
    assert_eq!(
        fs::read(setup.path("snapshot.damaged")).expect("it is kept"),
        bytes
    );
    daemon.stop();
}

fn another_daemons_snapshot_is_refused() {
    let setup = crate::setup();
    let port = Port::reserve();
    setup.start(&config(&setup, &port)).stop();
    let path = setup.path("snapshot");
    let before = fs::read(&path).expect("there is a snapshot");

    // The daemon's name follows the magic, the version, the time and its own length.
    let mut other = before[..21].to_vec();
    other.extend_from_slice(b"aquatic-nine");
    let checksum = crc32fast::hash(&other).to_le_bytes();
    other.extend_from_slice(&checksum);
    other.extend_from_slice(&before[other.len()..]);
    setup.write("snapshot", &other);

    let finished = setup
        .start_unready(&config(&setup, &port))
        .wait(std::time::Duration::from_secs(20));
    assert_eq!(finished.status.code(), Some(78));
    assert!(
        finished
            .stderr
            .contains("belongs to aquatic-nine, not to aquatic-test"),
        "{}",
        finished.stderr
    );
    assert_eq!(fs::read(&path).expect("it is still there"), other);
}

fn what_cannot_be_written_is_told_at_start() {
    let setup = crate::setup();
    let port = Port::reserve();
    let config = config(&setup, &port).replace("/snapshot'", "/missing/snapshot'");
    let finished = setup
        .start_unready(&config)
        .wait(std::time::Duration::from_secs(20));
    assert_eq!(finished.status.code(), Some(78));
    assert!(
        finished
            .stderr
            .contains("snapshot.path: cannot create files in"),
        "{}",
        finished.stderr
    );
}

/// Runs the daemon in a mount namespace of its own, after the commands in `mount`.
fn start_with(setup: &Setup, mount: &str, config: &str) -> Daemon {
    let script = format!("set -e; {mount}; exec \"$0\" \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script];
    let mut daemon = setup.start_unready_through(&wrapper, config);
    daemon.wait_until_ready();
    daemon
}

fn health(metrics: &Port) -> String {
    let answer = http::get(metrics.ipv4(), "/health");
    assert_eq!(answer.status, 200, "it serves all the same");
    answer.body
}

/// A configuration with snapshots in a directory of their own, and with metrics.
fn with_disk(setup: &Setup, port: &Port, metrics: &Port) -> String {
    fs::create_dir_all(setup.path("disk")).expect("make a directory");
    let config = config(setup, port).replace("/snapshot'", "/disk/snapshot'");
    format!("{config}[metrics]\naddress = '{}'\n", metrics.ipv4())
}

fn a_read_only_directory_is_served_from() {
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let config = with_disk(&setup, &port, &metrics);
    setup.start(&config).stop();

    let mount = "mount --bind disk disk; mount -o remount,ro,bind disk";
    let mut daemon = start_with(&setup, mount, &config);
    let logged = daemon.wait_for_log("snapshots cannot be written");
    assert!(logged.starts_with("WARN "), "{logged}");
    let status = daemon.wait_for_message("STATUS=", 0);
    assert!(
        status.starts_with("STATUS=start 2, 0 listed; snapshots cannot be written: ")
            && status.contains("Read-only file system"),
        "{status}"
    );
    let health = health(&metrics);
    assert!(
        health.starts_with("ok, but snapshots cannot be written: "),
        "{health}"
    );
    daemon.signal(Signal::SIGTERM);
    let finished = daemon.wait(PATIENCE);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    assert!(
        finished
            .stderr
            .contains("the final snapshot was not written"),
        "{}",
        finished.stderr
    );

    // The daemon also serves if a damaged snapshot cannot be set aside.
    setup.write("disk/snapshot", "AQUASNAP\0\0\0\0 damage");
    let mut daemon = start_with(&setup, mount, &config);
    let status = daemon.wait_for_message("STATUS=", 0);
    assert!(status.contains("start 1,") && status.contains("cannot be set aside"));
    daemon.stop();
    assert_eq!(
        fs::read(setup.path("disk/snapshot")).expect("it is there"),
        b"AQUASNAP\0\0\0\0 damage"
    );
}

fn a_full_disk_is_told_until_there_is_room() {
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let config = with_disk(&setup, &port, &metrics);
    // A process in the daemon's mount namespace frees space when the file `room` appears.
    let mount = "mount -t tmpfs -o size=8k none disk; head -c 8192 /dev/zero > disk/filling; \
                 (while [ ! -e room ]; do sleep 0.1; done; rm disk/filling) >/dev/null 2>&1 & true";
    let daemon = start_with(&setup, mount, &config);
    let logged = daemon.wait_for_log("No space left on device");
    assert!(logged.contains("cannot write snapshot"), "{logged}");
    let text = health(&metrics);
    assert!(text.contains("No space left on device"), "{text}");
    setup.write("room", "");
    daemon.wait_for_log("snapshots can be written again");
    assert_eq!(health(&metrics), "ok\n");
    daemon.stop();
}

fn a_limit_of_file_sizes_ends_nothing() {
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let config = with_disk(&setup, &port, &metrics);
    let wrapper = ["prlimit", "--fsize=20"];
    let mut daemon = setup.start_unready_through(&wrapper, &config);
    daemon.wait_until_ready();
    let logged = daemon.wait_for_log("cannot write snapshot");
    assert!(
        logged.contains("File too large") && logged.contains("LimitFSIZE="),
        "{logged}"
    );
    eventually("the health tells", || {
        health(&metrics).contains("File too large").then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    let finished = daemon.wait(PATIENCE);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    let left = fs::read_dir(setup.path("disk")).expect("list it").count();
    assert_eq!(left, 0, "half a snapshot is of no use");
}

fn the_check_looks_at_files_and_leaves_none() {
    let setup = crate::setup();
    let port = Port::reserve();
    setup.write("list", "nonsense\n");
    let good = config(&setup, &port);
    let listed = format!(
        "{good}[access_list]\nmode = 'deny'\npath = '{}'\n",
        setup.path("list").display()
    );
    let check = |text: &str| {
        setup.write("checked.toml", text);
        setup.run(&["-c", "checked.toml", "--check-config"])
    };

    let finished = check(&listed);
    assert_eq!(finished.status.code(), Some(78));
    assert!(finished.stderr.contains("line 1: "), "{}", finished.stderr);
    let finished = check(&good.replace("/snapshot'", "/missing/snapshot'"));
    assert_eq!(finished.status.code(), Some(78));
    let finished = check(&format!(
        "{good}[privileges]\ndrop_privileges = true\nuser = 'no-such-user'\n"
    ));
    assert_eq!(finished.status.code(), Some(78));
    assert!(
        finished
            .stderr
            .contains("privileges.user: there is no user \"no-such-user\""),
        "{}",
        finished.stderr
    );

    setup.write("list", "");
    let finished = check(&listed);
    assert!(finished.status.success(), "{}", finished.stderr);
    let mut names: Vec<_> = fs::read_dir(setup.directory())
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be listed").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["checked.toml", "list"]);
}

fn the_check_does_not_need_the_port() {
    let setup = crate::setup();
    let port = Port::reserve();
    let daemon = setup.start(&config(&setup, &port));
    let finished = setup.run(&["-c", "config.toml", "--check-config"]);
    assert!(finished.status.success(), "{}", finished.stderr);
    daemon.stop();
}
