//! What a start depends on: sockets of a service manager, privileges, and what
//! the kernel allows.

use std::net::TcpListener;
use std::process::Command;

use aquatic_test_harness::privileges::assert_powerless;
use aquatic_test_harness::setup::SocketKind;
use aquatic_test_harness::{PATIENCE, Port, Setup, tools};

use crate::tracker::{HttpTracker as _, KINDS, Kind, PLAIN, new_place};

#[test]
fn inherited_sockets_are_served_and_the_first_connection_is_answered() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    for kind in KINDS {
        for names in [None, Some("aquatic-http.socket:aquatic-http.socket")] {
            let mut place = new_place(kind);
            place.set("socket_workers", "2");
            let mut tracker = place.start_activated(SocketKind::Stream, names);
            // This connection starts the daemon, and waits in the socket until the daemon
            // is up.
            tracker.client().announce('a', 1, "");
            tracker.daemon.wait_until_ready();
            tracker.client_ipv6().announce('a', 1, "");
            assert_eq!(tracker.metric("peers", &[]), 2.0, "{kind:?}");
            tracker.daemon.stop();
        }
    }
}

#[test]
fn first_steps_are_printed_at_a_terminal() {
    let setup = Setup::new(env!("CARGO_BIN_EXE_aquatic-http"));
    let port = Port::reserve();
    let config = format!("[network]\naddress = '0.0.0.0:{}'\n", port.number());
    let mut terminal = setup.start_on_terminal(&config);
    let shown = terminal.wait_for("To stop: Ctrl-C");
    let url = format!(
        "  http://127.0.0.1:{}/announce    on this machine\r\n",
        port.number()
    );
    assert!(shown.contains(&url), "{shown}");
    let page = "For a status page: AQUATIC_METRICS__ADDRESS=127.0.0.1:9000 ";
    assert!(shown.contains(page), "{shown}");
    assert!(terminal.interrupt().success());
}

#[test]
fn the_configured_address_is_not_bound_when_sockets_are_inherited() {
    if !tools::needs(&["systemd-socket-activate"]) {
        return;
    }
    let mut place = new_place(PLAIN);
    let other = Port::reserve();
    place.set("network.address", &format!("\"{}\"", other.ipv4()));
    let mut tracker = place.start_activated(SocketKind::Stream, None);
    tracker.client().announce('a', 1, "");
    tracker.daemon.wait_until_ready();
    TcpListener::bind(other.ipv4()).unwrap();
    // The log names the configured address, which differs from that of the socket.
    tracker.daemon.wait_for_log(&other.ipv4().to_string());
}

#[test]
fn every_thread_is_powerless() {
    if !tools::needs_root() {
        return;
    }
    for kind in KINDS {
        let mut place = new_place(kind);
        place.set("socket_workers", "2");
        place.set("privileges.drop_privileges", "true");
        place.set("privileges.user", "\"nobody\"");
        place.set("privileges.group", "\"nogroup\"");
        let tracker = place.start();
        let threads = assert_powerless(tracker.daemon.id());
        assert!(threads >= 3, "main thread and two workers: {threads}");
        tracker.client().announce('a', 1, "");
        tracker.daemon.stop();
    }
}

/// Asserts that through `wrapper`, a tracker with glommio does not start and its error
/// contains each of `words`, and that a tracker with mio starts.
#[track_caller]
fn glommio_cannot_be_had(wrapper: &[&str], words: &[&str]) {
    let place = new_place(Kind::new("glommio", false));
    let daemon = place.setup.start_unready_through(wrapper, &place.config());
    let finished = daemon.wait(PATIENCE);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    let said: Vec<_> = finished.stderr.lines().collect();
    let reason = said.last().expect("it says why");
    for word in words {
        assert!(reason.contains(word), "{word:?} in {said:?}");
    }
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);

    let place = new_place(PLAIN);
    let mut daemon = place.setup.start_unready_through(wrapper, &place.config());
    daemon.wait_until_ready();
    daemon.stop();
}

#[test]
fn too_little_locked_memory_is_reported_with_a_remedy() {
    if !tools::needs(&["prlimit"]) {
        return;
    }
    glommio_cannot_be_had(
        &["prlimit", "--memlock=65536:65536"],
        &["65536", "LimitMEMLOCK=", "network.event_loop"],
    );
}

#[test]
fn the_check_does_not_warn_of_limits_that_a_unit_sets() {
    if !tools::needs(&["prlimit"]) {
        return;
    }
    let place = new_place(PLAIN);
    let file = place.setup.write("check.toml", place.config());
    let mut check = Command::new("prlimit");
    let program = env!("CARGO_BIN_EXE_aquatic-http");
    check.args(["--nofile=500:500", program, "--check-config", "-c"]);
    let output = check.arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("INFO  if started from this shell, "),
        "{said}"
    );
    assert!(!said.contains("WARN"), "{said}");

    // At its start, the tracker warns that the limit is too low.
    let wrapper = ["prlimit", "--nofile=500:500"];
    let mut daemon = place.setup.start_unready_through(&wrapper, &place.config());
    daemon.wait_until_ready();
    let logged = daemon.wait_for_log("open files");
    assert!(logged.starts_with("WARN "), "{logged}");
}

/// Executes the program given by its arguments, for which io_uring_setup(2) fails with
/// EPERM because of a seccomp filter.
const WITHOUT_IO_URING: &str = "
import ctypes, os, struct, sys
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
IO_URING_SETUP, EPERM, ERRNO, ALLOW = 425, 1, 0x50000, 0x7fff0000
steps = [(LOAD_WORD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
         (RETURN, 0, 0, ERRNO | EPERM), (RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn a_kernel_without_io_uring_is_reported_with_a_remedy() {
    if !tools::needs(&["python3"]) {
        return;
    }
    glommio_cannot_be_had(
        &["python3", "-c", WITHOUT_IO_URING],
        &["io_uring", "kernel.io_uring_disabled", "network.event_loop"],
    );
}
