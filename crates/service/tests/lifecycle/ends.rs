//! How the process ends when something is wrong.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::Duration;

use aquatic_test_harness::http;
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::waiting::eventually;
use nix::sys::signal::Signal;

/// Longer than any of these ends takes, shorter than the patience with workers.
const SOON: Duration = Duration::from_secs(9);

crate::tests!(
    a_worker_that_panics_ends_the_process,
    a_worker_that_fails_ends_the_process,
    a_worker_that_leaves_ends_the_process,
    two_signals_at_once_are_one,
    a_second_signal_ends_at_once,
    a_slow_end_is_not_taken_for_a_stuck_process,
    a_log_that_nobody_reads_holds_nobody_up,
    a_wrong_command_line_exits_with_2,
    a_wrong_configuration_exits_with_78,
    what_a_key_names_is_told_with_its_line,
    a_failed_start_is_told_and_waited_for,
    what_is_printed_is_the_configuration,
);

fn end_of_a_worker(how: &str, reason: &str) {
    let setup = crate::setup();
    let port = Port::reserve();
    let snapshot = setup.path("snapshot");
    let config = format!(
        "[network]\naddress = '{}'\n[snapshot]\npath = '{}'\n",
        port.ipv4(),
        snapshot.display()
    );
    let daemon = setup.start(&config);
    assert!(!snapshot.exists());
    setup.write(how, "");
    let finished = daemon.wait(SOON);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    let line = finished.stderr.lines().last().unwrap_or_default();
    assert_eq!(
        line,
        format!("ERROR stopping because worker echo-0 failed: {reason}")
    );
    assert!(snapshot.exists(), "the swarm is saved all the same");
}

fn a_worker_that_panics_ends_the_process() {
    end_of_a_worker("panic", "panicked: on purpose");
}

fn a_worker_that_fails_ends_the_process() {
    end_of_a_worker("fail", "failed on purpose");
}

fn a_worker_that_leaves_ends_the_process() {
    end_of_a_worker("leave", "ended unexpectedly");
}

fn two_signals_at_once_are_one() {
    let setup = crate::setup();
    let port = Port::reserve();
    let snapshot = setup.path("snapshot");
    setup.write("deaf", "");
    let mut daemon = setup.start(&format!(
        "[network]\naddress = '{}'\n[snapshot]\npath = '{}'\n",
        port.ipv4(),
        snapshot.display()
    ));
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_message("STOPPING=1", 0);
    daemon.signal(Signal::SIGTERM);
    daemon.signal(Signal::SIGINT);
    thread::sleep(Duration::from_millis(300));
    fs::remove_file(setup.path("deaf")).expect("the file is there");
    let finished = daemon.wait(SOON);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(snapshot.exists(), "{}", finished.stderr);
}

fn a_second_signal_ends_at_once() {
    let setup = crate::setup();
    let port = Port::reserve();
    setup.write("deaf", "");
    let mut daemon = setup.start(&format!("[network]\naddress = '{}'\n", port.ipv4()));
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_message("STOPPING=1", 0);
    thread::sleep(Duration::from_millis(2_100));
    daemon.signal(Signal::SIGTERM);
    let finished = daemon.wait(SOON);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished
            .stderr
            .contains("ERROR terminated by a second signal"),
        "{}",
        finished.stderr
    );
}

/// Load balancers and operators learn that the daemon is stopping.
fn a_slow_end_is_not_taken_for_a_stuck_process() {
    let setup = crate::setup();
    let (port, metrics) = (Port::reserve(), Port::reserve());
    let config = format!(
        "[network]\naddress = '{}'\n[snapshot]\npath = '{}'\n[metrics]\naddress = '{}'\n",
        port.ipv4(),
        setup.path("snapshot").display(),
        metrics.ipv4()
    );
    let daemon = setup.start(&config);
    assert_eq!(http::get(metrics.ipv4(), "/health").status, 200);
    setup.write("hang_next_snapshot", "");
    daemon.signal(Signal::SIGTERM);
    let hanging = setup.path("hanging_snapshot");
    eventually("the last snapshot", || hanging.exists().then_some(()));
    let health = http::get(metrics.ipv4(), "/health");
    assert_eq!(health.status, 503);
    assert_eq!(health.body, "the service is stopping\n");
    fs::remove_file(hanging).expect("it hangs");
    assert_eq!(daemon.wait(SOON).status.code(), Some(1), "nothing is saved");
}

/// Standard error is a pipe that is full before the daemon starts.
fn a_log_that_nobody_reads_holds_nobody_up() {
    let setup = crate::setup();
    let port = Port::reserve();
    let pipe = setup.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
    // Opened for reading and writing, so that opening does not wait for the other end.
    let mut open = OpenOptions::new();
    open.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let mut unread = open.open(&pipe).expect("open the pipe");
    while unread.write(&[b'x'; 4096]).is_ok() {}
    while unread.write(b"x").is_ok() {}

    let snapshot = setup.path("snapshot");
    let config = format!(
        "log_level = 'trace'\n[network]\naddress = '{}'\n[snapshot]\npath = '{}'\n",
        port.ipv4(),
        snapshot.display()
    );
    let wrapper = ["sh", "-c", "exec \"$0\" \"$@\" 2>pipe"];
    let mut daemon = setup.start_unready_through(&wrapper, &config);
    daemon.wait_until_ready();
    for _ in 0..3 {
        daemon.reload(Signal::SIGHUP);
    }
    let finished = daemon.stop();
    assert!(finished.status.success() && snapshot.exists());
}

fn a_wrong_command_line_exits_with_2() {
    let setup = crate::setup();
    let finished = setup.run(&["--nonsense"]);
    assert_eq!(finished.status.code(), Some(2));
    assert!(
        finished.stderr.contains("--nonsense"),
        "{}",
        finished.stderr
    );
    assert!(
        setup
            .run(&["--help"])
            .stdout
            .contains("Sends datagrams back")
    );
}

fn a_wrong_configuration_exits_with_78() {
    let setup = crate::setup();
    for (text, parts) in [
        ("[network]\naddres = 'x'\n", [":2:", "network.addres"]),
        ("[network]\n\nworkers = 9\n", [":3:", "from 1 to 8"]),
    ] {
        let path = setup.write("wrong.toml", text);
        let path = path.to_str().expect("the path is UTF-8");
        for arguments in [&["-c", path][..], &["-c", path, "--check-config"]] {
            let finished = setup.run(arguments);
            assert_eq!(finished.status.code(), Some(78));
            for part in parts {
                assert!(
                    finished.stderr.contains(part),
                    "{part}\n{}",
                    finished.stderr
                );
            }
        }
    }
    // A start may be tried again and again, so it reports fewer errors than the check.
    let many: String = (0..40)
        .map(|number| format!("key_{number} = 1\n"))
        .collect();
    setup.write("wrong.toml", many);
    let said = |arguments: &[&str]| setup.run(arguments).stderr;
    let started = said(&["-c", "wrong.toml"]);
    assert_eq!(started.lines().count(), 9, "{started}");
    assert!(started.contains("and 32 more ("), "{started}");
    assert!(started.contains("--check-config -c wrong.toml shows all)"));
    let checked = said(&["-c", "wrong.toml", "--check-config"]);
    assert_eq!(checked.lines().count(), 40, "{checked}");

    let finished = setup.run(&["-c", "missing.toml"]);
    assert_eq!(finished.status.code(), Some(78));
    assert!(
        finished.stderr.contains("missing.toml"),
        "{}",
        finished.stderr
    );
}

fn what_a_key_names_is_told_with_its_line() {
    let setup = crate::setup();
    let port = Port::reserve();
    let start = format!("[network]\naddress = '{}'\n", port.ipv4());
    let pipe = setup.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
    setup.write("bad", "# a list\nnonsense\n");
    for (section, place, reason) in [
        (
            "[access_list]\nmode = 'allow'\npath = '/nonexistent'\n".to_owned(),
            ":5:8: access_list.path: ",
            "No such file or directory",
        ),
        (
            "[access_list]\nmode = 'deny'\npath = 'bad'\n".to_owned(),
            ":5:8: access_list.path: ",
            "line 2: ",
        ),
        (
            format!(
                "[access_list]\nmode = 'deny'\npath = '{}'\n",
                pipe.display()
            ),
            ":5:8: access_list.path: ",
            "it is a named pipe, not a regular file",
        ),
        (
            "[privileges]\ndrop_privileges = true\nuser = 'no-such-user'\n".to_owned(),
            ":5:8: privileges.user: ",
            "there is no user",
        ),
        (
            "[snapshot]\npath = 'missing/snapshot'\n".to_owned(),
            ":4:8: snapshot.path: ",
            "cannot create files in missing",
        ),
    ] {
        let config = format!("{start}{section}");
        setup.write("checked.toml", &config);
        let started = setup.start_unready(&config).wait(SOON);
        let checked = setup.run(&["-c", "checked.toml", "--check-config"]);
        for finished in [started, checked] {
            let text = &finished.stderr;
            assert_eq!(finished.status.code(), Some(78), "{text}");
            let errors: Vec<_> = text.lines().filter(|line| line.contains("ERROR")).collect();
            assert_eq!(errors.len(), 1, "{text}");
            assert!(errors[0].contains(place), "{place}\n{text}");
            assert_eq!(errors[0].matches(reason).count(), 1, "{reason}\n{text}");
        }
    }
}

/// Acts as a service manager that starts the service again and again.
fn a_failed_start_is_told_and_waited_for() {
    let mut setup = crate::setup();
    let port = Port::reserve();
    let runtime = setup.path("run");
    let shared = setup.path("aquatic");
    for directory in [&runtime, &shared] {
        fs::create_dir(directory).expect("make a directory");
    }
    // systemd sorts the directories.
    let both = format!("{}:{}", shared.display(), runtime.display());
    setup.set_environment("RUNTIME_DIRECTORY", both);
    let note = runtime.join("failed-starts");
    setup.write("own.toml", "[network]\naddres = 'x'\n");
    let start = || {
        // Uses its own file, not the one that the harness writes anew for each start.
        let wrapper = ["sh", "-c", "exec \"$0\" -c own.toml"];
        setup.start_unready_through(&wrapper, "")
    };
    let fails = || {
        let mut daemon = start();
        let status = daemon.wait_for_message("STATUS=failed: ", 0);
        assert!(status.contains("own.toml:2:1: network.addres"), "{status}");
        assert_eq!(daemon.wait(SOON).status.code(), Some(78));
        assert!(note.exists());
    };
    let waits = || {
        let mut daemon = start();
        let status = daemon.wait_for_message("STATUS=waiting ", 0);
        assert!(status.contains("own.toml:2:1: network.addres"), "{status}");
        thread::sleep(Duration::from_millis(500));
        assert!(daemon.is_running());
        daemon
    };

    fails();
    // If the daemon is stopped while it waits, the next start does not wait.
    waits().stop();
    assert!(!note.exists());
    fails();
    let mut daemon = waits();
    setup.write(
        "own.toml",
        format!("[network]\naddress = '{}'\n", port.ipv4()),
    );
    daemon.wait_until_ready();
    daemon.stop();
    assert!(!note.exists(), "all is well again");

    // A file that the configuration names may have to be corrected, so it is noted, too.
    setup.write(
        "own.toml",
        format!(
            "[network]\naddress = '{}'\nbadge_path = 'badge'\n",
            port.ipv4()
        ),
    );
    assert_eq!(start().wait(SOON).status.code(), Some(1));
    let noted = fs::read_to_string(&note).expect("the failure is noted");
    assert!(noted.contains("\"badge\""), "{noted}");
}

fn what_is_printed_is_the_configuration() {
    let setup = crate::setup();
    assert_eq!(setup.run(&["-p"]).stdout, "# The default.\n");
    setup.write("mine.toml", "[network]\nworkers = 7\n");
    for option in ["-P", "--migrate-config"] {
        let finished = setup.run(&["-c", "mine.toml", option]);
        assert!(finished.status.success(), "{}", finished.stderr);
        assert!(
            finished.stdout.contains("workers = 7"),
            "{}",
            finished.stdout
        );
    }
}
