//! Engines that are unreachable, hang, have no memory left, or refuse a node.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use aquatic_cluster::engine::{ACL_RULES, EngineError, EngineLink, EngineSettings, check};
use aquatic_cluster::{Batch, Header, Kind, NodeId, Outbox, PeerChange, batch, signal};
use aquatic_test_harness::certificates;
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::waiting::eventually;

use crate::node::{Members, Node, record, settings};
use crate::server::Server;
use crate::wait_until_equal;

fn refused(settings: &EngineSettings) -> String {
    match check(settings) {
        Err(EngineError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn away(settings: &EngineSettings) -> String {
    match check(settings) {
        Err(EngineError::Away(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_engine_that_is_not_there_holds_nothing_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("redis+unix://{}/nothing", directory.path().display());
    assert!(away(&settings(&url, "one")).contains("No such file"));
    let node = Node::start(&url, "one");
    node.change(0..10, PeerChange::Leecher);
    let text = node.wait_for_error("No such file");
    assert!(node.link.status().text().contains(&text));
    assert!(!node.link.status().is_connected());
    let begin = Instant::now();
    node.stop();
    assert!(begin.elapsed() < Duration::from_millis(1_500));
}

#[test]
fn a_name_that_nobody_knows_stops_in_time() {
    let url = "redis://nobody.invalid";
    let node = Node::start(url, "one");
    thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    node.stop();
    assert!(begin.elapsed() < Duration::from_millis(1_500));
}

#[test]
fn an_outbox_that_waits_stays_within_its_bound() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("redis+unix://{}/nothing", directory.path().display());
    let outbox = Arc::new(Outbox::new(4 * batch::MAX_BATCH_LENGTH));
    let link = EngineLink::new(
        settings(&url, "one"),
        outbox.clone(),
        Arc::<Members>::default(),
        None,
    );
    let EngineLink {
        mut publisher,
        stopper,
        handle,
        ..
    } = link;
    let thread = thread::spawn(move || publisher.run(|| {}));
    for number in 0..20_000 {
        outbox.append(&[record::<6>(number, PeerChange::Leecher)]);
    }
    eventually("the rest is dropped", || {
        (handle.status().counts().dropped() > 10_000).then_some(())
    });
    assert!(outbox.batches_waiting() <= 4);
    drop(stopper);
    assert!(thread.join().is_ok());
}

#[test]
fn an_engine_that_is_killed_is_found_again() {
    let Some(mut server) = Server::start(&["--appendonly", "yes"]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    one.change(0..100, PeerChange::Leecher);
    two.wait_for(100);
    for round in 1..=3 {
        server.kill();
        one.change(100 * round..100 * (round + 1), PeerChange::Leecher);
        two.change(0..10, PeerChange::Seeder);
        one.wait_for_error("");
        server.start_again();
        for node in [&one, &two] {
            node.wait_for(100 * (round as usize + 1));
            node.wait_until_connected();
        }
        wait_until_equal(&[&one, &two]);
    }
    for node in [&one, &two] {
        assert_eq!(node.link.status().counts().gaps(), 0);
        assert!(node.link.status().counts().reconnects() > 0);
        // After another engine process has taken over, the last seconds are read again.
        assert!(node.link.status().counts().repeats() > 0);
    }
}

#[test]
fn an_engine_that_hangs_delivers_once() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    one.wait_until_connected();
    two.wait_until_connected();
    for round in 0..3 {
        server.hang();
        one.change(100 * round..100 * (round + 1), PeerChange::Leecher);
        one.change(100 * round..100 * round + 1, PeerChange::Completed);
        one.wait_for_error("no answer");
        eventually("it lags behind", || {
            (two.link.status().lag() > 1_000).then_some(())
        });
        server.go_on();
        two.wait_for(100 * (round as usize + 1));
    }
    wait_until_equal(&[&one, &two]);
    assert_eq!(one.members.downloads.load(Relaxed), 3);
    assert_eq!(two.members.downloads.load(Relaxed), 3);
    let hash: Vec<u64> = server.say("HVALS {aquatic}:test:ipv4:downloads");
    assert_eq!(hash, [3]);
    server.hang();
    let begin = Instant::now();
    one.stop();
    assert!(begin.elapsed() < Duration::from_millis(2_500));
    server.go_on();
}

#[test]
fn full_memory_takes_the_oldest() {
    let limits = ["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"];
    let Some(server) = Server::start(&limits) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    one.wait_until_connected();
    two.wait_until_connected();
    const COUNT: u32 = 100_000;
    for start in (0..COUNT).step_by(2_000) {
        one.change(start..start + 2_000, PeerChange::Leecher);
        thread::sleep(Duration::from_millis(10));
    }
    // A node that keeps up with the stream misses nothing.
    two.wait_for(COUNT as usize);
    let length: u64 = server.say("XLEN {aquatic}:test:ipv6");
    assert!(length < u64::from(COUNT) / 900, "{length} entries are left");
    one.change(0..10, PeerChange::Stopped);
    two.wait_for(COUNT as usize - 10);
    wait_until_equal(&[&one, &two]);
}

#[test]
fn streams_keep_to_their_bytes() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut settings = settings(&server.url(), "one");
    settings.max_stream_bytes = 1_000_000;
    let one = Node::start_with(settings, Arc::default(), None);
    one.change(0..100_000, PeerChange::Leecher);
    eventually("streams are trimmed", || {
        let usage = |kind| -> u64 {
            let usage: Option<u64> = server.say(&format!("MEMORY USAGE {{aquatic}}:test:{kind}"));
            usage.unwrap_or(0)
        };
        let sum = usage("ipv4") + usage("ipv6");
        (sum > 100_000 && sum < 1_200_000).then_some(())
    });
    assert!(one.link.status().stream_bytes() > 0);
}

#[test]
fn an_engine_that_evicts_anything_is_refused() {
    let Some(server) = Server::start(&["--maxmemory-policy", "allkeys-lru"]) else {
        return;
    };
    let text = refused(&settings(&server.url(), "one"));
    assert!(
        text.contains("allkeys-lru") && text.contains("noeviction"),
        "{text}"
    );
    let node = Node::start(&server.url(), "one");
    node.wait_for_error("noeviction");
    // The node connects as soon as the policy is corrected.
    let _: () = server.say("CONFIG SET maxmemory-policy noeviction");
    node.wait_until_connected();
}

#[test]
fn passwords_and_rights_are_asked_for() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let _: () = server.say(&format!("ACL SETUSER aquatic on >secret {ACL_RULES}"));
    let mut user = settings(&server.url(), "one");
    user.username = Some("aquatic".into());
    user.password = Some("wrong".into());
    assert!(refused(&user).contains("cluster.password_file"));
    user.password = Some("secret".into());
    assert_eq!(check(&user), Ok(()));

    let one = Node::start_with(user, Arc::default(), None);
    let two = Node::start(&server.url(), "two");
    one.change(0..10, PeerChange::Leecher);
    one.change(0..1, PeerChange::Completed);
    two.wait_for(10);
    two.change(10..20, PeerChange::Leecher);
    one.wait_for(20);
    // Commands that a node sends only after some seconds are permitted, too.
    thread::sleep(Duration::from_secs(6));
    assert_eq!(one.link.status().error(), None);
    assert_eq!(one.link.status().counts().reconnects(), 0);

    let _: () = server.say("ACL SETUSER aquatic -xadd");
    let text = one.wait_for_error("does not allow");
    assert!(text.contains("xadd") && text.contains(ACL_RULES), "{text}");
    one.change(20..30, PeerChange::Leecher);
    let _: () = server.say("ACL SETUSER aquatic +xadd");
    two.wait_for(30);
    assert_eq!(two.link.status().counts().gaps(), 0);

    // A node without a user name and a password is refused.
    let _: () = server.say("CONFIG SET requirepass another");
    assert!(refused(&settings(&server.url(), "three")).contains("cluster.password_file"));
}

#[test]
fn connections_are_encrypted() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let certificate = file("cert.pem", certificates::EC_CERTIFICATE);
    let key = file("key.pem", certificates::EC_KEY_PKCS8);
    let [plain, encrypted] = [Port::reserve(), Port::reserve()];
    let ports = [plain.number(), encrypted.number()].map(|it| it.to_string());
    let mut arguments = vec!["--port", &ports[0], "--tls-port", &ports[1]];
    arguments.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
    arguments.extend([
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ]);
    let Some(_server) = Server::start(&arguments) else {
        return;
    };
    let url = |scheme: &str, port: &str| {
        let mut settings = settings(&format!("{scheme}://localhost:{port}"), "one");
        settings.tls_ca = Some(certificates::AUTHORITY.into());
        settings
    };
    let one = Node::start_with(url("rediss", &ports[1]), Arc::default(), None);
    let two = Node::start_with(url("redis", &ports[0]), Arc::default(), None);
    one.change(0..10, PeerChange::Leecher);
    two.change(10..20, PeerChange::Leecher);
    one.wait_for(20);
    two.wait_for(20);

    let mut stranger = url("rediss", &ports[1]);
    stranger.tls_ca = Some(certificates::EC_CERTIFICATE_EXPIRED.into());
    let text = away(&stranger);
    assert!(
        text.contains("UnknownIssuer") || text.contains("certificate"),
        "{text}"
    );
    // The authorities that the system trusts do not include the one of this engine.
    stranger.tls_ca = None;
    let text = away(&stranger);
    assert!(text.contains("UnknownIssuer"), "{text}");
    stranger.tls_ca = Some(b"no certificate".to_vec());
    assert!(matches!(check(&stranger), Err(EngineError::Refused(_))));

    let text = away(&url("rediss", &ports[0]));
    assert!(text.contains("redis instead of rediss"), "{text}");
    let text = away(&url("redis", &ports[1]));
    assert!(text.contains("rediss instead of redis"), "{text}");
}

#[test]
fn a_duplicate_name_is_reported() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    one.wait_until_connected();
    assert!(!one.link.status().has_duplicate_name());
    let _other = Node::start(&server.url(), "one");
    eventually("it is noticed", || {
        one.link.status().has_duplicate_name().then_some(())
    });
    // An earlier run of the same node is not a duplicate.
    let two = Node::start(&server.url(), "two");
    two.wait_until_connected();
    two.stop();
    let two = Node::start(&server.url(), "two");
    two.wait_until_connected();
    thread::sleep(Duration::from_secs(4));
    assert!(!two.link.status().has_duplicate_name());
}

#[test]
fn keys_of_others_are_left_alone() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let _: () = server.say("SET {aquatic}:test:ipv4 text");
    let text = refused(&settings(&server.url(), "one"));
    assert!(text.contains("cluster.namespace"), "{text}");
    let _: () = server.say("DEL {aquatic}:test:ipv4");
    let _: () = server.say("SET {aquatic}:test:connection-id-key short");
    let node = Node::start(&server.url(), "one");
    node.wait_for_error("cluster.namespace");
    assert_eq!(node.link.connection_id_key(), None);
}

#[test]
fn entries_of_others_are_left_out() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    one.wait_until_connected();
    let mut other = Vec::new();
    batch::start(&mut other);
    let header = Header {
        kind: Kind::Ipv4,
        max_peer_age_seconds: 1200,
        node: NodeId([9; 8]),
        sequence: 1,
        closed_at_milliseconds: 0,
    };
    header.write(&mut other);
    let mut newer = other.clone();
    newer[0] = 2;
    let mut ipv6 = other.clone();
    ipv6[1] = 2;
    let entries: [(&str, &[u8]); 6] = [
        ("b", b""),
        ("b", &[0xff; 100_000]),
        ("b", b"\x01what"),
        ("temperature", b"20"),
        ("b", &newer),
        // This batch belongs in the other stream.
        ("b", &ipv6),
    ];
    for (field, value) in entries {
        let mut add = redis::cmd("XADD");
        add.arg("{aquatic}:test:ipv4")
            .arg("*")
            .arg(field)
            .arg(value);
        let _: String = server.ask(&add);
    }
    eventually("they are refused", || {
        (one.link.status().counts().refused() == 6).then_some(())
    });
    assert!(Batch::parse(&other).is_ok());
    one.change(0..10, PeerChange::Leecher);
    let two = Node::start(&server.url(), "two");
    two.wait_for(10);
    assert_eq!(one.link.status().error(), None);
}

#[test]
fn messages_of_others_are_left_out() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let [one, two] = ["one", "two"].map(|name| Node::start(&server.url(), name));
    one.offer_until_received(&two, "first");
    let channels: Vec<String> = server.say("PUBSUB CHANNELS aquatic:test:*");
    assert_eq!(channels.len(), 2, "{channels:?}");
    let mut empty = signal::start();
    signal::write_header(&mut empty, NodeId([9; 8]), 0);
    let truncated = [&*empty, b"\x01"].concat();
    let mut newer = empty;
    newer[0] = 2;
    let long = vec![1; 2_000_000];
    let messages: [&[u8]; 5] = [b"", b"what", &long, &newer, &truncated];
    for channel in &channels {
        for message in messages {
            let received: u64 = server.ask(redis::cmd("PUBLISH").arg(channel).arg(message));
            assert_eq!(received, 1);
        }
    }
    for node in [&one, &two] {
        eventually("they are refused", || {
            (node.link.status().counts().refused() == 5).then_some(())
        });
    }
    one.offer_until_received(&two, "second");
    assert_eq!(two.link.status().error(), None);
}

#[test]
fn other_namespaces_are_other_swarms() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let mut other = settings(&server.url(), "two");
    other.namespace = "other".into();
    let other = Node::start_with(other, Arc::default(), None);
    one.change(0..10, PeerChange::Leecher);
    other.wait_until_connected();
    let two = Node::start(&server.url(), "two");
    two.wait_for(10);
    assert!(other.roles().is_empty());
    assert_eq!(other.link.status().nodes(), 0);
}

/// If downloads cannot be counted, batches are still sent, and only once.
#[test]
fn downloads_that_cannot_be_counted_repeat_no_batch() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    let two = Node::start(&server.url(), "two");
    one.wait_until_connected();
    two.wait_until_connected();
    for kind in ["ipv4", "ipv6"] {
        let _: () = server.say(&format!("SET {{aquatic}}:test:{kind}:downloads text"));
    }
    one.change(0..3, PeerChange::Completed);
    two.wait_for(3);
    let sent = one.link.status().counts().records_out();
    thread::sleep(Duration::from_secs(6));
    assert_eq!(one.link.status().counts().records_out(), sent);
    assert_eq!(two.members.downloads.load(Relaxed), 3);
    one.change(3..5, PeerChange::Leecher);
    two.wait_for(5);
    assert_eq!(two.link.status().counts().repeats(), 0);
}

/// The memory is full at the moment a node connects, because of the streams.
#[test]
fn a_node_that_finds_the_memory_full_makes_space() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let one = Node::start(&server.url(), "one");
    one.change(0..50_000, PeerChange::Leecher);
    eventually("it is published", || {
        (one.link.status().counts().records_out() == 100_000).then_some(())
    });
    one.stop();
    // Less memory than the streams take.
    let _: () = server.say("CONFIG SET maxmemory 3mb");
    let two = Node::start(&server.url(), "two");
    two.change(50_000..50_010, PeerChange::Leecher);
    let three = Node::start(&server.url(), "three");
    eventually("it is published all the same", || {
        let roles = three.roles();
        (50_000..50_010)
            .all(|number| roles.contains_key(&(false, number)))
            .then_some(())
    });
}
