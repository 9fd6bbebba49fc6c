//! Snapshots, and what `--check-config` finds about files.

use std::fs;

use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::Setup;
use aquatic_test_harness::waiting::eventually;

crate::tests!(
    state_survives_a_restart,
    snapshots_are_written_while_running,
    a_damaged_snapshot_is_set_aside,
    another_daemons_snapshot_is_refused,
    what_cannot_be_written_is_told_at_start,
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

    // The name stands after the magic, the version, the time and its length.
    let mut other = before[..21].to_vec();
    other.extend_from_slice(b"aquatic-nine");
    let checksum = crc32fast::hash(&other).to_le_bytes();
    other.extend_from_slice(&checksum);
    other.extend_from_slice(&before[other.len()..]);
    setup.write("snapshot", &other);

    let finished = setup
        .start_unready(&config(&setup, &port))
        .wait(std::time::Duration::from_secs(20));
    assert_eq!(finished.status.code(), Some(1));
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
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished
            .stderr
            .contains("snapshot.path: cannot create files in"),
        "{}",
        finished.stderr
    );
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
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("line 1: "), "{}", finished.stderr);
    let finished = check(&good.replace("/snapshot'", "/missing/snapshot'"));
    assert_eq!(finished.status.code(), Some(1));
    let finished = check(&format!(
        "{good}[privileges]\ndrop_privileges = true\nuser = 'no-such-user'\n"
    ));
    assert_eq!(finished.status.code(), Some(1));
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
