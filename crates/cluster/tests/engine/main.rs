//! Nodes and a real engine.

#![cfg(feature = "engine")]

mod errors;
mod failover;
mod fake;
mod hostile;
mod lost;
mod node;
mod records;
mod server;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use aquatic_cluster::{NodeId, PeerChange};
use aquatic_test_harness::process::Process;
use aquatic_test_harness::waiting::eventually;
use node::{Node, settings};
use server::Server;

/// Waits until all nodes hold the same peers.
#[track_caller]
fn wait_until_equal(nodes: &[&Node]) {
    eventually("nodes hold the same", || {
        let first = nodes[0].roles();
        let mut others = nodes[1..].iter();
        others.all(|it| it.roles() == first).then_some(())
    });
}

#[test]
fn nodes_have_one_swarm() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    one.change(0..10, PeerChange::Leecher);
    let two = Node::start(&server.url(), "two");
    two.change(10..15, PeerChange::Seeder);
    one.wait_for(15);
    two.wait_for(15);
    // A node that joins later gets all peers.
    let three = Node::start(&server.url(), "three");
    three.wait_for(15);
    one.change(0..5, PeerChange::Stopped);
    three.change(5..10, PeerChange::Completed);
    for node in [&one, &two, &three] {
        node.wait_for(10);
        eventually("others are seen", || {
            let status = node.link.status();
            (status.nodes() == 2 && status.text() == "one swarm with 2 other nodes").then_some(())
        });
    }
    wait_until_equal(&[&one, &two, &three]);
    // All nodes have the key of the first one.
    let keys = [&one, &two, &three].map(|it| it.link.connection_id_key());
    assert!(keys[0].is_some());
    assert_eq!(keys, [keys[0]; 3]);
    for node in [one, two, three] {
        let status = node.link.status();
        assert_eq!((status.counts().gaps(), status.counts().repeats()), (0, 0));
        assert_eq!(
            (status.counts().refused(), status.counts().reconnects()),
            (0, 0)
        );
        let begin = Instant::now();
        node.stop();
        assert!(begin.elapsed() < Duration::from_millis(1_500));
    }
}

#[test]
fn downloads_are_counted_once() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    one.change(0..30, PeerChange::Leecher);
    one.change(0..10, PeerChange::Completed);
    two.change(10..20, PeerChange::Completed);
    let wait = |node: &Node, count| {
        eventually(&format!("{count} downloads"), || {
            (node.members.downloads.load(Relaxed) == count).then_some(())
        });
    };
    wait(&one, 20);
    wait(&two, 20);
    for kind in ["ipv4", "ipv6"] {
        let hash: Vec<u64> = server.say(&format!("HVALS {{aquatic}}:test:{kind}:downloads"));
        assert_eq!(hash, [20]);
    }
    // A new node reads both the hash and the stream, and counts no download twice.
    let three = Node::start(&server.url(), "three");
    three.wait_for(30);
    wait(&three, 20);
    two.change(20..21, PeerChange::Completed);
    wait(&one, 21);
    wait(&three, 21);
}

#[test]
fn a_node_goes_on_where_it_was() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    one.change(0..1_000, PeerChange::Leecher);
    two.wait_for(1_000);
    let position = two.link.position();
    let members = two.members.clone();
    two.stop();
    one.change(0..10, PeerChange::Stopped);
    one.change(1_000..1_010, PeerChange::Leecher);
    let before = members.applied.load(Relaxed);
    let two = Node::start_with(settings(&server.url(), "two"), members, position);
    two.wait_for(1_000);
    wait_until_equal(&[&one, &two]);
    let applied = two.members.applied.load(Relaxed) - before;
    assert_eq!(applied, 40, "only what is new is read");
    assert_eq!(two.link.status().lost_streams(), 0);
}

#[test]
fn a_million_records_come_through() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    const COUNT: u32 = 500_000;
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    // Before a node has read anything, it cannot know what others sent in between.
    eventually("own batches come back", || {
        (one.link.status().counts().batches_in() > 0).then_some(())
    });
    for start in (0..COUNT).step_by(10_000) {
        one.change(start..start + 10_000, PeerChange::Leecher);
        // Other threads need the same lock to apply records.
        thread::sleep(Duration::from_millis(1));
    }
    two.wait_for(COUNT as usize);
    assert_eq!(one.link.status().counts().dropped(), 0);
    let three = Node::start(&server.url(), "three");
    three.wait_for(COUNT as usize);
    wait_until_equal(&[&one, &two, &three]);
    assert!(one.link.status().counts().records_out() >= 2 * u64::from(COUNT));
    // Own records need not be applied again if no others came in between.
    assert!(one.members.applied.load(Relaxed) < u64::from(COUNT) / 10);
}

/// Passes the URL of the engine to the process that will be killed.
const CHILD_URL: &str = "AQUATIC_TEST_ENGINE_URL";

/// Not a test, but what [`a_node_that_dies_takes_nothing_with_it`] starts.
#[test]
fn node_to_be_killed() {
    let Ok(url) = std::env::var(CHILD_URL) else {
        return;
    };
    let mut settings = settings(&url, "child");
    settings.node = NodeId([0xff; 8]);
    let node = Node::start_with(settings, Arc::default(), None);
    for start in (0..).step_by(1_000) {
        node.change(start..start + 1_000, PeerChange::Leecher);
        node.change(start..start + 10, PeerChange::Completed);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_node_that_dies_takes_nothing_with_it() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command.args(["node_to_be_killed", "--exact"]);
    let child = Process::start("child", command.env(CHILD_URL, server.url()));
    eventually("it publishes", || {
        (two.members.lock().len() > 50_000).then_some(())
    });
    eventually("both are seen", || {
        (two.link.status().nodes() == 2).then_some(())
    });
    // The process is killed by SIGKILL while it sends.
    drop(child);
    // Its peers are kept, although the node is gone.
    eventually("it is gone", || {
        (two.link.status().nodes() == 1).then_some(())
    });
    wait_until_equal(&[&one, &two]);
    let count = two.roles().len();
    assert!(count > 50_000);
    one.change(0..10, PeerChange::Stopped);
    let new = Node::start(&server.url(), "new");
    wait_until_equal(&[&one, &two, &new]);
    assert_eq!(new.roles().len(), count - 20);
    for node in [&one, &two, &new] {
        assert_eq!(
            (
                node.link.status().counts().gaps(),
                node.link.status().counts().refused()
            ),
            (0, 0)
        );
    }
}
