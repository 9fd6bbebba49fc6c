//! Servers with malformed or unexpected replies.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use aquatic_cluster::PeerChange;
use aquatic_test_harness::waiting::eventually;

use crate::fake::Fake;
use crate::node::Node;

/// Every command that a node sends.
const COMMANDS: [&str; 15] = [
    "PING",
    "INFO",
    "TIME",
    "XTRIM",
    "XRANGE",
    "XREAD",
    "XINFO",
    "XADD",
    "HSCAN",
    "GET",
    "MEMORY",
    "MULTI",
    "EXEC",
    "PUBLISH",
    "SUBSCRIBE",
];

/// Replies of every type. Each of them is wrong for most commands.
const REPLIES: [&str; 29] = [
    "+OK\r\n",
    "+QUEUED\r\n",
    "-ERR what\r\n",
    "-MOVED 1 127.0.0.1:1\r\n",
    "-\r\n",
    ":-9223372036854775808\r\n",
    ":9223372036854775807\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$3\r\nabc\r\n",
    "$9223372036854775807\r\n",
    "$-9223372036854775808\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*2\r\n$1\r\n9\r\n*1\r\n:1\r\n",
    "*1\r\n*2\r\n$1\r\nx\r\n*1\r\n*2\r\n$3\r\n0-0\r\n*0\r\n",
    // Times: one that is long ago, and one that never comes.
    "*2\r\n$1\r\n0\r\n$1\r\n0\r\n",
    "*2\r\n$20\r\n18446744073709551615\r\n$1\r\n0\r\n",
    "*9223372036854775807\r\n",
    "%9223372036854775807\r\n",
    "|9223372036854775806\r\n",
    ">2\r\n$7\r\nmessage\r\n:1\r\n",
    // Messages to a subscriber: from another channel, incomplete, and of wrong types.
    "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n",
    "*2\r\n$7\r\nmessage\r\n$1\r\nx\r\n",
    "*3\r\n$7\r\nmessage\r\n:1\r\n*0\r\n",
    "=9223372036854775807\r\n",
    "_\r\n",
    "what\r\n",
    "\0\0\0\0",
];

/// Runs a node with such a server for a moment. It must neither panic nor hang.
fn endure(
    command: &'static str,
    answer: impl Fn(&mut UnixStream) -> io::Result<()> + Send + Sync + 'static,
) {
    let fake = Fake::start(command, answer);
    let node = Node::start(&fake.url(), "one");
    node.change(0..10, PeerChange::Leecher);
    node.change(0..2, PeerChange::Completed);
    for _ in 0..7 {
        thread::sleep(Duration::from_millis(100));
        node.offer(&node, "an offer");
    }
    let begin = Instant::now();
    node.stop();
    let time = begin.elapsed();
    assert!(time < Duration::from_secs(5), "{command}: {time:?} to stop");
}

#[test]
fn wrong_replies_are_errors() {
    for command in COMMANDS {
        let nodes = REPLIES.map(|reply| {
            thread::spawn(move || endure(command, move |stream| stream.write_all(reply.as_bytes())))
        });
        for (node, reply) in nodes.into_iter().zip(REPLIES) {
            assert!(node.join().is_ok(), "{reply:?} in reply to {command}");
        }
    }
}

#[test]
fn replies_that_never_end_are_given_up() {
    let drip = |stream: &mut UnixStream| {
        stream.write_all(b"$100\r\n")?;
        loop {
            stream.write_all(b"x")?;
            thread::sleep(Duration::from_millis(20));
        }
    };
    let push = |stream: &mut UnixStream| {
        loop {
            stream.write_all(b">2\r\n$1\r\na\r\n$1\r\nb\r\n")?;
        }
    };
    let nest = |stream: &mut UnixStream| {
        loop {
            stream.write_all(b"*1\r\n")?;
        }
    };
    let half = |stream: &mut UnixStream| {
        stream.write_all(b"$100\r\nabc")?;
        thread::sleep(Duration::from_secs(60));
        Ok(())
    };
    let line = |stream: &mut UnixStream| {
        stream.write_all(b"+")?;
        loop {
            stream.write_all(&[b'x'; 1 << 12])?;
        }
    };
    for command in [
        "PING",
        "TIME",
        "XADD",
        "XREAD",
        "XRANGE",
        "PUBLISH",
        "SUBSCRIBE",
    ] {
        let nodes = [
            thread::spawn(move || endure(command, drip)),
            thread::spawn(move || endure(command, push)),
            thread::spawn(move || endure(command, nest)),
            thread::spawn(move || endure(command, half)),
            thread::spawn(move || endure(command, line)),
        ];
        for node in nodes {
            assert!(node.join().is_ok(), "{command}");
        }
    }
}

/// Memory of this process in kilobytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|it| it.split_whitespace().next());
    number.and_then(|it| it.parse().ok()).expect("a number")
}

#[test]
fn replies_of_any_size_do_not_fill_the_memory() {
    let fake = Fake::start("XREAD", |stream| {
        stream.write_all(b"$4000000000\r\n")?;
        loop {
            stream.write_all(&[b'x'; 1 << 16])?;
        }
    });
    let before = memory();
    let node = Node::start(&fake.url(), "one");
    node.wait_for_error("more than 4 MiB");
    let grown = memory().saturating_sub(before);
    // Other tests run at the same time.
    assert!(grown < 200_000, "{grown} kB");
}

#[test]
fn an_engine_that_does_not_wait_keeps_no_core_busy() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let fake = Fake::start("XREAD", move |stream| {
        counted.fetch_add(1, Relaxed);
        stream.write_all(b"*-1\r\n")
    });
    let _node = Node::start(&fake.url(), "one");
    eventually("it reads", || (count.load(Relaxed) > 0).then_some(()));
    thread::sleep(Duration::from_secs(1));
    let count = count.load(Relaxed);
    assert!(count < 50, "{count} reads in a second");
}

#[test]
fn ids_that_go_backwards_are_an_error() {
    let entry = "*2\r\n$3\r\n5-0\r\n*0\r\n";
    let reply = format!("*1\r\n*2\r\n$19\r\n{{aquatic}}:test:ipv4\r\n*2\r\n{entry}{entry}");
    let fake = Fake::start("XREAD", move |stream| stream.write_all(reply.as_bytes()));
    let node = Node::start(&fake.url(), "one");
    node.wait_for_error("XREAD");
}
