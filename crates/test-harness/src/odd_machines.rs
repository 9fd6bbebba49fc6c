//! Daemons on machines that lack something: each one starts and serves, or reports the
//! problem in one message; none hangs, and each one stops when asked to.
//!
//! Every test creates its machine in namespaces, which requires root. A daemon provides its
//! [`Subject`], for which [`on_odd_machines`](crate::on_odd_machines) generates a test per
//! machine.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::time::Duration;

use crate::network::{self, Families, Network};
use crate::tracker::{Kind, Place};
use crate::waiting::eventually;
use crate::{Daemon, Signal, http, tools};

mod machine;

pub use machine::{Machine, Start, end, the_error};

/// A daemon under test.
#[derive(Debug)]
pub struct Subject {
    /// The kinds of trackers to test.
    pub kinds: &'static [Kind],
    /// Whether clients connect over TCP.
    pub has_connections: bool,
    /// Whether peers survive a restart.
    pub keeps_peers: bool,
    /// Creates the files and settings for a daemon.
    pub new_place: fn(Kind) -> Place,
    /// Announces to this address, with or without TLS, and panics unless the reply comes
    /// from there.
    pub announce: fn(SocketAddr, bool),
}

/// Generates a test for each of these machines, with a [`Subject`].
#[macro_export]
macro_rules! on_odd_machines {
    ($subject:expr) => {
        $crate::on_odd_machines! {
            $subject =>
            several_addresses
            ipv6_switched_off
            no_ipv6
            little_locked_memory
            few_descriptors
            few_descriptors_without_proc
            hardly_any_descriptors
            full_disk
            full_disk_under_the_log
            read_only_state
            one_core
            wrong_clock
        }
    };
    ($subject:expr => $($machine:ident)*) => {
        $(
            #[test]
            fn $machine() {
                $crate::odd_machines::$machine(&$subject);
            }
        )*
    };
}

/// The library that changes the time that a process sees.
const FAKE_TIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// Maximum number of lines that a daemon may log about a problem that lasts for seconds.
const MAX_LOG_LINES: usize = 60;

impl Subject {
    /// Announces at 127.0.0.1.
    #[track_caller]
    fn is_served(&self, machine: &Machine, place: &Place) {
        let address = place.port.ipv4();
        machine.run(|| (self.announce)(address, place.is_tls));
    }

    /// Announces, then ends the daemon, which has to exit with code 0.
    #[track_caller]
    fn is_served_to_the_end(&self, machine: &Machine, place: &Place, daemon: Daemon) {
        self.is_served(machine, place);
        let (code, log) = end(daemon);
        assert_eq!(code, 0, "{log}");
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        self.kinds.iter().map(|kind| (self.new_place)(*kind))
    }

    /// Places with a snapshot in the directory `state`.
    fn places_with_state(&self) -> impl Iterator<Item = Place> {
        self.places().map(|mut place| {
            fs::create_dir(place.setup.path("state")).expect("a new directory");
            place.set_path("snapshot.path", "state/snapshot");
            place.set("snapshot.interval_seconds", "1");
            place
        })
    }
}

/// A reply to a client on another host comes from the address that the client asked.
pub fn several_addresses(subject: &Subject) {
    if !tools::needs_root() || !tools::needs(&network::PROGRAMS) {
        return;
    }
    for mut place in subject.places() {
        let port = place.port.number();
        place.set(
            "network.address",
            &format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]"),
        );
        let network = Network::new(2, Families::Both);
        let (server, client) = (network.host(0), network.host(1));
        for more in ["10.77.0.100/24", "fd77::100/64", "fe80::77:1/64"] {
            server.add_address(more);
        }
        client.add_address("fe80::77:2/64");
        let daemon = place.setup.start_on(server, &place.config());
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x77, 1);
        let link_local = SocketAddrV6::new(link_local, port, 0, client.interface_number());
        let addresses: [SocketAddr; 5] = [
            (server.ipv4, port).into(),
            ([10, 77, 0, 100], port).into(),
            (server.ipv6, port).into(),
            ([0xfd77, 0, 0, 0, 0, 0, 0, 0x100], port).into(),
            link_local.into(),
        ];
        for address in addresses {
            println!("asking {address}");
            client.run(|| (subject.announce)(address, place.is_tls));
        }
        daemon.stop();
    }
}

/// IPv6 is switched off for all interfaces.
pub fn ipv6_switched_off(subject: &Subject) {
    for mut place in subject.places() {
        let Some(machine) = Machine::new(&[]) else {
            return;
        };
        let switch = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
        machine.shell("echo 1 > \"$1\"", switch.as_ref());
        let port = place.port.number();
        place.set(
            "network.address",
            &format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]"),
        );
        let daemon = machine.start(&place);
        subject.is_served_to_the_end(&machine, &place, daemon);
    }
}

/// Executes the program given by its arguments, for which socket(2) supports no IPv6, as
/// on a kernel that was started with `ipv6.disable=1`.
const WITHOUT_IPV6: &str = "
import ctypes, os, struct, sys
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16
SOCKET = {'x86_64': 41, 'aarch64': 198}[os.uname().machine]
AF_INET6, EAFNOSUPPORT, ERRNO, ALLOW = 10, 97, 0x50000, 0x7fff0000
steps = [(LOAD_WORD, 0, 0, NUMBER), (JUMP_IF_EQUAL, 0, 3, SOCKET),
         (LOAD_WORD, 0, 0, FIRST_ARGUMENT), (JUMP_IF_EQUAL, 0, 1, AF_INET6),
         (RETURN, 0, 0, ERRNO | EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
";

/// The kernel has no IPv6: with the default addresses, IPv4 is served; with an IPv6
/// address alone, the start fails.
pub fn no_ipv6(subject: &Subject) {
    for mut place in subject.places() {
        let Some(machine) = Machine::new(&["/usr/bin/python3"]) else {
            return;
        };
        let machine = machine.through(["/usr/bin/python3", "-c", WITHOUT_IPV6]);
        let port = place.port.number();
        let both = format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]");
        place.set("network.address", &both);
        let daemon = machine.start(&place);
        let warning = daemon.wait_for_log("IPv6");
        assert!(warning.starts_with("WARN"), "{warning}");
        subject.is_served_to_the_end(&machine, &place, daemon);

        place.set("network.address", &format!("\"[::1]:{port}\""));
        match machine.try_start(&place) {
            Start::Serves(_) => panic!("it serves IPv6 without IPv6"),
            Start::Refuses(reason) => {
                assert!(reason.contains(&format!("[::1]:{port}")), "{reason}");
            }
        }
    }
}

/// At most 64 KiB of memory may be locked, even by root.
pub fn little_locked_memory(subject: &Subject) {
    for kind in subject.kinds {
        let Some(machine) = Machine::new(&["prlimit", "setpriv"]) else {
            return;
        };
        let machine = machine
            .through([
                "setpriv",
                "--bounding-set=-ipc_lock",
                "--inh-caps=-ipc_lock",
            ])
            .through(["prlimit", "--memlock=65536:65536"]);
        let place = (subject.new_place)(*kind);
        match machine.try_start(&place) {
            Start::Serves(daemon) => subject.is_served_to_the_end(&machine, &place, daemon),
            Start::Refuses(reason) => {
                // Only an event loop that was configured explicitly may need so much.
                assert_eq!(kind.event_loop, "glommio", "{reason}");
                assert!(reason.contains("LimitMEMLOCK="), "{reason}");
            }
        }
    }
}

/// 64 descriptors: clients that open as many connections as possible keep others out only
/// while they are connected, and meanwhile metrics, snapshots and reloads work.
pub fn few_descriptors(subject: &Subject) {
    with_few_descriptors(subject, |_| ());
}

/// The same without `/proc`, as in a changed root directory.
pub fn few_descriptors_without_proc(subject: &Subject) {
    with_few_descriptors(subject, |machine| {
        machine.shell("mount -t tmpfs tmpfs \"$1\"", "/proc".as_ref());
    });
}

fn with_few_descriptors(subject: &Subject, prepare: impl Fn(&Machine)) {
    for place in subject.places_with_state() {
        let Some(machine) = Machine::new(&["prlimit", "mount"]) else {
            return;
        };
        prepare(&machine);
        let machine = machine.through(["prlimit", "--nofile=64:64"]);
        let mut daemon = machine.start(&place);
        let metrics = place.metrics.ipv4();
        let is_watched = |page| machine.run(|| assert_eq!(http::get(metrics, page).status, 200));
        subject.is_served(&machine, &place);
        if subject.has_connections {
            let address = place.port.ipv4();
            let silent: Vec<TcpStream> = machine.run(|| {
                let connect = |_| TcpStream::connect(address).expect("the kernel accepts");
                (0..100).map(connect).collect()
            });
            machine::pause();
            is_watched("/metrics");
            is_watched("/health");
            daemon.reload(Signal::SIGHUP);
            let snapshot = place.setup.path("state/snapshot");
            for _ in 0..2 {
                eventually("a snapshot is written", || fs::remove_file(&snapshot).ok());
            }
            assert!(
                !daemon.log().contains("Too many open files"),
                "{}",
                daemon.log()
            );
            let lines = daemon.log().lines().count();
            assert!(lines < MAX_LOG_LINES, "{}", daemon.log());
            drop(silent);
            // The tracker refuses clients until it has noticed that the others have
            // disconnected.
            eventually("the tracker has seen the ends", || {
                let page = machine.run(|| http::get(metrics, "/metrics"));
                page.body.contains("_connections 0\n").then_some(())
            });
            subject.is_served(&machine, &place);
        }
        is_watched("/metrics");
        subject.is_served_to_the_end(&machine, &place, daemon);
    }
}

/// 16 descriptors: the daemon either refuses to start, or serves; it does not become
/// ready and then fail.
pub fn hardly_any_descriptors(subject: &Subject) {
    for place in subject.places() {
        let Some(machine) = Machine::new(&["prlimit"]) else {
            return;
        };
        let machine = machine.through(["prlimit", "--nofile=16:16"]);
        match machine.try_start(&place) {
            Start::Serves(daemon) => {
                machine::pause();
                subject.is_served_to_the_end(&machine, &place, daemon);
            }
            Start::Refuses(reason) => {
                assert!(reason.contains("LimitNOFILE="), "{reason}");
                assert!(!reason.contains("LimitMEMLOCK="), "{reason}");
            }
        }
    }
}

/// There is no space for the snapshot: the daemon continues, reports the problem,
/// recovers as soon as there is space, and can be stopped.
pub fn full_disk(subject: &Subject) {
    const FILL: &str = "head -c 1M /dev/zero > \"$1/filler\" || true";
    for place in subject.places_with_state() {
        let Some(machine) = Machine::new(&["mount"]) else {
            return;
        };
        let state = place.setup.path("state");
        machine.shell("mount -t tmpfs -o size=64k tmpfs \"$1\"", &state);
        machine.shell(FILL, &state);
        let daemon = machine.start(&place);
        let said = daemon.wait_for_log("No space left on device");
        assert!(said.contains("snapshot"), "{said}");
        subject.is_served(&machine, &place);

        machine.shell("rm \"$1/filler\"", &state);
        machine.shell(
            "n=0; until test -s \"$1/snapshot\"; do n=$((n + 1)); test $n -lt 200; sleep 0.1; done",
            &state,
        );
        machine.shell(FILL, &state);
        subject.is_served(&machine, &place);
        let (code, log) = end(daemon);
        assert_ne!(code, 0, "what is not saved is not passed over: {log}");
        let last = log.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("ERROR") && last.contains("No space left"),
            "{log}"
        );
        assert!(log.lines().count() < MAX_LOG_LINES, "{log}");

        // The snapshot that was written while there was space is complete.
        let daemon = machine.start(&place);
        daemon.wait_for_log("restored the snapshot");
        machine.shell("rm \"$1/filler\"", &state);
        subject.is_served_to_the_end(&machine, &place, daemon);
    }
}

/// The log goes to a file on a full disk.
pub fn full_disk_under_the_log(subject: &Subject) {
    const TO_A_FILE: &str = "exec \"$@\" 2> \"$0/log\"";
    for place in subject.places_with_state() {
        let Some(machine) = Machine::new(&["mount"]) else {
            return;
        };
        let state = place.setup.path("state");
        machine.shell("mount -t tmpfs -o size=64k tmpfs \"$1\"", &state);
        machine.shell("head -c 1M /dev/zero > \"$1/filler\" || true", &state);
        let state = state.display().to_string();
        let machine = machine.through(["sh", "-c", TO_A_FILE, &state]);
        let mut daemon = machine.start(&place);
        subject.is_served(&machine, &place);
        daemon.reload(Signal::SIGHUP);
        subject.is_served(&machine, &place);
        // The snapshot cannot be written either.
        let (code, _) = end(daemon);
        assert_eq!(code, 1);
    }
}

/// The snapshot can be read, but not written.
pub fn read_only_state(subject: &Subject) {
    const READ_ONLY: &str = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"";
    for place in subject.places_with_state() {
        let Some(machine) = Machine::new(&["mount"]) else {
            return;
        };
        let daemon = machine.start(&place);
        subject.is_served_to_the_end(&machine, &place, daemon);
        let state = place.setup.path("state");
        machine.shell(READ_ONLY, &state);
        let daemon = machine.start(&place);
        daemon.wait_for_log("restored the snapshot");
        daemon.wait_for_log("Read-only file system");
        subject.is_served(&machine, &place);
        let (_, log) = end(daemon);
        assert!(log.lines().count() < MAX_LOG_LINES, "{log}");
    }
}

/// One processor core, with the default number of workers and with more.
pub fn one_core(subject: &Subject) {
    for mut place in subject.places() {
        let Some(machine) = Machine::new(&["taskset"]) else {
            return;
        };
        let machine = machine.through(["taskset", "--cpu-list", "0"]);
        for workers in ["0", "3"] {
            place.set("socket_workers", workers);
            let daemon = machine.start(&place);
            subject.is_served_to_the_end(&machine, &place, daemon);
        }
    }
}

/// The machine's clock is decades behind at the start, is corrected, is set decades
/// ahead, and is corrected again.
pub fn wrong_clock(subject: &Subject) {
    for place in subject.places_with_state() {
        let Some(machine) = Machine::new(&[]) else {
            return;
        };
        let found = FAKE_TIME.into_iter().find(|it| tools::find(it).is_some());
        let library = found.unwrap_or(FAKE_TIME[0]);
        if !tools::needs(&[library]) {
            return;
        }
        let clock = place.setup.write("clock", "@1999-01-01 00:00:00");
        let machine = machine.through([
            "env".to_owned(),
            format!("LD_PRELOAD={library}"),
            format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "DONT_FAKE_MONOTONIC=1".to_owned(),
        ]);
        let daemon = machine.start(&place);
        subject.is_served(&machine, &place);
        for time in ["+0", "@2061-01-01 00:00:00", "+0"] {
            place.setup.write("clock", time);
            subject.is_served(&machine, &place);
            let metrics = place.metrics.ipv4();
            let health = machine.run(|| http::get(metrics, "/health"));
            assert_eq!(health.status, 200, "{time}: {}", health.body);
            // Housekeeping runs at least once in this time.
            std::thread::sleep(Duration::from_millis(1_200));
        }
        subject.is_served_to_the_end(&machine, &place, daemon);

        // The age of the saved snapshot is valid.
        let daemon = machine.start(&place);
        daemon.wait_for_log("restored the snapshot");
        let metrics = place.metrics.ipv4();
        let name = place.setup.name().replace('-', "_");
        let expected = if subject.keeps_peers { 1.0 } else { 0.0 };
        eventually("peers of before are there", || {
            let body = machine.run(|| http::get(metrics, "/metrics").body);
            let samples = crate::prometheus::Samples::parse(&body).ok()?;
            (samples.sum(&format!("{name}_peers"), &[])? >= expected).then_some(())
        });
        subject.is_served_to_the_end(&machine, &place, daemon);
    }
}
