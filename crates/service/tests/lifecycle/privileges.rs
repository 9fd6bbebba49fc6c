//! What the process may do once it serves, thread by thread.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use aquatic_test_harness::http;
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::Setup;
use aquatic_test_harness::tools;
use aquatic_test_harness::waiting::eventually;
use nix::sys::signal::Signal;

/// The ids of `nobody` and `nogroup` on Debian.
const NOBODY: u32 = 65534;

crate::tests!(
    every_thread_has_lost_its_privileges,
    capabilities_go_without_a_change_of_user_too,
    files_are_the_same_before_and_after_a_change_of_the_root,
    the_check_looks_with_the_eyes_of_the_service,
    a_hardened_unit_lets_it_start,
);

/// The lines of `/proc/PID/task/TID/status`, of every thread.
fn statuses(id: u32) -> Vec<String> {
    fs::read_dir(format!("/proc/{id}/task"))
        .expect("the process runs")
        .filter_map(|entry| {
            let path = entry.expect("its threads can be listed").path();
            // It may have ended meanwhile.
            fs::read_to_string(path.join("status")).ok()
        })
        .collect()
}

/// The words after `key:`.
fn field<'a>(status: &'a str, key: &str) -> Vec<&'a str> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {key} in\n{status}"));
    line.split_whitespace().collect()
}

fn assert_no_capabilities(status: &str) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(status, set), ["0000000000000000"], "{set}\n{status}");
    }
    assert_eq!(field(status, "NoNewPrivs"), ["1"]);
}

fn config(port: &Port, metrics: &Port) -> String {
    format!(
        "[network]\naddress = '{}'\n[metrics]\naddress = '{}'\n\
         [privileges]\ndrop_privileges = true\nuser = 'nobody'\ngroup = 'nogroup'\n",
        port.ipv4(),
        metrics.ipv4()
    )
}

/// A directory in which only `nobody` may write.
fn directory_of_nobody(setup: &Setup, name: &str) {
    let path = setup.path(name);
    fs::create_dir(&path).expect("a directory");
    chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may give it away");
}

fn every_thread_has_lost_its_privileges() {
    if !tools::needs_root() {
        return;
    }
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let daemon = setup.start(&config(&port, &metrics));
    // Main, log, signals, two workers and the metrics server. A thread that has loaded files
    // may not have ended yet.
    let statuses = eventually("six threads", || {
        let statuses = statuses(daemon.id());
        (statuses.len() == 6).then_some(statuses)
    });
    for status in &statuses {
        assert_eq!(field(status, "Uid"), ["65534"; 4]);
        assert_eq!(field(status, "Gid"), ["65534"; 4]);
        assert!(field(status, "Groups").is_empty(), "{status}");
        assert_no_capabilities(status);
    }
    daemon.stop();
}

fn capabilities_go_without_a_change_of_user_too() {
    if !tools::needs_root() {
        return;
    }
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let config = config(&port, &metrics).replace("= true", "= false");
    let daemon = setup.start(&config);
    daemon.wait_for_log("running as root");
    for status in statuses(daemon.id()) {
        assert_eq!(field(&status, "Uid"), ["0"; 4]);
        assert_no_capabilities(&status);
    }
    daemon.stop();
}

fn files_are_the_same_before_and_after_a_change_of_the_root() {
    if !tools::needs_root() {
        return;
    }
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    directory_of_nobody(&setup, "jail");
    setup.write("jail/list", "11".repeat(20));
    let config = format!(
        "{}chroot_path = '{}'\n[access_list]\nmode = 'allow'\npath = '/list'\n\
         [snapshot]\npath = '/snapshot'\n",
        config(&port, &metrics),
        setup.path("jail").display()
    );
    setup.write("config.toml", &config);
    let checked = setup.run(&["-c", "config.toml", "--check-config"]);
    assert!(checked.status.success(), "{}", checked.stderr);

    let mut daemon = setup.start(&config);
    let root = fs::read_link(format!("/proc/{}/root", daemon.id())).expect("root may look");
    assert_eq!(root, setup.path("jail"));

    let seen = daemon.messages().len();
    setup.write("jail/list", ["11".repeat(20), "22".repeat(20)].join("\n"));
    daemon.reload(Signal::SIGHUP);
    let status = daemon.wait_for_message("STATUS=", seen);
    // The list is inside the new root directory, the configuration is not.
    let expected = "STATUS=start 1, 2 listed; cannot read the configuration file ";
    assert!(status.starts_with(expected), "{status}");
    let metrics = http::get(metrics.ipv4(), "/metrics").body;
    assert!(
        metrics.contains("\nprocess_resident_memory_bytes "),
        "{metrics}"
    );
    daemon.stop();
    assert!(setup.path("jail/snapshot").exists());
}

fn a_hardened_unit_lets_it_start() {
    if !tools::needs_root() {
        return;
    }
    let mut setup = crate::setup();
    setup.set_environment(crate::HARDENED, "1");
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let mut config = config(&port, &metrics).replace("= true", "= false");
    directory_of_nobody(&setup, "state");
    config.push_str(&format!(
        "[snapshot]\npath = '{}'\n",
        setup.path("state/snapshot").display()
    ));
    let daemon = setup.start(&config);
    for status in statuses(daemon.id()) {
        assert_eq!(field(&status, "Uid"), ["65534"; 4]);
        assert_eq!(field(&status, "Seccomp"), ["2"]);
        assert_eq!(field(&status, "CapPrm"), ["0000000000000000"]);
    }
    daemon.stop();
}

fn the_check_looks_with_the_eyes_of_the_service() {
    if !tools::needs_root() {
        return;
    }
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let list = setup.write("list", "");
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).expect("root may");
    let config = format!(
        "{}[access_list]\nmode = 'allow'\npath = '{}'\n",
        config(&port, &metrics),
        list.display()
    );
    setup.write("config.toml", config);
    let finished = setup.run(&["-c", "config.toml", "--check-config"]);
    assert_eq!(finished.status.code(), Some(78));
    assert!(
        finished
            .stderr
            .contains("cannot read it: Permission denied"),
        "{}",
        finished.stderr
    );
}
