//! No requests are lost while a tracker restarts.

use std::thread;
use std::time::Duration;

use crate::container::Container;
use crate::environment::Environment;
use crate::http;
use crate::udp::{Client, Load, Report, hash};

/// Datagrams per second.
const RATE: usize = 10_000;

/// The part of it that must have been sent: a busy machine is slower at times.
const REACHED: f64 = 0.9;

/// Number of torrents with peers that send nothing during the restart.
const SILENT_TORRENTS: std::ops::Range<u16> = 100..110;

/// Number of peers of each.
const SILENT_PEERS: u16 = 50;

/// How long the load runs before and after.
const AROUND: Duration = Duration::from_secs(1);

/// Lets a load run while `disturb` does something to the tracker.
pub(super) fn under_load(container: &Container, rate: usize, disturb: impl FnOnce()) -> Report {
    let tracker = container.address(3000);
    let mut client = Client::connect(container.client(), tracker);
    for torrent in SILENT_TORRENTS {
        for peer in 0..SILENT_PEERS {
            client
                .announce(hash(torrent), 1000 + peer)
                .expect("it is served");
        }
    }
    let load = Load::start(container.client(), tracker, rate);
    thread::sleep(AROUND);
    disturb();
    thread::sleep(AROUND);
    let report = load.stop();
    println!(
        "{} of {} datagrams in {} ms were answered, the longest wait was {} ms",
        report.answered,
        report.sent,
        report.took.as_millis(),
        report.longest_silence.as_millis()
    );

    // The connection id from before is still valid.
    let loud: Vec<_> = (0..Load::TORRENTS).map(hash).collect();
    let seeders = |torrents: Vec<crate::udp::Scraped>| {
        torrents
            .iter()
            .map(|torrent| torrent.seeders)
            .collect::<Vec<_>>()
    };
    let silent: Vec<_> = SILENT_TORRENTS.map(hash).collect();
    let expected = vec![u32::from(SILENT_PEERS); silent.len()];
    assert_eq!(seeders(client.scrape(&silent)), expected);
    // Unless it was too short for all of them.
    if report.sent >= loud.len() * usize::from(Load::PEERS) {
        let expected = vec![u32::from(Load::PEERS); loud.len()];
        assert_eq!(seeders(client.scrape(&loud)), expected);
    }
    report
}

fn assert_nothing_lost(report: &Report) {
    let rate = report.sent as f64 / report.took.as_secs_f64();
    assert!(rate > REACHED * RATE as f64, "{rate:.0}/s: {report:?}");
    assert_answered(report);
}

pub(super) fn assert_answered(report: &Report) {
    assert!(report.ran_to_the_end, "{report:?}");
    assert_eq!(report.answered, report.sent, "{report:?}");
    assert_eq!(report.errors, 0, "{report:?}");
}

/// Installs the next version of a daemon, which starts another process.
#[track_caller]
fn upgrade(container: &Container, daemon: &str) {
    let process = container.property(daemon, "MainPID");
    container.succeed("apt-get install --yes --quiet=2 /next/*.deb");
    container.wait_for("it is active", || {
        container.property(daemon, "ActiveState") == "active"
    });
    assert_ne!(container.property(daemon, "MainPID"), process);
    let version = format!("dpkg-query --showformat='${{Version}}' --show {daemon}");
    let version = container.succeed(&version);
    assert!(version.ends_with("+next"), "{version}");
}

pub(super) fn an_upgrade_under_load_loses_nothing(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    container.copy_next(environment, &["aquatic-common", "aquatic-udp"]);
    let report = under_load(&container, RATE, || upgrade(&container, "aquatic-udp"));
    assert_nothing_lost(&report);
}

pub(super) fn restarts_under_load_lose_nothing(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    let report = under_load(&container, RATE, || {
        for _ in 0..3 {
            container.succeed("systemctl restart aquatic-udp");
        }
    });
    assert_nothing_lost(&report);
}

pub(super) fn restarts_answer_every_request_over_http(environment: &Environment) {
    let container = Container::with(environment, "aquatic-http");
    let mut before = "event_loop = \"auto\"".to_owned();
    // With glommio, a restart under load once reset a connection in five times.
    for (event_loop, restarts) in [("mio", 3), ("glommio", 15)] {
        let now = format!("event_loop = \"{event_loop}\"");
        container.replace("/etc/aquatic/aquatic-http.toml", &before, &now);
        before = now;
        container.succeed("systemctl restart aquatic-http");
        container.wait_for_log("aquatic-http", &format!("event loop: {event_loop}"));
        assert_every_request_is_answered(&container, restarts, || {
            for _ in 0..restarts {
                container.succeed("systemctl restart aquatic-http");
            }
        });
    }
}

pub(super) fn an_upgrade_answers_every_request_over_http(environment: &Environment) {
    let container = Container::with(environment, "aquatic-http");
    container.copy_next(environment, &["aquatic-common", "aquatic-http"]);
    assert_every_request_is_answered(&container, 1, || upgrade(&container, "aquatic-http"));
}

/// Lets clients send requests while `disturb` stops the service a number of times.
#[track_caller]
pub(super) fn assert_every_request_is_answered(
    container: &Container,
    ends: usize,
    disturb: impl FnOnce(),
) {
    let tracker = container.address(3000);
    let scrape = |torrent: u16| {
        let hash = http::announce(torrent, 0);
        let hash = hash.split(['=', '&']).nth(1).unwrap_or_default();
        let path = format!("/scrape?info_hash={hash}");
        http::get(container.client(), tracker, &path).expect("an answer")
    };
    for peer in 0..20 {
        let path = http::announce(500, 1000 + peer);
        http::get(container.client(), tracker, &path).expect("an answer");
    }
    let before = scrape(500);
    assert!(String::from_utf8_lossy(&before).contains("8:completei20e"));

    let load = http::Load::start(container.client(), tracker);
    thread::sleep(AROUND);
    disturb();
    thread::sleep(AROUND);
    let (single, kept) = load.stop();
    println!("a connection for each request: {single:?}\nkept connections: {kept:?}");
    for report in [&single, &kept] {
        assert!(report.ran_to_the_end, "{report:?}");
        assert!(report.answered > 100, "{report:?}");
        assert_eq!(report.failures, Vec::<String>::new());
    }
    // At each stop, a client may find its connection closed, and also a new one that it opened at
    // the last moment.
    assert!(
        kept.reconnects <= 2 * ends * http::Load::CLIENTS,
        "{kept:?}"
    );
    assert_eq!(scrape(500), before);
}
