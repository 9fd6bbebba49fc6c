//! Messages to the service manager, and the effect of signals.

use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::daemon::Daemon;
use aquatic_test_harness::http;
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::setup::Setup;
use aquatic_test_harness::waiting::eventually;
use nix::sys::signal::Signal;

crate::tests!(
    ready_reloading_stopping,
    a_bad_list_changes_nothing,
    both_signals_reload,
    signals_that_the_parent_blocked_arrive,
    a_reload_takes_over_everything_or_nothing,
    what_hangs_in_a_reload_stops_nothing,
    signals_during_a_reload_are_one_more,
    an_empty_allow_list_is_a_warning,
    a_list_takes_hardly_more_memory_than_itself,
    only_files_are_read_again,
    the_watchdog_hears_of_living_workers_only,
    health_names_the_stuck_worker,
);

fn with_list(setup: &Setup, port: &Port, lines: &[&str]) -> String {
    let list = setup.write("list", lines.join("\n"));
    format!(
        "[network]\naddress = '{}'\n[access_list]\nmode = 'allow'\npath = '{}'\n",
        port.ipv4(),
        list.display()
    )
}

fn ready_reloading_stopping() {
    let setup = crate::setup();
    let port = Port::reserve();
    let config = with_list(&setup, &port, &["11".repeat(20).as_str()]);
    let mut daemon = setup.start(&config);
    assert_eq!(
        daemon.wait_for_message("STATUS=", 0),
        "STATUS=start 1, 1 listed"
    );

    let seen = daemon.messages().len();
    setup.write(
        "list",
        format!("{}\n{}\n", "11".repeat(20), "22".repeat(20)),
    );
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_message("READY=1", seen);
    assert_eq!(
        daemon.wait_for_message("STATUS=", seen),
        "STATUS=start 1, 2 listed"
    );
    let messages = daemon.messages()[seen..].to_vec();
    assert_eq!(messages[0], "RELOADING=1", "{messages:?}");
    assert!(messages[1].starts_with("MONOTONIC_USEC="), "{messages:?}");

    let seen = daemon.messages().len();
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_message("STOPPING=1", seen);
    let finished = daemon.wait(Duration::from_secs(20));
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(
        finished.stderr.ends_with("stopped\n"),
        "{}",
        finished.stderr
    );
}

fn signals_that_the_parent_blocked_arrive() {
    let setup = crate::setup();
    let port = Port::reserve();
    let config = with_list(&setup, &port, &["11".repeat(20).as_str()]);
    let wrapper = ["env", "--block-signal"];
    let mut daemon = setup.start_unready_through(&wrapper, &config);
    daemon.wait_until_ready();
    for signal in [Signal::SIGHUP, Signal::SIGUSR1] {
        let seen = daemon.messages().len();
        daemon.signal(signal);
        daemon.wait_for_message("READY=1", seen);
    }
    daemon.signal(Signal::SIGTERM);
    let finished = daemon.wait(Duration::from_secs(20));
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
}

fn a_bad_list_changes_nothing() {
    let setup = crate::setup();
    let port = Port::reserve();
    let metrics = Port::reserve();
    let mut config = with_list(&setup, &port, &["11".repeat(20).as_str()]);
    config.push_str(&format!("[metrics]\naddress = '{}'\n", metrics.ipv4()));
    let mut daemon = setup.start(&config);

    let seen = daemon.messages().len();
    setup.write("list", format!("{}\n# fine\nnonsense\n", "22".repeat(20)));
    daemon.reload(Signal::SIGUSR1);
    let status = daemon.wait_for_message("STATUS=", seen);
    assert!(
        status.starts_with("STATUS=start 1, 1 listed; reload failed: ")
            && status.contains("line 3"),
        "{status}"
    );
    let logged = daemon.wait_for_log("reload failed");
    assert!(
        logged.starts_with("ERROR ") && logged.contains("line 3"),
        "{logged}"
    );
    let metrics = http::get(metrics.ipv4(), "/metrics").body;
    for line in [
        "aquatic_test_access_list_entries 1",
        "aquatic_test_reload_failures_total{what=\"access_list\"} 1",
        "aquatic_test_list_changes_total 0",
    ] {
        assert!(
            metrics.lines().any(|other| other == line),
            "{line}\n{metrics}"
        );
    }

    let seen = daemon.messages().len();
    setup.write("list", "");
    daemon.reload(Signal::SIGUSR1);
    assert_eq!(
        daemon.wait_for_message("STATUS=", seen),
        "STATUS=start 1, 0 listed"
    );
    daemon.stop();
}

fn a_reload_takes_over_everything_or_nothing() {
    let setup = crate::setup();
    let port = Port::reserve();
    let metrics = Port::reserve();
    let mut config = with_badge(&setup, &port, &[]);
    config.push_str(&format!("[metrics]\naddress = '{}'\n", metrics.ipv4()));
    let failures = |what: &str| {
        let metrics = http::get(metrics.ipv4(), "/metrics").body;
        let name = format!("aquatic_test_reload_failures_total{{what=\"{what}\"}} ");
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix(&name));
        count
            .unwrap_or_else(|| panic!("{name}\n{metrics}"))
            .to_owned()
    };
    let mut daemon = setup.start(&config);

    for what in ["configuration", "access_list", "badge"] {
        assert_eq!(failures(what), "0");
    }

    // If one file cannot be loaded, the others are not replaced, either.
    setup.write("badge", "bad");
    setup.write("list", "11".repeat(20));
    let seen = daemon.messages().len();
    daemon.reload(Signal::SIGHUP);
    assert_eq!(
        daemon.wait_for_message("STATUS=", seen),
        "STATUS=start 1, 0 listed; reload failed: the badge says \"bad\""
    );
    let logged = daemon.wait_for_log("reload failed");
    assert!(
        logged.contains("nothing was changed") && logged.starts_with("ERROR "),
        "{logged}"
    );
    assert_eq!(failures("badge"), "1");
    assert_eq!(failures("access_list"), "0");

    setup.write("badge", "good");
    let seen = daemon.messages().len();
    daemon.reload(Signal::SIGUSR1);
    assert_eq!(
        daemon.wait_for_message("STATUS=", seen),
        "STATUS=start 1, 1 listed"
    );
    daemon.stop();
}

fn with_badge(setup: &Setup, port: &Port, lines: &[&str]) -> String {
    let badge = setup.write("badge", "good");
    with_list(setup, port, lines).replacen(
        "[network]\n",
        &format!("[network]\nbadge_path = '{}'\n", badge.display()),
        1,
    )
}

fn what_hangs_in_a_reload_stops_nothing() {
    let mut setup = crate::setup();
    setup.set_environment("WATCHDOG_USEC", "800000");
    let port = Port::reserve();
    let metrics = Port::reserve();
    let snapshot = setup.path("snapshot");
    let config = with_badge(&setup, &port, &[])
        + &format!(
            "[metrics]\naddress = '{}'\n[snapshot]\npath = '{}'\ninterval_seconds = 1\n",
            metrics.ipv4(),
            snapshot.display()
        );
    let mut daemon = setup.start(&config);
    setup.write("hang", "");
    setup.write("list", "11".repeat(20));
    let seen = daemon.messages().len();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_message("RELOADING=1", seen);
    // Everything else continues.
    let seen = daemon.messages().len();
    daemon.wait_for_message("WATCHDOG=1", seen);
    std::fs::remove_file(&snapshot).ok();
    eventually("a snapshot", || snapshot.exists().then_some(()));
    assert_eq!(http::get(metrics.ipv4(), "/health").body, "ok\n");
    let ready = daemon.messages()[seen..].iter().any(|one| one == "READY=1");
    assert!(!ready, "the reload is not over");

    let begun = Instant::now();
    std::fs::remove_file(&snapshot).ok();
    daemon.stop();
    assert!(begun.elapsed() < Duration::from_secs(9));
    assert!(snapshot.exists());
}

fn signals_during_a_reload_are_one_more() {
    let setup = crate::setup();
    let port = Port::reserve();
    let mut daemon = setup.start(&with_badge(&setup, &port, &[]));
    setup.write("hang", "");
    let seen = daemon.messages().len();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_message("RELOADING=1", seen);
    setup.write("badge", "worse");
    for _ in 0..5 {
        daemon.signal(Signal::SIGUSR1);
        thread::sleep(Duration::from_millis(50));
    }
    setup.write("badge", "good");
    std::fs::remove_file(setup.path("hang")).expect("the file is there");
    let count = |daemon: &mut Daemon, what: &str| {
        let messages = &daemon.messages()[seen..];
        messages.iter().filter(|one| *one == what).count()
    };
    eventually("the second reload", || {
        (count(&mut daemon, "READY=1") == 2).then_some(())
    });
    thread::sleep(Duration::from_millis(300));
    assert_eq!(count(&mut daemon, "READY=1"), 2);
    assert_eq!(count(&mut daemon, "RELOADING=1"), 2);
    daemon.stop();
}

fn an_empty_allow_list_is_a_warning() {
    let setup = crate::setup();
    let port = Port::reserve();
    let hashes = ["11".repeat(20), "22".repeat(20)];
    let config = with_list(&setup, &port, &[&hashes[0], &hashes[1]]);
    let mut daemon = setup.start(&config);
    setup.write("list", "# all gone\n");
    daemon.reload(Signal::SIGHUP);
    let logged = daemon.wait_for_log("has 0 entries, the previous one had 2: ");
    assert!(
        logged.starts_with("WARN ") && logged.contains("entries=0 before=2"),
        "{logged}"
    );
    // There is no warning if the list was empty before.
    daemon.reload(Signal::SIGHUP);
    daemon.wait_for_log("reloaded the access list");
    daemon.stop();
}

/// The most memory that a process ever had in use, in bytes.
fn most_memory(daemon: &Daemon) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kibibytes = number.and_then(|number| number.parse::<usize>().ok());
    kibibytes.expect("the kernel tells") * 1024
}

fn a_list_takes_hardly_more_memory_than_itself() {
    const ENTRIES: usize = 400_000;
    const ENTRY_BYTES: usize = 20;

    let setup = crate::setup();
    let port = Port::reserve();
    let config = with_list(&setup, &port, &["11".repeat(20).as_str()]);
    let daemon = setup.start(&config);
    let without = most_memory(&daemon);
    daemon.stop();

    // The lines are not sorted.
    let line = |number: usize| format!("{:040x}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let text: String = (0..ENTRIES).map(line).collect();
    setup.write("list", text);
    let config = config.replace("mode = 'allow'", "mode = 'deny'");
    let daemon = setup.start(&config);
    let taken = most_memory(&daemon).saturating_sub(without);
    let finished = ENTRIES * ENTRY_BYTES;
    assert!(taken <= finished * 3 / 2, "{taken} bytes for {finished}");
    assert!(taken >= finished / 2, "{taken} bytes: nothing was measured");
    daemon.stop();
}

fn only_files_are_read_again() {
    let setup = crate::setup();
    let port = Port::reserve();
    let mut daemon = setup.start(&with_list(&setup, &port, &["11".repeat(20).as_str()]));
    let list = setup.path("list");
    std::fs::remove_file(&list).expect("the file is there");
    nix::unistd::mkfifo(&list, nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
    let seen = daemon.messages().len();
    daemon.reload(Signal::SIGHUP);
    let status = daemon.wait_for_message("STATUS=", seen);
    assert!(
        status.contains("1 listed") && status.contains("a named pipe, not a regular file"),
        "{status}"
    );
    daemon.stop();
}

fn both_signals_reload() {
    let setup = crate::setup();
    let port = Port::reserve();
    let config = with_list(&setup, &port, &[]);
    let mut daemon = setup.start(&config);
    for signal in [Signal::SIGUSR1, Signal::SIGHUP] {
        daemon.reload(signal);
    }
    // SIGINT ends it as SIGTERM does.
    daemon.signal(Signal::SIGINT);
    assert!(daemon.wait(Duration::from_secs(20)).status.success());
}

fn the_watchdog_hears_of_living_workers_only() {
    let mut setup = crate::setup();
    setup.set_environment("WATCHDOG_USEC", "800000");
    let port = Port::reserve();
    let config = format!("[network]\naddress = '{}'\n", port.ipv4());
    let mut daemon = setup.start(&config);

    let pings = |daemon: &mut Daemon| {
        let messages = daemon.messages();
        messages.iter().filter(|one| *one == "WATCHDOG=1").count()
    };
    eventually("three pings", || (pings(&mut daemon) >= 3).then_some(()));

    setup.write("stuck", "");
    // Five pings would have come in this time.
    let silence = Duration::from_secs(1);
    let before = eventually("silence", || {
        let before = pings(&mut daemon);
        thread::sleep(silence);
        (pings(&mut daemon) == before).then_some(before)
    });

    std::fs::remove_file(setup.path("stuck")).expect("the file is there");
    eventually("another ping", || {
        (pings(&mut daemon) > before).then_some(())
    });
    daemon.stop();
}

fn health_names_the_stuck_worker() {
    let setup = crate::setup();
    let port = Port::reserve();
    let metrics = Port::reserve();
    let config = format!(
        "[network]\naddress = '{}'\n[metrics]\naddress = '{}'\n",
        port.ipv4(),
        metrics.ipv4()
    );
    let daemon = setup.start(&config);
    assert_eq!(http::get(metrics.ipv4(), "/health").status, 200);

    setup.write("stuck", "");
    let begun = Instant::now();
    let answer = eventually("an ailment", || {
        Some(http::get(metrics.ipv4(), "/health")).filter(|answer| answer.status == 503)
    });
    assert!(begun.elapsed() >= Duration::from_secs(4));
    assert!(
        answer.body.starts_with("worker echo-0 has been stuck for "),
        "{}",
        answer.body
    );
    daemon.wait_for_log("worker echo-0 has been stuck");

    std::fs::remove_file(setup.path("stuck")).expect("the file is there");
    daemon.wait_for_log("worker echo-0 has recovered");
    eventually("health", || {
        (http::get(metrics.ipv4(), "/health").status == 200).then_some(())
    });
    daemon.stop();
}
