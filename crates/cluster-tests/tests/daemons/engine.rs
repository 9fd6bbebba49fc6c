//! Daemons that keep one swarm through Redis.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use aquatic_test_harness::process::Process;
use aquatic_test_harness::tracker::{Place, Tracker};
use aquatic_test_harness::{PATIENCE, eventually, http, tools};

use crate::client::{Connection, Url, leecher, seeder};
use crate::pair::{Site, await_counts};

const PROGRAM: &str = "redis-server";

/// The exit status for a configuration that has to be corrected first.
const MISCONFIGURED: Option<i32> = Some(78);

/// A redis-server that does not save its data, on a socket in the directory of a site.
pub(crate) struct Engine {
    socket: PathBuf,
    pub(crate) process: Process,
}

impl Engine {
    pub(crate) fn start(site: &Site, arguments: &[&str]) -> Option<Self> {
        if !tools::needs(&[PROGRAM]) {
            return None;
        }
        let socket = site.runtime().join("engine.sock");
        // One that was killed has left it.
        let _ = fs::remove_file(&socket);
        let mut command = Command::new(tools::find(PROGRAM).expect("it is there"));
        command.args(["--port", "0", "--save", ""]);
        command.arg("--dir").arg(site.runtime());
        command.arg("--unixsocket").arg(&socket).args(arguments);
        let process = Process::start(PROGRAM, &mut command);
        eventually("the engine's socket", || socket.exists().then_some(()));
        Some(Self { socket, process })
    }

    /// The URL as it is written in a configuration.
    pub(crate) fn url(&self) -> String {
        format!("\"redis+unix://{}\"", self.socket.display())
    }

    /// The value of a key, empty if there is none.
    fn get(&self, key: &str) -> Vec<u8> {
        self.ask(&["GET", key]).pop().unwrap_or_default()
    }

    /// The values in the reply to a command, whatever is nested in it, without nulls. An
    /// error is its text.
    pub(crate) fn ask(&self, command: &[&str]) -> Vec<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket).expect("a connection");
        let mut request = format!("*{}\r\n", command.len());
        for word in command {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(request.as_bytes()).expect("sent");
        let mut values = Vec::new();
        read_reply(&mut BufReader::new(stream), &mut values);
        values
    }
}

/// Reads a reply (RESP2).
fn read_reply(input: &mut impl BufRead, values: &mut Vec<Vec<u8>>) {
    let mut line = String::new();
    input.read_line(&mut line).expect("a reply");
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        "*" => {
            for _ in 0..rest.parse().unwrap_or(0) {
                read_reply(input, values);
            }
        }
        "$" => {
            let Ok(length) = rest.parse::<usize>() else {
                return;
            };
            let mut value = vec![0; length + 2];
            input.read_exact(&mut value).expect("a value");
            value.truncate(length);
            values.push(value);
        }
        _ => values.push(rest.as_bytes().to_vec()),
    }
}

/// A daemon of this name in the cluster.
pub(crate) fn node(place: Place, url: &str, name: &str) -> Place {
    place.with(&[
        ("cluster.url", url),
        ("cluster.node", &format!("\"{name}\"")),
    ])
}

pub(crate) fn health(tracker: &Tracker) -> String {
    http::get(tracker.place.metrics.ipv4(), "/health").body
}

#[test]
fn daemons_that_share_an_engine_have_one_swarm_and_one_key() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let one = node(site.udp(), &engine.url(), "one").start();
    let two = node(site.udp(), &engine.url(), "two").start();
    let web = node(site.http(), &engine.url(), "web").start();
    let urls = [
        Url::Udp(one.ipv4()),
        Url::Udp(two.ipv4()),
        Url::Http(web.ipv4()),
    ];
    for (port, url) in (1001..).zip(urls) {
        url.announce(seeder('a', port));
    }
    for url in urls {
        await_counts(url, 'a', [3, 0, 0]);
    }
    let ipv6 = [Url::Udp(one.ipv6()), Url::Http(web.ipv6())];
    ipv6[0].announce(leecher('b', 1001));
    await_counts(ipv6[1], 'b', [0, 1, 0]);
    for tracker in [&one, &two, &web] {
        tracker.await_metric("cluster_nodes", &[], 2.0);
        assert_eq!(health(tracker), "ok\n");
    }

    // A connection id from one node is valid at the other.
    let connection = shared_connection(&one, &two);
    let scraped = connection.ask(2, &[b'a'; 20]).expect("a reply");
    assert_eq!(scraped, [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// A client with a connection id from `one`, for requests to `other`. Waits until both
/// have the key that all nodes share.
#[track_caller]
pub(crate) fn shared_connection(one: &Tracker, other: &Tracker) -> Connection {
    eventually("an id that both accept", || {
        let connection = Connection::new(one.ipv4()).at(other.ipv4());
        let scrape = [&connection.header(2)[..], &[1; 20]].concat();
        connection.socket.send(&scrape).expect("sent");
        // A wrong connection id gets no reply.
        let short = Some(Duration::from_millis(300));
        connection
            .socket
            .set_read_timeout(short)
            .expect("a timeout");
        let mut reply = [0; 64];
        let length = connection.socket.recv(&mut reply).ok()?;
        assert_eq!(length, 20);
        connection
            .socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout");
        Some(connection)
    })
}

#[test]
fn without_its_engine_a_daemon_serves_and_says_so() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let one = node(site.udp(), &engine.url(), "one").start();
    let web = node(site.http(), &engine.url(), "web").start();
    let (udp, http) = (Url::Udp(one.ipv4()), Url::Http(web.ipv4()));
    udp.announce(seeder('a', 1001));
    await_counts(http, 'a', [1, 0, 0]);

    drop(engine.process);
    eventually("/health says it", || {
        let text = health(&one);
        text.starts_with("ok, but cut off from other nodes: ")
            .then_some(())
    });
    udp.announce(seeder('b', 1002));
    assert_eq!(udp.scrape('b').seeders, 1);
    one.await_metric("cluster_connected", &[], 0.0);

    // The engine starts without its data, and gets it again.
    let _engine = Engine::start(&site, &[]).expect("it was there");
    await_counts(http, 'b', [1, 0, 0]);
    eventually("/health is good", || (health(&one) == "ok\n").then_some(()));
    let late = node(site.http(), &engine_url(&site), "late").start();
    await_counts(Url::Http(late.ipv4()), 'a', [1, 0, 0]);
    await_counts(Url::Http(late.ipv4()), 'b', [1, 0, 0]);
}

fn engine_url(site: &Site) -> String {
    let socket = site.runtime().join("engine.sock");
    format!("\"redis+unix://{}\"", socket.display())
}

#[test]
fn a_restart_goes_on_where_the_snapshot_was() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let mut place = node(site.udp(), &engine.url(), "one");
    place.set_path("snapshot.path", "snapshot");
    let one = place.start();
    let two = node(site.udp(), &engine.url(), "two").start();
    let url = |tracker: &Tracker| Url::Udp(tracker.ipv4());
    url(&one).announce(seeder('a', 1001));
    url(&two).announce(seeder('a', 1002));
    await_counts(url(&one), 'a', [2, 0, 0]);

    let one = one.restart();
    await_counts(url(&one), 'a', [2, 0, 0]);
    url(&two).announce(seeder('a', 1003));
    await_counts(url(&one), 'a', [3, 0, 0]);
    url(&one).announce(seeder('a', 1004));
    await_counts(url(&two), 'a', [4, 0, 0]);
}

#[test]
fn what_an_operator_has_to_mend_ends_the_start() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &["--maxmemory-policy", "allkeys-lru"]) else {
        return;
    };
    let refused = |place: &Place, key: &str, needle: &str| {
        let (status, log) = place.start_in_vain();
        assert_eq!(status, MISCONFIGURED, "{log}");
        assert!(log.contains(key) && log.contains(needle), "{log}");
    };
    let url = engine.url();
    refused(&node(site.udp(), &url, "one"), "cluster.url", "allkeys-lru");
    refused(
        &node(site.http(), &url, "one"),
        "cluster.url",
        "allkeys-lru",
    );
    let wrong = |key, value| site.udp().with(&[("cluster.url", &url), (key, value)]);
    let scheme = site.udp().with(&[("cluster.url", "\"http://127.0.0.1\"")]);
    refused(&scheme, "cluster.url", "redis://");
    let space = wrong("cluster.namespace", "\"two words\"");
    refused(&space, "cluster.namespace", "letters");
    let file = wrong("cluster.password_file", "\"/nonexistent\"");
    refused(&file, "cluster.password_file", "/nonexistent");
    let empty = site.runtime().join("empty");
    fs::write(&empty, "\n").expect("a file");
    let empty = format!("\"{}\"", empty.display());
    let file = wrong("cluster.password_file", &empty);
    refused(&file, "cluster.password_file", "empty");
    let ca = wrong("cluster.tls_ca_path", &empty);
    refused(&ca, "cluster.tls_ca_path", "PEM");
}

#[test]
fn a_daemon_without_its_engine_keeps_and_says_what_it_may() {
    let site = Site::new();
    let smallest = ("cluster.max_outbox_bytes", "1048576");
    let one = node(site.udp(), &engine_url(&site), "one")
        .with(&[smallest])
        .start();
    let connection = Connection::new(one.ipv4());
    for port in 1..=45_000_u16 {
        let mut announce = [0; 82];
        announce[80..].copy_from_slice(&port.to_be_bytes());
        connection.ask(1, &announce).expect("a reply");
    }
    one.daemon
        .wait_for_log("too many for cluster.max_outbox_bytes");
    assert!(one.metric("cluster_dropped_records_total", &[]) > 0.0);
    one.daemon.stop();
}

/// A key that is not secret would let everybody make connection ids for any address.
#[test]
fn the_key_of_connection_ids_is_that_of_a_udp_tracker() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    const KEY: &str = "{aquatic}:default:connection-id-key";
    let web = node(site.http(), &engine.url(), "web").start();
    web.await_metric("cluster_connected", &[], 1.0);
    let one = node(site.udp(), &engine.url(), "one").start();
    web.await_metric("cluster_nodes", &[], 1.0);
    one.await_metric("cluster_nodes", &[], 1.0);
    let key = eventually("the key", || {
        let key = engine.get(KEY);
        (!key.is_empty()).then_some(key)
    });
    assert_eq!(key.len(), 16);
    assert!(key.iter().any(|&byte| byte != key[0]), "{key:?}");
    drop(one);
    let _two = node(site.udp(), &engine.url(), "two").start();
    web.await_metric("cluster_nodes", &[], 1.0);
    assert_eq!(engine.get(KEY), key);
}
