//! Accounting to a stream of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aquatic_test_harness::clients::PYTHON;
use aquatic_test_harness::process::Process;
use aquatic_test_harness::tracker::{Place, Tracker};
use aquatic_test_harness::{Signal, eventually, http, tools};
use serde_json::{Value, json};

use crate::client::Connection;
use crate::engine::{Engine, health, node};
use crate::pair::Site;
use crate::wire::{Client, announce};

const ALICE: &str = "0123456789abcdef0123456789abcdef";
const BOB: &str = "fedcba9876543210fedcba9876543210";

const STREAM: &str = "{aquatic}:default:accounting";

/// The program of aquatic-accounting(7).
const CONSUMER: &str = include_str!("../../../generate/src/man/parts/accounting-stream-consumer");

/// A place for a tracker that adds to the stream.
fn accounted(place: Place, url: &str, name: &str) -> Place {
    let mut place = node(place, url, name);
    let lines = format!("{ALICE} alice\n{BOB} bob\n");
    place.setup.write_secret("keys", lines);
    place.set_path("keys.path", "keys");
    place.with(&[("accounting.stream", "true")])
}

/// What the stream contains.
fn entries(engine: &Engine) -> Vec<Value> {
    let values = engine.ask(&["XRANGE", STREAM, "-", "+"]);
    let entries = values.chunks_exact(3);
    entries
        .map(|entry| {
            assert_eq!(entry[1], b"json");
            serde_json::from_slice(&entry[2]).expect("JSON")
        })
        .collect()
}

/// The entries, once there are so many. None is there twice, and those of a run are in order.
#[track_caller]
fn await_entries(engine: &Engine, count: usize) -> Vec<Value> {
    let entries = eventually(&format!("{count} entries"), || {
        let entries = entries(engine);
        (entries.len() >= count).then_some(entries)
    });
    let mut last = BTreeMap::new();
    for entry in &entries {
        assert_eq!(entry["version"], 1);
        let run = entry["run"].as_str().expect("text").to_owned();
        let sequence = entry["sequence"].as_u64().expect("a number");
        let before = last.insert(run, sequence).unwrap_or(0);
        assert_eq!(sequence, before + 1, "{entry}");
    }
    assert_eq!(entries.len(), count);
    entries
}

/// Announces over HTTP, with a new connection.
#[track_caller]
fn announce_http(tracker: &Tracker, key: &str, more: &str) {
    // A torrent without other peers, whose ports need not be UTF-8.
    let (hash, id) = ("b".repeat(20), "p".repeat(20));
    let target = format!("/{key}/announce?info_hash={hash}&peer_id={id}&port=1&left=7{more}");
    let body = http::get(tracker.ipv4(), &target).body;
    assert!(body.starts_with("d8:complete"), "{body}");
}

/// An announce over UDP with a key in its URL data.
fn announce_udp(uploaded: u64) -> Vec<u8> {
    let mut request = [b'a'; 40].to_vec();
    for count in [0, 1_000, uploaded] {
        request.extend(count.to_be_bytes());
    }
    for word in [0_u32, 0, 0, u32::MAX] {
        request.extend(word.to_be_bytes());
    }
    request.extend(1001_u16.to_be_bytes());
    let url = format!("/{ALICE}/announce");
    request.extend([2, url.len() as u8]);
    request.extend(url.bytes());
    request
}

#[track_caller]
fn announce_many(tracker: &Tracker, numbers: std::ops::Range<u64>) {
    let connection = Connection::new(tracker.ipv4());
    for number in numbers {
        let sent = Instant::now();
        connection.ask(1, &announce_udp(number)).expect("a reply");
        assert!(sent.elapsed() < Duration::from_secs(1), "it had to wait");
    }
}

fn written(tracker: &Tracker) -> f64 {
    tracker.metric("accounting_records_total", &[("result", "written")])
}

fn dropped(tracker: &Tracker) -> f64 {
    tracker.metric("accounting_records_total", &[("result", "dropped")])
}

#[test]
fn all_trackers_of_a_cluster_add_to_one_stream() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let url = engine.url();
    let udp = accounted(site.udp(), &url, "udp").start();
    announce_many(&udp, 0..3);
    let mut trackers = vec![udp];
    for event_loop in ["\"mio\"", "\"glommio\""] {
        let driven_by = |place: Place| place.with(&[("network.event_loop", event_loop)]);
        let name = format!("http-{}", event_loop.len());
        let web = driven_by(accounted(site.http(), &url, &name)).start();
        announce_http(&web, BOB, "&uploaded=5&event=started");
        let name = format!("ws-{}", event_loop.len());
        let browsers = driven_by(accounted(site.ws(), &url, &name)).start();
        let mut client = Client::connect(browsers.ipv4(), false);
        client.ask_to_upgrade_at(&format!("/{ALICE}"), "");
        client.ask(&announce('a', 'p', json!({"uploaded": 9})));
        trackers.extend([web, browsers]);
    }
    let entries = await_entries(&engine, 7);
    let runs: BTreeSet<&str> = entries.iter().filter_map(|it| it["run"].as_str()).collect();
    assert_eq!(runs.len(), 5);
    let of = |label: &str, uploaded: u64| {
        let is_it = |it: &&Value| it["key_label"] == label && it["uploaded"] == uploaded;
        entries.iter().filter(is_it).count()
    };
    assert_eq!([of("alice", 0), of("alice", 1), of("alice", 2)], [1, 1, 1]);
    assert_eq!([of("bob", 5), of("alice", 9)], [2, 2]);
    assert!(entries.iter().all(|it| it["address"] == "127.0.0.1"));
    for tracker in &trackers {
        assert_eq!(health(tracker), "ok\n");
        assert_eq!((written(tracker) > 0.0, dropped(tracker)), (true, 0.0));
        assert_eq!(tracker.metric("accounting_failing", &[]), 0.0);
    }
}

#[test]
fn an_engine_that_is_killed_or_hangs_delays_no_reply_and_gets_all() {
    let site = Site::new();
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut engine) = Engine::start(&site, &arguments) else {
        return;
    };
    let mut one = accounted(site.udp(), &engine.url(), "one").start();
    announce_many(&one, 0..100);
    await_entries(&engine, 100);

    drop(engine.process);
    announce_many(&one, 100..400);
    eventually("/health says it", || {
        let text = health(&one);
        text.contains("cannot append to the accounting stream of cluster.url: ")
            .then_some(())
    });
    assert_eq!(one.metric("accounting_failing", &[]), 1.0);
    let seen = one.daemon.messages().len();
    let status = eventually("the status line says it", || {
        let status = one.daemon.wait_for_message("STATUS=", seen);
        status.contains("accounting").then_some(status)
    });
    assert!(
        status.contains("cannot append to the accounting stream"),
        "{status}"
    );
    engine = Engine::start(&site, &arguments).expect("it was there");
    await_entries(&engine, 400);
    one.daemon
        .wait_for_log("announces are appended to the stream again");

    for round in 0..3 {
        engine.process.signal(Signal::SIGSTOP);
        announce_many(&one, 0..200);
        thread::sleep(Duration::from_millis(700 * round));
        announce_many(&one, 0..100);
        engine.process.signal(Signal::SIGCONT);
        await_entries(&engine, 400 + 300 * (round as usize + 1));
    }
    eventually("/health is good", || (health(&one) == "ok\n").then_some(()));
    assert_eq!((written(&one), dropped(&one)), (1_300.0, 0.0));
    assert_eq!(one.metric("accounting_failing", &[]), 0.0);
}

#[test]
fn what_does_not_fit_while_the_engine_is_away_is_counted() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let one = accounted(site.udp(), &engine.url(), "one").start();
    drop(engine.process);
    announce_many(&one, 0..67_000);
    let lost = dropped(&one);
    // The thread holds a chunk in addition to the queue.
    assert!((1_000.0..1_464.0).contains(&lost), "{lost}");
    let engine = Engine::start(&site, &[]).expect("it was there");
    await_entries(&engine, 67_000 - lost as usize);
    assert_eq!((written(&one), dropped(&one)), (67_000.0 - lost, lost));
}

#[test]
fn a_stop_adds_the_rest_and_ends_in_time() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let place = accounted(site.udp(), &engine.url(), "one");
    let one = place.start();
    announce_many(&one, 0..2_000);
    let one = one.restart();
    assert_eq!(entries(&engine).len(), 2_000);
    announce_many(&one, 0..10);
    engine.process.signal(Signal::SIGSTOP);
    announce_many(&one, 0..10);
    let begin = Instant::now();
    let finished = one.daemon.stop();
    let time = begin.elapsed();
    assert!(time < Duration::from_secs(10), "{time:?}");
    assert!(
        finished
            .stderr
            .contains("announces could not be written before the end"),
        "{}",
        finished.stderr
    );
    engine.process.signal(Signal::SIGCONT);
}

#[test]
fn full_memory_and_missing_rights_are_said_and_mended() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let user = ["ACL", "SETUSER", "default"];
    let one = accounted(site.http(), &engine.url(), "one").start();
    announce_http(&one, ALICE, "");
    await_entries(&engine, 1);
    let permit = |right: &str| engine.ask(&[user[0], user[1], user[2], right]);
    let says = |text: &str| {
        eventually(text, || health(&one).contains(text).then_some(()));
    };
    permit("-watch");
    announce_http(&one, ALICE, "");
    says("cannot append to the accounting stream of cluster.url: the engine does not allow");
    permit("+watch");
    await_entries(&engine, 2);
    engine.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    announce_http(&one, ALICE, "");
    says("lower accounting.max_stream_records");
    engine.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    await_entries(&engine, 3);
    eventually("/health is good", || (health(&one) == "ok\n").then_some(()));
}

#[test]
fn a_reload_changes_the_limit() {
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let mut one = accounted(site.udp(), &engine.url(), "one").start();
    announce_many(&one, 0..3_000);
    await_entries(&engine, 3_000);
    one.reload_with(&[("accounting.max_stream_records", "1000")]);
    announce_many(&one, 0..1);
    eventually("the oldest are removed", || {
        // Whole blocks are, of 100 at most.
        (1_000..1_200)
            .contains(&entries(&engine).len())
            .then_some(())
    });
    // A stream instead of nothing, or the reverse, needs a restart.
    one.reload_with(&[("accounting.stream", "false")]);
    one.daemon
        .wait_for_log("restart needed: accounting.stream changed");
    announce_many(&one, 0..1);
    one.await_metric(
        "accounting_records_total",
        &[("result", "written")],
        3_002.0,
    );
}

#[test]
fn the_program_of_the_manual_counts_each_announce_once() {
    let site = Site::new();
    let is_there = tools::needs_success(
        "python3-redis",
        Command::new(PYTHON).args(["-c", "import redis"]),
    );
    let Some(engine) = Engine::start(&site, &[]).filter(|_| is_there) else {
        return;
    };
    engine.ask(&["XGROUP", "CREATE", STREAM, "ratios", "0", "MKSTREAM"]);
    let database = site.runtime().join("ratios.db");
    let consumer = || {
        let mut command = Command::new(PYTHON);
        let url = engine.url().trim_matches('"').replace("redis+unix", "unix");
        Process::start(
            "consumer",
            command.args(["-c", CONSUMER]).arg(url).arg(&database),
        )
    };
    let totals = || {
        let query = "SELECT name, up, down FROM kept WHERE name LIKE 'label %' ORDER BY name";
        let program = "import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(*row)";
        let mut command = Command::new(PYTHON);
        command.args(["-c", program]).arg(&database).arg(query);
        let output = command.output().expect("python");
        String::from_utf8(output.stdout).expect("text")
    };
    let one = accounted(site.http(), &engine.url(), "one").start();
    let mut reader = consumer();
    for (key, uploaded, downloaded, event) in [
        (ALICE, "0", "0", "&event=started"),
        (ALICE, "100", "10", ""),
        // Sent again.
        (ALICE, "100", "10", ""),
        (ALICE, "150", "10", "&event=stopped"),
        // Restarted, with and without an event.
        (ALICE, "0", "0", "&event=started"),
        (ALICE, "7", "1", ""),
        (ALICE, "3", "0", ""),
        (BOB, "18446744073709551615", "", ""),
    ] {
        let numbers = format!("&uploaded={uploaded}&downloaded={downloaded}{event}");
        announce_http(&one, key, &numbers);
        if uploaded == "7" {
            eventually("the first are counted", || {
                totals().contains("label alice 157 11").then_some(())
            });
            // It is killed, also after it has read what it has not stored.
            drop(reader);
            let read = [
                "XREADGROUP",
                "GROUP",
                "ratios",
                "one",
                "STREAMS",
                STREAM,
                ">",
            ];
            announce_http(&one, key, "&uploaded=8&downloaded=1");
            await_entries(&engine, 7);
            assert!(!engine.ask(&read).is_empty());
            reader = consumer();
        }
    }
    eventually("all are counted", || {
        let expected = "label alice 161 11\nlabel bob 9007199254740992 0\n";
        (totals() == expected).then_some(())
    });
    eventually("all are acknowledged", || {
        let pending = engine.ask(&["XPENDING", STREAM, "ratios"]);
        (pending.first()? == b"0").then_some(())
    });
    assert!(reader.is_running());
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let site = Site::new();
    let url = "\"redis://127.0.0.1:1\"";
    let refused = |place: &Place, needle: &str| {
        let (code, log) = place.start_in_vain();
        assert_eq!(code, Some(78), "{log}");
        assert!(
            log.contains("accounting.stream: ") && log.contains(needle),
            "{log}"
        );
        let file = place.setup.path("config.toml");
        let checked = place
            .setup
            .run(&["--check-config", "-c", file.to_str().expect("UTF-8")]);
        assert!(!checked.status.success() && checked.stderr.contains(needle));
    };
    for place in [site.udp(), site.http(), site.ws()] {
        let place = accounted(place, url, "one");
        let without_url = place.with(&[("cluster.url", "\"\"")]);
        refused(&without_url, "requires cluster.url");
        let mut both = without_url.with(&[("cluster.url", url)]);
        both.set_path("accounting.path", "accounts");
        refused(&both, "remove one of them");
        let without_keys = both.with(&[("accounting.path", "\"\""), ("keys.path", "\"\"")]);
        refused(&without_keys, "requires keys.path");
    }
}
