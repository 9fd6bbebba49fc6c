//! Reloads of the configuration.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use aquatic_test_harness::daemon::Daemon;
use aquatic_test_harness::http;
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::Setup;
use aquatic_test_harness::tools;
use aquatic_test_harness::waiting::eventually;
use nix::sys::signal::Signal;

crate::tests!(
    changed_keys_are_taken_over,
    keys_that_need_a_restart_are_named,
    a_wrong_file_changes_nothing,
    values_that_only_go_together_need_a_restart,
    the_access_list_comes_and_goes,
    snapshots_move,
    a_snapshot_that_is_kept_prevents_no_reload,
    snapshots_move_away_from_a_disk_that_hangs,
    a_file_that_is_no_snapshot_is_not_replaced,
    a_file_that_cannot_be_read_changes_nothing,
    a_file_out_of_reach_leaves_the_configuration,
);

/// A daemon with a metrics page.
struct Place {
    setup: Setup,
    port: Port,
    metrics: Port,
}

impl Place {
    fn new() -> Self {
        Self {
            setup: crate::setup(),
            port: Port::reserve(),
            metrics: Port::reserve(),
        }
    }

    /// The configuration, with further keys of `[network]`, and sections.
    fn config(&self, keys: &str, sections: &str) -> String {
        format!(
            "[network]\naddress = '{}'\n{keys}\n[metrics]\naddress = '{}'\n{sections}\n",
            self.port.ipv4(),
            self.metrics.ipv4()
        )
    }

    fn metric(&self, name: &str) -> String {
        let page = http::get(self.metrics.ipv4(), "/metrics").body;
        let name = format!("aquatic_test_{name} ");
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(&name));
        value.unwrap_or_else(|| panic!("{name}\n{page}")).to_owned()
    }

    /// Replaces the configuration and reloads; returns the status line.
    fn reload(&self, daemon: &mut Daemon, config: &str) -> String {
        self.setup.write("config.toml", config);
        let seen = daemon.messages().len();
        daemon.reload(Signal::SIGHUP);
        daemon.wait_for_message("STATUS=", seen)
    }
}

fn changed_keys_are_taken_over() {
    let place = Place::new();
    let mut daemon = place.setup.start(&place.config("", ""));
    let config = format!(
        "log_level = 'debug'\n{}",
        place.config("greeting = 'Hello! '", "")
    );
    let status = place.reload(&mut daemon, &config);
    assert_eq!(status, "STATUS=Hello! start 1, 0 listed");
    daemon.wait_for_log("reloaded: log_level, network.greeting changed");
    assert_eq!(place.metric("last_reload_successful"), "1");
    assert_eq!(place.metric("restart_needed_keys"), "0");
    daemon.stop();
}

fn keys_that_need_a_restart_are_named() {
    let place = Place::new();
    let first = place.config("", "");
    let mut daemon = place.setup.start(&first);
    let config = place
        .config("workers = 3\ngreeting = 'Hello! '", "")
        .replace(&place.metrics.ipv4().to_string(), "127.0.0.1:1");
    let status = place.reload(&mut daemon, &config);
    let expected = "STATUS=Hello! start 1, 0 listed; restart needed for metrics.address, \
                    network.workers";
    assert_eq!(status, expected);
    let logged = daemon.wait_for_log("restart needed: metrics.address, network.workers");
    assert!(logged.starts_with("WARN "), "{logged}");
    assert_eq!(place.metric("restart_needed_keys"), "2");
    assert_eq!(place.metric("last_reload_successful"), "1");
    // The keys are reported until the file is as before.
    let status = place.reload(&mut daemon, &first);
    assert_eq!(status, "STATUS=start 1, 0 listed");
    assert_eq!(place.metric("restart_needed_keys"), "0");
    daemon.stop();
}

fn a_wrong_file_changes_nothing() {
    let place = Place::new();
    let mut daemon = place.setup.start(&place.config("greeting = 'Hello! '", ""));
    let keys = "greeting = 'Good-bye! '\nworkers = 'many'";
    let status = place.reload(&mut daemon, &place.config(keys, ""));
    assert!(
        status.starts_with("STATUS=Hello! start 1, 0 listed; reload failed: ")
            && status.contains("config.toml:4:11: network.workers: "),
        "{status}"
    );
    let logged = daemon.wait_for_log("reload failed, and nothing was changed");
    assert!(
        logged.contains("config.toml:4:11: network.workers: "),
        "{logged}"
    );
    assert_eq!(place.metric("last_reload_successful"), "0");
    let failures = "reload_failures_total{what=\"configuration\"}";
    assert_eq!(place.metric(failures), "1");
    let health = http::get(place.metrics.ipv4(), "/health");
    assert_eq!(health.status, 200);
    let expected = "ok, but the last reload failed: ";
    assert!(health.body.starts_with(expected), "{}", health.body);
    let status = place.reload(&mut daemon, &place.config("", ""));
    assert_eq!(status, "STATUS=start 1, 0 listed");
    assert_eq!(place.metric("last_reload_successful"), "1");
    assert_eq!(http::get(place.metrics.ipv4(), "/health").body, "ok\n");
    daemon.stop();
}

fn values_that_only_go_together_need_a_restart() {
    let place = Place::new();
    let mut daemon = place.setup.start(&place.config("workers = 6", ""));
    let keys = "workers = 1\ngreeting = 'Hello! '";
    let status = place.reload(&mut daemon, &place.config(keys, ""));
    assert!(
        status.contains("cannot be combined with the values in effect of network.workers; restart")
            && status.contains("config.toml:4:12: network.greeting: so many workers"),
        "{status}"
    );
    daemon.stop();
}

fn the_access_list_comes_and_goes() {
    let place = Place::new();
    place.setup.write("one", "11".repeat(20));
    let two = ["11".repeat(20), "22".repeat(20)].join("\n");
    place.setup.write("two", two);
    let list = |mode: &str, name: &str| {
        let path = place.setup.path(name);
        let section = format!(
            "[access_list]\nmode = '{mode}'\npath = '{}'",
            path.display()
        );
        place.config("", &section)
    };
    let mut daemon = place.setup.start(&place.config("", ""));
    let status = place.reload(&mut daemon, &list("deny", "one"));
    assert_eq!(status, "STATUS=start 1, 1 listed");
    let status = place.reload(&mut daemon, &list("allow", "two"));
    assert_eq!(status, "STATUS=start 1, 2 listed");
    let status = place.reload(&mut daemon, &list("allow", "three"));
    assert!(
        status.starts_with("STATUS=start 1, 2 listed; reload failed: ")
            && status.contains("access_list.path: access list "),
        "{status}"
    );
    assert_eq!(place.metric("access_list_entries"), "2");
    let status = place.reload(&mut daemon, &list("off", "two"));
    assert_eq!(status, "STATUS=start 1, 0 listed");
    daemon.wait_for_log("turned the access list off");
    assert_eq!(place.metric("list_changes_total"), "3");
    daemon.stop();
}

fn snapshots_move() {
    let place = Place::new();
    let (first, second) = (place.setup.path("first"), place.setup.path("second"));
    let snapshot = |path: &std::path::Path, seconds: u32| {
        let path = path.display();
        let section = format!("[snapshot]\npath = '{path}'\ninterval_seconds = {seconds}");
        place.config("", &section)
    };
    let mut daemon = place.setup.start(&place.config("", ""));
    place.reload(&mut daemon, &snapshot(&first, 1));
    eventually("the first snapshot", || first.exists().then_some(()));
    place.reload(&mut daemon, &snapshot(&second, 3_600));
    daemon.stop();
    assert!(second.exists());

    let mut daemon = place.setup.start(&snapshot(&second, 3_600));
    let before = fs::read(&second).expect("the snapshot");
    place.reload(&mut daemon, &place.config("", ""));
    daemon.stop();
    let after = fs::read(&second).expect("the snapshot");
    assert!(before == after, "snapshots were disabled");
}

fn a_snapshot_that_is_kept_prevents_no_reload() {
    let place = Place::new();
    let damaged = "AQUASNAP\0\0\0\0 damage";
    let path = place.setup.write("snapshot", damaged);
    // A file cannot be renamed to the name of a directory that is not empty, so the
    // snapshot cannot be set aside.
    for end in ["damaged", "damaged.2", "damaged.3", "damaged.4"] {
        let directory = place.setup.path(&format!("snapshot.{end}"));
        fs::create_dir_all(directory.join("x")).expect("a directory");
    }
    let section = format!(
        "[snapshot]\npath = '{}'\ninterval_seconds = 1",
        path.display()
    );
    let mut daemon = place.setup.start(&place.config("", &section));
    let status = place.reload(&mut daemon, &place.config("greeting = 'Hello! '", &section));
    assert!(status.starts_with("STATUS=Hello! "), "{status}");
    assert!(status.contains("snapshots cannot be written"), "{status}");
    assert_eq!(fs::read(&path).expect("the file"), damaged.as_bytes());
    // Without snapshots, no problem is reported.
    let status = place.reload(&mut daemon, &place.config("", ""));
    assert!(!status.contains("snapshots"), "{status}");
    // The damaged file is still not replaced if it is configured again.
    let status = place.reload(&mut daemon, &place.config("", &section));
    assert!(status.contains("reload failed: "), "{status}");
    daemon.stop();
    assert_eq!(fs::read(&path).expect("the file"), damaged.as_bytes());
}

/// A snapshot that was begun at an earlier path neither delays later ones nor affects
/// what is reported of them.
fn snapshots_move_away_from_a_disk_that_hangs() {
    let place = Place::new();
    let snapshot = |name: &str| {
        let path = place.setup.path(name);
        let section = format!(
            "[snapshot]\npath = '{}'\ninterval_seconds = 1",
            path.display()
        );
        place.config("", &section)
    };
    place.setup.write("hang_next_snapshot", "");
    let mut daemon = place.setup.start(&snapshot("first"));
    let hanging = place.setup.path("hanging_snapshot");
    eventually("a snapshot that hangs", || hanging.exists().then_some(()));
    place.reload(&mut daemon, &snapshot("second"));
    let second = place.setup.path("second");
    eventually("a snapshot elsewhere", || second.exists().then_some(()));
    place.reload(&mut daemon, &place.config("", ""));
    fs::remove_file(hanging).expect("it hangs");
    let logged = daemon.wait_for_log("the disk is broken");
    assert!(
        logged.starts_with("WARN  cannot write snapshot ")
            && logged.ends_with("; the configuration has another file now"),
        "{logged}"
    );
    assert_eq!(place.metric("snapshot_failing"), "0");
    assert_eq!(place.metric("snapshot_failures_total"), "0");
    daemon.stop();
}

fn a_file_that_is_no_snapshot_is_not_replaced() {
    let place = Place::new();
    let other = place.setup.write("other", "precious");
    let section = format!("[snapshot]\npath = '{}'", other.display());
    let mut daemon = place.setup.start(&place.config("", ""));
    let status = place.reload(&mut daemon, &place.config("", &section));
    assert!(
        status.contains("reload failed: ") && status.contains("snapshot.path: "),
        "{status}"
    );
    daemon.stop();
    assert_eq!(fs::read(&other).expect("the file"), b"precious");
}

fn a_file_that_cannot_be_read_changes_nothing() {
    let place = Place::new();
    place.setup.write("list", "11".repeat(20));
    let list = place.setup.path("list");
    let section = format!("[access_list]\nmode = 'deny'\npath = '{}'", list.display());
    let mut daemon = place.setup.start(&place.config("", &section));
    fs::remove_file(place.setup.path("config.toml")).expect("the file");
    place.setup.write("list", "");
    let seen = daemon.messages().len();
    daemon.reload(Signal::SIGHUP);
    let status = daemon.wait_for_message("STATUS=", seen);
    assert!(
        status.starts_with("STATUS=start 1, 1 listed; reload failed: cannot read"),
        "{status}"
    );
    assert_eq!(place.metric("last_reload_successful"), "0");
    daemon.stop();
}

/// Lists and certificates can still be reloaded, and it is reported why nothing else can.
fn a_file_out_of_reach_leaves_the_configuration() {
    if !tools::needs_root() {
        return;
    }
    let place = Place::new();
    place.setup.write("list", "11".repeat(20));
    let list = place.setup.path("list");
    let sections = format!(
        "[privileges]\ndrop_privileges = true\nuser = 'nobody'\ngroup = 'nogroup'\n\
         [access_list]\nmode = 'deny'\npath = '{}'",
        list.display()
    );
    let mut daemon = place.setup.start(&place.config("", &sections));
    let config = place.config("greeting = 'Hello! '", &sections);
    let path = place.setup.write("config.toml", &config);
    chown(&path, Some(0), Some(0)).expect("root may");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("root may");
    place.setup.write("list", "");
    let seen = daemon.messages().len();
    daemon.reload(Signal::SIGHUP);
    let status = daemon.wait_for_message("STATUS=", seen);
    assert!(
        status.starts_with("STATUS=start 1, 0 listed; cannot read the configuration file ")
            && status.contains("Permission denied"),
        "{status}"
    );
    let logged = daemon.wait_for_log("reloaded only the files that the configuration names");
    assert!(logged.starts_with("WARN "), "{logged}");
    daemon.stop();
}
