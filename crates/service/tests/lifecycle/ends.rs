//! How the process ends when something is wrong.

use std::time::Duration;

use aquatic_test_harness::ports::Port;
use nix::sys::signal::Signal;

/// Longer than any of these ends takes, shorter than the patience with workers.
const SOON: Duration = Duration::from_secs(9);

crate::tests!(
    a_worker_that_panics_ends_the_process,
    a_worker_that_fails_ends_the_process,
    a_worker_that_leaves_ends_the_process,
    a_second_signal_ends_at_once,
    a_wrong_command_line_exits_with_2,
    a_wrong_configuration_exits_with_1,
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
    end_of_a_worker("leave", "ended without being asked to");
}

fn a_second_signal_ends_at_once() {
    let setup = crate::setup();
    let port = Port::reserve();
    setup.write("deaf", "");
    let mut daemon = setup.start(&format!("[network]\naddress = '{}'\n", port.ipv4()));
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_message("STOPPING=1", 0);
    daemon.signal(Signal::SIGTERM);
    let finished = daemon.wait(SOON);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished
            .stderr
            .contains("ERROR stopped at once by a second signal"),
        "{}",
        finished.stderr
    );
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

fn a_wrong_configuration_exits_with_1() {
    let setup = crate::setup();
    for (text, parts) in [
        ("[network]\naddres = 'x'\n", [":2:", "network.addres"]),
        ("[network]\n\nworkers = 9\n", [":3:", "from 1 to 8"]),
    ] {
        let path = setup.write("wrong.toml", text);
        let path = path.to_str().expect("the path is UTF-8");
        for arguments in [&["-c", path][..], &["-c", path, "--check-config"]] {
            let finished = setup.run(arguments);
            assert_eq!(finished.status.code(), Some(1));
            for part in parts {
                assert!(
                    finished.stderr.contains(part),
                    "{part}\n{}",
                    finished.stderr
                );
            }
        }
    }
    let finished = setup.run(&["-c", "missing.toml"]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.contains("missing.toml"),
        "{}",
        finished.stderr
    );
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
