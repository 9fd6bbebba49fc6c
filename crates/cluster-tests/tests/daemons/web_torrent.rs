//! WebTorrent peers that are connected to several aquatic-ws.

use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::tracker::Tracker;
use aquatic_test_harness::{Signal, eventually};
use serde_json::json;

use crate::engine::{Engine, health, node};
use crate::pair::Site;
use crate::wire::{Client, answer, name, offers};

/// How long others consider a killed node as running: three seconds of silence, and one
/// until the next heartbeat of another node.
const DEATH: Duration = Duration::from_millis(4_500);

/// Nodes that share an engine.
struct Cluster {
    nodes: Vec<Tracker>,
    engine: Engine,
    site: Site,
}

impl Cluster {
    /// `None` without a redis-server.
    fn start(event_loops: &[&str], settings: &[(&str, &str)]) -> Option<Self> {
        let site = Site::new();
        let engine = Engine::start(&site, &[])?;
        let count = event_loops.len();
        let nodes = event_loops.iter().enumerate().map(|(number, event_loop)| {
            let place = node(site.ws(), &engine.url(), &format!("node{number}"));
            let event_loop = format!("\"{event_loop}\"");
            let place = place.with(&[("network.event_loop", &event_loop)]);
            place.with(settings).start()
        });
        let cluster = Self {
            nodes: nodes.collect(),
            engine,
            site,
        };
        for node in &cluster.nodes {
            node.await_metric("cluster_nodes", &[], count as f64 - 1.0);
        }
        Some(cluster)
    }

    #[track_caller]
    fn client(&self, node: usize) -> Client {
        client(&self.nodes[node])
    }
}

#[track_caller]
fn client(node: &Tracker) -> Client {
    let mut client = Client::connect(node.ipv4(), false);
    client.upgrade();
    client
}

/// Seeders, leechers and downloads.
#[track_caller]
fn counts(client: &mut Client, torrent: char) -> [u64; 3] {
    let scraped = client.ask(&json!({"action": "scrape", "info_hash": name(torrent)}));
    let files = &scraped["files"][name(torrent)];
    ["complete", "incomplete", "downloaded"].map(|it| files[it].as_u64().expect("a number"))
}

#[track_caller]
fn await_counts(node: &Tracker, torrent: char, expected: [u64; 3]) {
    let mut client = client(node);
    eventually(&format!("{expected:?}"), || {
        (counts(&mut client, torrent) == expected).then_some(())
    });
}

/// An offer of `q` reaches `p`, and its answer comes back; both are in torrent `a`.
#[track_caller]
fn exchange(p: &mut Client, q: &mut Client) {
    q.announce('a', 'q', offers(1, 2_000));
    let offer = p.relayed();
    assert_eq!(offer["info_hash"], name('a'));
    assert_eq!(offer["peer_id"], name('q'));
    assert_eq!(offer["offer_id"], "offer000000000000000");
    assert_eq!(offer["offer"]["sdp"].as_str().expect("text").len(), 2_000);
    p.say(&answer('a', 'p', 'q'));
    let relayed = q.relayed();
    assert_eq!(relayed["peer_id"], name('p'));
    assert_eq!(relayed["answer"]["sdp"], "back");
}

#[test]
fn an_offer_and_its_answer_cross_between_nodes() {
    let Some(cluster) = Cluster::start(&["mio", "glommio"], &[]) else {
        return;
    };
    for [one, two] in [[0, 1], [1, 0]] {
        let mut p = cluster.client(one);
        let mut q = cluster.client(two);
        p.announce('a', 'p', json!({"event": "started"}));
        await_counts(&cluster.nodes[two], 'a', [0, 1, one as u64]);
        exchange(&mut p, &mut q);
        // The answer is accepted only once.
        let rejected = p.ask(&answer('a', 'p', 'q'));
        assert!(rejected["failure reason"].is_string(), "{rejected}");
        q.expect_silence();

        q.announce('a', 'q', json!({"left": 0, "event": "completed"}));
        let downloads = one as u64 + 1;
        await_counts(&cluster.nodes[one], 'a', [1, 1, downloads]);
        p.announce('a', 'p', json!({"event": "stopped"}));
        drop(q);
        for node in &cluster.nodes {
            await_counts(node, 'a', [0, 0, downloads]);
        }
    }
    for node in &cluster.nodes {
        let sent = [("result", "sent_to_node")];
        assert_eq!(node.metric("offers_total", &sent), 1.0);
        assert_eq!(node.metric("answers_total", &sent), 1.0);
        assert_eq!(node.metric("cluster_signal_batches_sent_total", &[]), 2.0);
        let accepted = [("result", "accepted")];
        let received = node.metric("cluster_signals_received_total", &accepted);
        assert_eq!(received, 2.0);
        assert_eq!(health(node), "ok\n");
    }
}

#[test]
fn peers_of_a_node_that_is_killed_are_gone_soon() {
    let Some(mut cluster) = Cluster::start(&["mio", "mio", "mio"], &[]) else {
        return;
    };
    let mut clients: Vec<Client> = (0..3).map(|node| cluster.client(node)).collect();
    for (client, peer) in clients.iter_mut().zip("pqr".chars()) {
        client.announce('a', peer, json!({}));
    }
    for node in &cluster.nodes {
        await_counts(node, 'a', [0, 3, 0]);
    }
    // The node is killed by SIGKILL.
    drop(cluster.nodes.remove(0));
    let killed = Instant::now();
    for node in &cluster.nodes {
        await_counts(node, 'a', [0, 2, 0]);
    }
    assert!(killed.elapsed() < DEATH, "{:?}", killed.elapsed());
    // No offer goes to the killed node.
    let reply = clients[1].announce('a', 'q', offers(2, 100));
    assert_eq!(reply["incomplete"], 1);
    assert_eq!(clients[2].relayed()["peer_id"], name('q'));
    let unreachable = [("result", "node_unreachable")];
    assert_eq!(cluster.nodes[0].metric("offers_total", &unreachable), 0.0);

    // A node that stops in an orderly way is gone sooner.
    let stopped = Instant::now();
    cluster.nodes.remove(0).daemon.stop();
    await_counts(&cluster.nodes[0], 'a', [0, 1, 0]);
    assert!(stopped.elapsed() < DEATH, "{:?}", stopped.elapsed());
    cluster.nodes[0].await_metric("cluster_nodes", &[], 0.0);
}

#[test]
fn an_engine_that_is_away_takes_no_peers_away() {
    let Some(cluster) = Cluster::start(&["mio", "mio"], &[]) else {
        return;
    };
    let Cluster {
        nodes,
        engine,
        site,
    } = cluster;
    let mut p = client(&nodes[0]);
    let mut q = client(&nodes[1]);
    p.announce('a', 'p', json!({}));
    q.announce('a', 'q', json!({}));
    for node in &nodes {
        await_counts(node, 'a', [0, 2, 0]);
    }
    drop(engine.process);
    eventually("/health says it", || {
        let text = health(&nodes[1]);
        text.starts_with("ok, but cut off from other nodes: ")
            .then_some(())
    });
    thread::sleep(DEATH);
    // Offers to the other node are lost, and those to a peer of the same node arrive.
    let mut near = client(&nodes[1]);
    near.announce('a', 'n', json!({}));
    let reply = q.announce('a', 'q', offers(3, 100));
    assert_eq!(reply["incomplete"], 2);
    assert_eq!(near.relayed()["peer_id"], name('q'));
    eventually("the other offer is lost", || {
        let unreachable = nodes[1].metric("offers_total", &[("result", "node_unreachable")]);
        let lost = nodes[1].metric("cluster_signal_batches_lost_total", &[]);
        (unreachable + lost == 1.0).then_some(())
    });

    // The engine starts without its data.
    let _engine = Engine::start(&site, &[]).expect("it was there");
    eventually("/health is good", || {
        (health(&nodes[0]) == "ok\n" && health(&nodes[1]) == "ok\n").then_some(())
    });
    for node in &nodes {
        await_counts(node, 'a', [0, 3, 0]);
    }
    drop(near);
    await_counts(&nodes[0], 'a', [0, 2, 0]);
    exchange(&mut p, &mut q);
    thread::sleep(DEATH);
    for node in &nodes {
        await_counts(node, 'a', [0, 2, 0]);
    }
}

#[test]
fn a_node_that_was_held_up_comes_back_with_its_peers() {
    let Some(cluster) = Cluster::start(&["mio", "mio"], &[]) else {
        return;
    };
    let mut p = cluster.client(0);
    let mut q = cluster.client(1);
    p.announce('a', 'p', json!({}));
    q.announce('a', 'q', json!({}));
    await_counts(&cluster.nodes[1], 'a', [0, 2, 0]);
    cluster.nodes[0].daemon.signal(Signal::SIGSTOP);
    await_counts(&cluster.nodes[1], 'a', [0, 1, 0]);
    cluster.nodes[0].daemon.signal(Signal::SIGCONT);
    // The peer is back without another announce.
    await_counts(&cluster.nodes[1], 'a', [0, 2, 0]);
    exchange(&mut p, &mut q);
}

#[test]
fn a_client_may_announce_to_several_nodes() {
    let Some(cluster) = Cluster::start(&["mio", "mio"], &[]) else {
        return;
    };
    let mut clients: Vec<Client> = (0..2).map(|node| cluster.client(node)).collect();
    for client in &mut clients {
        client.announce('a', 'p', json!({}));
    }
    let mut q = cluster.client(1);
    q.announce('a', 'q', json!({}));
    for node in &cluster.nodes {
        await_counts(node, 'a', [0, 2, 0]);
    }
    // The peer stays at the second node when it leaves the first, which is then informed
    // of it again.
    clients.remove(0);
    await_counts(&cluster.nodes[1], 'a', [0, 2, 0]);
    clients[0].announce('a', 'p', json!({}));
    await_counts(&cluster.nodes[0], 'a', [0, 2, 0]);
    exchange(&mut clients[0], &mut q);
}

#[test]
fn the_access_list_and_the_age_of_offers_hold_for_other_nodes() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let one = node(site.ws(), &engine.url(), "one").start();
    let mut place = node(site.ws(), &engine.url(), "two");
    place.set("access_list.mode", "\"deny\"");
    place.set_path("access_list.path", "list");
    place
        .setup
        .write("list", format!("{}\n", format!("{:02x}", b'f').repeat(20)));
    place.set("cleaning.max_offer_age", "3");
    let two = place.start();
    for node in [&one, &two] {
        node.await_metric("cluster_nodes", &[], 1.0);
    }
    let mut q = client(&one);
    q.announce('f', 'q', json!({}));
    let forbidden = [("reason", "forbidden")];
    two.await_metric("cluster_rejected_peers_total", &forbidden, 1.0);
    assert_eq!(two.metric("torrents", &[]), 0.0);

    let mut p = client(&two);
    p.announce('a', 'p', json!({}));
    await_counts(&one, 'a', [0, 1, 0]);
    q.announce('a', 'q', offers(1, 100));
    assert_eq!(p.relayed()["peer_id"], name('q'));
    thread::sleep(Duration::from_millis(3_500));
    let rejected = p.ask(&answer('a', 'p', 'q'));
    assert!(rejected["failure reason"].is_string(), "{rejected}");
}
