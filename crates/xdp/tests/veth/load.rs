//! Many requests at once.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use aquatic_test_harness::network::{Cable, Host};
use aquatic_test_harness::tools;
use aquatic_xdp::Sizes;
use aquatic_xdp::redirect::WantedMode;
use aquatic_xdp::socket::Statistics;

use crate::Test;
use crate::answers::targets;
use crate::client::{ask, connect};
use crate::server::{MODES, Setup};

pub(crate) const TESTS: &[Test] = &[
    ("1,024 requests are under way and nothing is lost", window),
    (
        "what a NAPI thread loses was lost by the client's device",
        napi_thread,
    ),
];

const WINDOW: usize = 1_024;
const ROUNDS: usize = 200;

/// How long the answers to a window may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sockets between which a window fits into their receive buffers, and whose neighbours are
/// known.
fn sockets(cable: &Cable) -> Vec<UdpSocket> {
    let targets = targets(cable);
    let sockets = (0..16).map(|number| {
        let socket = connect(&cable.client, targets[number % 2]);
        ask(&socket, b"?neighbours are known");
        socket.set_nonblocking(true).unwrap();
        socket
    });
    sockets.collect()
}

/// Sends a window of requests, and reads the answers; returns how many are missing.
fn exchange(sockets: &[UdpSocket]) -> usize {
    for socket in sockets {
        for _ in 0..WINDOW / sockets.len() {
            // As long as an announce.
            socket.send(&[1; 98]).unwrap();
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let mut count = 0;
    while count < WINDOW && Instant::now() < deadline {
        for socket in sockets {
            while socket.recv(&mut [0; 128]).is_ok() {
                count += 1;
            }
        }
    }
    WINDOW - count
}

fn window() {
    for mode in MODES {
        let cable = Cable::new(1);
        let setup = Setup::new(&cable, mode, 1, Sizes::DEFAULT);
        let consumers = setup.consumers();
        let sockets = sockets(&cable);
        for round in 0..ROUNDS {
            assert_eq!(exchange(&sockets), 0, "{mode:?}, round {round}");
        }
        assert_eq!(setup.statistics(), [Statistics::default()]);
        for consumer in consumers {
            let counts = consumer.stop();
            assert_eq!((counts.no_reply_frame, counts.waits), (0, 0));
        }
    }
}

/// How many frames the interface of a host could not send.
fn transmit_drops(host: &Host) -> usize {
    let output = host.command("cat").arg("/proc/net/dev").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("eth0:"));
    let fields = line.unwrap().split_whitespace();
    // Eight fields of what was received, then bytes, packets, errors, drops.
    fields.map(|field| field.parse().unwrap()).nth(11).unwrap()
}

/// A thread for the receiving half of veth runs when the scheduler lets it. Until then,
/// frames wait in a ring of 256 between the two ends, and the sending end drops what does
/// not fit: from Linux 6.16 on, only if it has no queue of its own, and it has none by
/// default. Without a thread, each frame is received before the next one is sent.
fn napi_thread() {
    if !tools::needs(&["tc", "mount"]) {
        return;
    }
    for has_queue in [false, true] {
        let cable = Cable::new(1);
        let setup = Setup::new(&cable, WantedMode::Native, 1, Sizes::DEFAULT);
        let script = "mount -t sysfs none /sys && echo 1 > /sys/class/net/eth0/threaded";
        let mut start_thread = cable.server.command("unshare");
        start_thread.args(["--mount", "sh", "-c", script]);
        assert!(start_thread.status().unwrap().success());
        if has_queue {
            let mut add_queue = cable.client.command("tc");
            add_queue.args("qdisc replace dev eth0 root pfifo limit 2000".split(' '));
            assert!(add_queue.status().unwrap().success());
        }
        let consumers = setup.consumers();
        let sockets = sockets(&cable);
        let lost: Vec<usize> = (0..10).map(|_| exchange(&sockets)).collect();
        println!("with a queue {has_queue}: {lost:?}");
        let lost: usize = lost.iter().sum();
        assert_eq!(lost, transmit_drops(&cable.client));
        if has_queue && tools::kernel_is_at_least(6, 16) {
            assert_eq!(lost, 0);
        }
        assert_eq!(setup.statistics(), [Statistics::default()]);
        let frames: u64 = consumers.into_iter().map(|it| it.stop().frames).sum();
        assert_eq!(frames as usize, 16 + 10 * WINDOW - lost);
    }
}
