//! Streams that an engine has lost.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use aquatic_cluster::PeerChange;
use aquatic_test_harness::waiting::eventually;

use crate::node::{MAX_PEER_AGE, Members, Node, clock, settings};
use crate::server::Server;
use crate::wait_until_equal;

/// Checks that a new node gets all peers that others hold, with about their time left.
#[track_caller]
fn new_node_gets_all(server: &Server, old: &Node, count: usize) {
    let new = Node::start(&server.url(), "new");
    new.wait_for(count);
    wait_until_equal(&[old, &new]);
    let peers = new.members.lock();
    for (key, (_, until)) in old.members.lock().iter() {
        let (_, found) = peers[key];
        let range = until.saturating_sub(1_500)..until + 12_000;
        assert!(range.contains(&found), "{until} became {found}");
    }
}

/// Changes how much time peers have left, so that it differs.
fn age(members: &Members) {
    let mut peers = members.lock();
    for (number, (_, until)) in peers.values_mut().enumerate() {
        let seconds = number as u64 * 7 % u64::from(MAX_PEER_AGE);
        *until = clock() + seconds * 1000 + 500;
    }
}

#[test]
fn an_engine_that_comes_back_empty_is_filled() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    one.change(0..1_000, PeerChange::Leecher);
    one.change(0..100, PeerChange::Completed);
    let two = Node::start(&server.url(), "two");
    two.change(1_000..1_010, PeerChange::Seeder);
    one.wait_for(1_010);
    two.wait_for(1_010);
    let key = one.link.connection_id_key();
    eventually("they share a key", || {
        (two.link.connection_id_key() == key).then_some(())
    });
    for node in [&one, &two] {
        age(&node.members);
    }
    server.kill();
    server.start_again();
    for node in [&one, &two] {
        eventually("it is noticed", || {
            (node.link.status().lost_streams() > 0).then_some(())
        });
        node.wait_until_connected();
    }
    new_node_gets_all(&server, &one, 1_010);
    let new = Node::start(&server.url(), "three");
    eventually("the key is the same", || {
        (new.link.connection_id_key() == key).then_some(())
    });
    wait_until_equal(&[&one, &two]);
    assert_eq!(one.members.downloads.load(Relaxed), 100);
}

/// Each download that a node counts was published, or is published later.
#[test]
fn downloads_that_an_engine_has_lost_are_restored_once() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let nodes = ["one", "two", "three"].map(|name| Node::start(&server.url(), name));
    nodes[0].change(0..100, PeerChange::Completed);
    let wait_for = |node: &Node, count| {
        eventually(&format!("{count} downloads"), || {
            (node.members.downloads.load(Relaxed) == count).then_some(())
        });
    };
    for node in &nodes {
        wait_for(node, 100);
    }
    server.kill();
    // Downloads occur while the engine is away, as it comes back, and while all nodes
    // restore its data at the same time.
    nodes[1].change(100..110, PeerChange::Completed);
    server.start_again();
    for number in 110..200 {
        nodes[number as usize % 3].change(number..=number, PeerChange::Completed);
        thread::sleep(Duration::from_millis(20));
    }
    for node in &nodes {
        wait_for(node, 200);
    }
    let counted = || {
        let kinds = ["ipv4", "ipv6"];
        kinds.map(|kind| {
            let hash = format!("HVALS {{aquatic}}:test:{kind}:downloads");
            server.say::<Vec<u64>>(&hash).iter().sum::<u64>()
        })
    };
    // Downloads that occur during the comparison may be missing.
    eventually("all are counted", || {
        let all = counted().iter().all(|count| *count >= 190);
        all.then_some(())
    });
    thread::sleep(Duration::from_secs(2));
    let counted = counted();
    assert!(counted.iter().all(|count| *count <= 200), "{counted:?}");
    let new = Node::start(&server.url(), "four");
    wait_for(&new, counted[0].max(counted[1]));
}

#[test]
fn an_engine_that_comes_back_with_older_data_is_filled() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    one.change(0..100, PeerChange::Leecher);
    eventually("it is published", || {
        (one.link.status().counts().records_out() == 200).then_some(())
    });
    server.save();
    one.change(100..200, PeerChange::Leecher);
    eventually("it is read back", || {
        (one.link.status().counts().records_in() == 400).then_some(())
    });
    server.kill();
    server.start_again();
    eventually("it is noticed", || {
        (one.link.status().lost_streams() > 0).then_some(())
    });
    new_node_gets_all(&server, &one, 200);
}

#[test]
fn a_stream_that_somebody_deletes_is_filled() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    one.change(0..100, PeerChange::Leecher);
    one.wait_until_connected();
    let key = one.link.connection_id_key();
    // An entry must have been in the stream for some seconds.
    thread::sleep(Duration::from_secs(6));
    let _: () = server.say("FLUSHALL");
    eventually("it is noticed", || {
        (one.link.status().lost_streams() > 0).then_some(())
    });
    new_node_gets_all(&server, &one, 100);
    assert_eq!(one.link.status().counts().reconnects(), 0);
    eventually("the key is there again", || {
        let found: Option<Vec<u8>> = server.say("GET {aquatic}:test:connection-id-key");
        (found.as_deref() == key.as_ref().map(|it| &it[..])).then_some(())
    });
}

#[test]
fn peers_from_before_the_cluster_are_told() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let alone = Arc::<Members>::default();
    {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("redis+unix://{}/nothing", directory.path().display());
        let node = Node::start_with(settings(&url, "one"), alone.clone(), None);
        node.change(0..50, PeerChange::Completed);
    }
    let two = Node::start(&server.url(), "two");
    two.wait_until_connected();
    let one = Node::start_with(settings(&server.url(), "one"), alone, None);
    two.wait_for(50);
    wait_until_equal(&[&one, &two]);
    eventually("its downloads are told, too", || {
        let counted: Vec<u64> = server.say("HVALS {aquatic}:test:ipv4:downloads");
        (counted == [50]).then_some(())
    });
}

#[test]
fn a_position_of_another_engine_is_not_trusted() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let Some(other) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    one.change(0..50, PeerChange::Seeder);
    eventually("it is read back", || {
        (one.link.status().counts().records_in() == 100).then_some(())
    });
    let position = one.link.position();
    let members = one.members.clone();
    one.stop();
    let two = Node::start(&other.url(), "two");
    two.change(50..60, PeerChange::Leecher);
    two.wait_until_connected();
    let one = Node::start_with(settings(&other.url(), "one"), members, position);
    one.wait_for(60);
    two.wait_for(60);
    wait_until_equal(&[&one, &two]);
}

/// Changes that were still unsent when a node stopped are sent by its next run.
#[test]
fn changes_of_a_node_that_ends_without_its_engine_are_not_lost() {
    let Some(mut server) = Server::start(&["--appendonly", "yes"]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    one.change(0..10, PeerChange::Leecher);
    two.wait_for(10);
    let (members, link) = (one.members.clone(), one.link.clone());
    server.kill();
    one.wait_for_error("");
    one.change(10..20, PeerChange::Leecher);
    one.stop();
    let position = link.position();
    server.start_again();
    let one = Node::start_with(settings(&server.url(), "one"), members.clone(), position);
    two.wait_for(20);
    wait_until_equal(&[&one, &two]);
    let link = one.link.clone();
    one.stop();
    assert!(link.position().is_some(), "all was sent");
}
