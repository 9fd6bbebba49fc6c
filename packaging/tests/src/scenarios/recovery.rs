//! Trackers that crash or hang.

use std::fs;
use std::thread;
use std::time::Duration;

use aquatic_test_harness::Signal;
use nix::sys::ptrace;
use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::container::Container;
use crate::daemons::{self, Daemon};
use crate::environment::Environment;
use crate::http;
use crate::udp::{Client, Load, hash};

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).expect("process ids are small"))
}

pub(super) fn a_killed_tracker_comes_back(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    let process = container.main_process("aquatic-udp");
    kill(pid(process), Signal::SIGKILL).expect("it runs");
    // It restarts by itself; a packet would start it, too.
    container.wait_for("the service is active", || {
        container.property("aquatic-udp", "NRestarts") == "1"
            && container.property("aquatic-udp", "ActiveState") == "active"
    });
    assert_ne!(container.main_process("aquatic-udp"), process);
    let mut client = Client::connect(container.client(), container.address(3000));
    client
        .announce(hash(1), 1001)
        .expect("an announce is served");
}

pub(super) fn stuck_workers_are_noticed_by_the_watchdog(environment: &Environment) {
    let container = Container::with(environment, &daemons::names(daemons::all()));
    for Daemon { name: unit, .. } in daemons::all() {
        assert_eq!(container.property(unit, "WatchdogUSec"), "30s", "{unit}");
        // Sooner, for the test.
        container.succeed(&format!(
            "mkdir /etc/systemd/system/{unit}.service.d && \
             printf '[Service]\\nWatchdogSec=4s\\n' > /etc/systemd/system/{unit}.service.d/test.conf"
        ));
    }
    container.succeed("systemctl daemon-reload");
    for daemon in daemons::all() {
        container.succeed(&format!("systemctl restart {}", daemon.name));
        stop_a_worker(&container, daemon);
    }
    for Daemon { name: unit, .. } in daemons::all() {
        container.wait_for("systemd restarts it", || {
            container.property(unit, "NRestarts") != "0"
                && container.property(unit, "ActiveState") == "active"
        });
        let log = container.succeed("journalctl --no-pager --quiet --output=cat _PID=1");
        let noticed = format!("{unit}.service: Watchdog timeout");
        assert!(log.contains(&noticed), "{log}");
    }
    let mut client = Client::connect(container.client(), container.address(3000));
    client
        .announce(hash(1), 1001)
        .expect("an announce is served");
    for daemon in daemons::with_connections() {
        let tracker = container.address(daemon.port);
        http::get(container.client(), tracker, "/health").expect("an answer");
    }
}

/// Stops one thread of a daemon, as a bug would, and releases it when it is killed.
#[track_caller]
fn stop_a_worker(container: &Container, daemon: &Daemon) {
    let mut worker = None;
    // On a busy machine, the watchdog may have ended the daemon on its own.
    container.wait_for("there is a worker", || {
        worker = a_worker(container.main_process(&daemon.name), daemon);
        worker.is_some()
    });
    let worker = worker.expect("it was found");
    // The tracer of a thread is a thread.
    thread::spawn(move || {
        let worker = pid(worker);
        ptrace::seize(worker, ptrace::Options::empty()).expect("root may trace");
        ptrace::interrupt(worker).expect("a traced thread can be stopped");
        let flags = Some(WaitPidFlag::__WALL);
        // First its stop is reported, then its end.
        while waitpid(worker, flags).is_ok_and(|status| status.pid().is_some()) {
            if !fs::exists(format!("/proc/{worker}/stat")).unwrap_or(false) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
}

/// One thread of a daemon that answers.
fn a_worker(process: u32, daemon: &Daemon) -> Option<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let start = format!("{}-", daemon.short_name());
    tasks
        .filter_map(|task| {
            let task = task.ok()?;
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let number = task.file_name().to_str()?.parse().ok()?;
            name.starts_with(&start).then_some(number)
        })
        .next()
}

/// How long a service fails: longer than the time after which systemd gives up by default,
/// and than earlier units did.
const OUTAGE: Duration = Duration::from_secs(12);

/// Maximum number of lines in the journal in that time, from systemd and the service.
const MAX_LINES: usize = 10;

/// Datagrams per second to the waiting service: no more than fit into its sockets.
const SOME: usize = 20;

pub(super) fn a_service_that_fails_for_long_comes_back(environment: &Environment) {
    let container = Container::with(environment, &daemons::names(daemons::all()));
    let sockets = || {
        container.succeed(
            "ss --udp --tcp --listening --numeric --no-header --extended | \
             grep --only-matching ':300.*ino:[0-9]*' | sort",
        )
    };
    let before = sockets();
    let read =
        |daemon: &Daemon| fs::read(container.outside(&daemon.file())).expect("it can be read");
    let good: Vec<_> = daemons::all().iter().map(read).collect();
    let load = Load::start(container.client(), container.address(3000), SOME);
    let begun = container.succeed("date '+@%s'");
    let begun = begun.trim();
    for daemon in daemons::all() {
        container.write(&daemon.file(), "nonsense");
        container.fail(&format!("systemctl restart {}", daemon.name));
    }
    thread::scope(|scope| {
        let ask = |port| http::get(container.client(), container.address(port), "/health");
        // Any packet makes systemd start the service.
        let waiting: Vec<_> = daemons::with_connections()
            .map(|daemon| scope.spawn(move || ask(daemon.port)))
            .collect();
        thread::sleep(OUTAGE);
        for daemon in daemons::all() {
            let unit = daemon.name.as_str();
            let lines = container.succeed(&format!(
                "journalctl --quiet --no-pager --output=cat --since={begun} --unit={unit}"
            ));
            // The stop of the running one is not part of the outage.
            let (_, outage) = lines.split_once("Stopped ").expect("it was stopped");
            let count = outage.lines().count() - 1;
            println!("{unit}: {count} lines in the journal");
            assert!(count <= MAX_LINES, "{lines}");
            let status = container.succeed(&format!("systemctl status {unit} || true"));
            assert!(
                status.contains(&format!("{}:1:", daemon.file())),
                "{status}"
            );
        }
        for (daemon, good) in daemons::all().iter().zip(good) {
            container.write(&daemon.file(), good);
        }
        for request in waiting {
            let answer = request.join().expect("it does not panic");
            answer.expect("it has waited for the service");
        }
    });
    let report = load.stop();
    assert!(report.ran_to_the_end, "{report:?}");
    assert_eq!(report.answered, report.sent, "{report:?}");
    // They were not closed: they are the same. The waiting service noticed only by the changed
    // file that it could start.
    assert_eq!(sockets(), before);
    assert_eq!(container.failed_units(), "");
}

pub(super) fn both_event_loops_run_confined(environment: &Environment) {
    let container = Container::with(environment, "aquatic-http");
    let file = "/etc/aquatic/aquatic-http.toml";
    let mut before = "event_loop = \"auto\"".to_owned();
    for event_loop in ["mio", "glommio"] {
        let now = format!("event_loop = \"{event_loop}\"");
        container.replace(file, &before, &now);
        before = now;
        container.succeed("systemctl restart aquatic-http");
        let path = http::announce(1, 1001);
        let answer = http::get(container.client(), container.address(3000), &path);
        assert!(answer.expect("an answer").starts_with(b"d8:complete"));
        container.wait_for_log("aquatic-http", &format!("event loop: {event_loop}"));
        container.succeed("systemctl reload aquatic-http");
    }
}
