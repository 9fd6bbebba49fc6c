//! Failover from one engine to another, with Sentinel and with Cluster.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use aquatic_cluster::PeerChange;
use aquatic_cluster::engine::{EngineError, check};
use aquatic_test_harness::ports::Port;
use aquatic_test_harness::process::Process;
use aquatic_test_harness::tools;
use aquatic_test_harness::waiting::eventually;

use crate::node::{Node, settings};
use crate::server::Server;
use crate::wait_until_equal;

const SENTINEL: &str = "redis-sentinel";
const PASSWORD: &str = "secret";

/// A Sentinel that watches a primary at this port.
fn sentinel(directory: &std::path::Path, port: u16, primary: u16) -> Process {
    let configuration = directory.join("sentinel.conf");
    let text = format!(
        "port {port}\ndir {}\nsentinel monitor main 127.0.0.1 {primary} 1\n\
         sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n\
         requirepass {PASSWORD}\nsentinel auth-pass main {PASSWORD}\n",
        directory.display()
    );
    fs::write(&configuration, text).expect("a file");
    let mut command = Command::new(tools::find(SENTINEL).expect("it is there"));
    Process::start(SENTINEL, command.arg(configuration))
}

#[test]
fn sentinels_say_who_took_over() {
    if !tools::needs(&[SENTINEL]) {
        return;
    }
    let [first, second, watcher, silent] = [0; 4].map(|_| Port::reserve());
    let ports = [&first, &second].map(|it| it.number().to_string());
    let password = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
    let arguments = [&["--port", &ports[0]], &password[..]].concat();
    let Some(mut primary) = Server::start(&arguments) else {
        return;
    };
    let replica = ["--port", &ports[1], "--replicaof", "127.0.0.1", &ports[0]];
    let Some(replica) = Server::start(&[&replica, &password[..]].concat()) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let _sentinel = sentinel(directory.path(), watcher.number(), first.number());
    // A Sentinel that cannot be reached does not matter.
    let url = format!(
        "redis+sentinel://127.0.0.1:{},127.0.0.1:{}/main",
        silent.number(),
        watcher.number()
    );
    let settings = |url: &str, name: &str| {
        let mut settings = settings(url, name);
        settings.password = Some(PASSWORD.into());
        settings
    };
    let start = |name: &str| Node::start_with(settings(&url, name), Arc::default(), None);
    eventually("the Sentinel knows both", || {
        check(&settings(&url, "one")).ok()?;
        let answer: Vec<String> = replica.say("ROLE");
        (answer.get(3).map(String::as_str) == Some("connected")).then_some(())
    });
    // The Sentinel asks the primary for replicas every ten seconds.
    eventually("the Sentinel knows the replica", || {
        let client = redis::Client::open(format!(
            "redis://:{PASSWORD}@127.0.0.1:{}",
            watcher.number()
        ));
        let mut connection = client.ok()?.get_connection().ok()?;
        let mut ask = redis::cmd("SENTINEL");
        let found: Vec<redis::Value> = ask
            .arg("replicas")
            .arg("main")
            .query(&mut connection)
            .ok()?;
        (found.len() == 1).then_some(())
    });
    let other = url.replace("/main", "/other");
    let error = check(&settings(&other, "one")).expect_err("there is no such name");
    assert!(error.to_string().contains("does not know"), "{error}");
    let direct = format!("redis://127.0.0.1:{}", second.number());
    let Err(EngineError::Refused(text)) = check(&settings(&direct, "one")) else {
        panic!("nobody can write to a replica");
    };
    assert!(text.contains("primary"), "{text}");

    let one = start("one");
    let two = start("two");
    one.change(0..100, PeerChange::Leecher);
    two.wait_for(100);
    one.offer_until_received(&two, "before");
    primary.kill();
    one.change(100..200, PeerChange::Leecher);
    two.change(0..10, PeerChange::Stopped);
    one.wait_for_error("");
    one.wait_for(190);
    two.wait_for(190);
    wait_until_equal(&[&one, &two]);
    let new = start("three");
    new.wait_for(190);
    wait_until_equal(&[&one, &new]);
    for (from, to) in [(&one, &two), (&two, &one), (&one, &new)] {
        from.offer_until_received(to, "after");
    }
}

#[test]
fn clusters_say_who_has_our_keys() {
    let ports = [0; 3].map(|_| Port::reserve());
    let start = |port: &Port| {
        let number = port.number().to_string();
        let timeout = ["--cluster-node-timeout", "2000"];
        let port = ["--port", &number, "--cluster-enabled", "yes"];
        // The port of the cluster's own connections is larger by 10,000 unless given.
        let bus = Port::reserve();
        let bus_number = bus.number().to_string();
        let bus_port = ["--cluster-port", &bus_number];
        let arguments = [&port[..], &timeout, &bus_port].concat();
        Server::start(&arguments).map(|server| (server, bus))
    };
    let started: Option<Vec<_>> = ports.iter().map(start).collect();
    let Some(started) = started else {
        return;
    };
    let (mut servers, buses): (Vec<_>, Vec<_>) = started.into_iter().unzip();
    // All slots except that of our keys are on another server.
    let slot: u32 = servers[0].say("CLUSTER KEYSLOT aquatic");
    let _: () = servers[0].say(&format!("CLUSTER ADDSLOTS {slot}"));
    let _: () = servers[2].say(&format!(
        "CLUSTER ADDSLOTSRANGE 0 {} {} 16383",
        slot - 1,
        slot + 1
    ));
    for index in [1, 2] {
        let (port, bus) = (ports[index].number(), buses[index].number());
        let _: () = servers[0].say(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
    }
    let wait = |server: &Server, what: &str| {
        eventually(what, || {
            let info: String = server.say("CLUSTER INFO");
            info.contains(what).then_some(())
        });
    };
    for server in &servers {
        wait(server, "cluster_known_nodes:3");
        wait(server, "cluster_state:ok");
    }
    let id: String = servers[0].say("CLUSTER MYID");
    let _: () = servers[1].say(&format!("CLUSTER REPLICATE {id}"));
    eventually("it follows", || {
        let answer: Vec<String> = servers[1].say("ROLE");
        (answer.get(3).map(String::as_str) == Some("connected")).then_some(())
    });

    // The URL need not name the server with our keys, and its first one may be
    // unreachable.
    let url = format!(
        "redis+cluster://127.0.0.1:1,127.0.0.1:{}",
        ports[2].number()
    );
    let one = Node::start(&url, "one");
    let two = Node::start(&url, "two");
    one.change(0..100, PeerChange::Leecher);
    two.wait_for(100);
    let length: u64 = servers[0].say("XLEN {aquatic}:test:ipv4");
    assert!(length > 0);
    one.offer_until_received(&two, "before");

    servers[0].kill();
    one.wait_for_error("");
    one.change(100..200, PeerChange::Leecher);
    let _: () = servers[1].say("CLUSTER FAILOVER TAKEOVER");
    two.wait_for(200);
    two.change(0..10, PeerChange::Stopped);
    one.wait_for(190);
    wait_until_equal(&[&one, &two]);
    one.offer_until_received(&two, "after");
    two.offer_until_received(&one, "after");
}
