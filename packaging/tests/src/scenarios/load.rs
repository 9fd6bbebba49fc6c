//! Nothing is lost while a tracker is away.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::container::Container;
use crate::environment::Environment;
use crate::http;
use crate::udp::{Client, Load, Report, hash};

/// Datagrams a second.
const RATE: usize = 10_000;

/// Torrents with peers that say nothing while the tracker is away.
const SILENT_TORRENTS: std::ops::Range<u16> = 100..110;

/// Peers of each.
const SILENT_PEERS: u16 = 50;

/// How long the load runs before and after.
const AROUND: Duration = Duration::from_secs(1);

/// Lets a load run while `disturb` does something to the tracker.
fn under_load(container: &Container, disturb: impl FnOnce()) -> Report {
    let tracker = container.address(3000);
    let mut client = Client::connect(container.client(), tracker);
    for torrent in SILENT_TORRENTS {
        for peer in 0..SILENT_PEERS {
            client
                .announce(hash(torrent), 1000 + peer)
                .expect("it is served");
        }
    }
    let load = Load::start(container.client(), tracker, RATE);
    thread::sleep(AROUND);
    disturb();
    thread::sleep(AROUND);
    let report = load.stop();
    println!(
        "{} of {} datagrams were answered, the longest wait was {} ms",
        report.answered,
        report.sent,
        report.longest_silence.as_millis()
    );

    // The connection id from before is good still.
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
    let expected = vec![u32::from(Load::PEERS); loud.len()];
    assert_eq!(seeders(client.scrape(&loud)), expected);
    report
}

fn assert_nothing_lost(report: &Report) {
    assert!(report.sent > RATE, "{report:?}");
    assert_eq!(report.answered, report.sent, "{report:?}");
    assert_eq!(report.errors, 0, "{report:?}");
}

pub(super) fn an_upgrade_under_load_loses_nothing(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    let process = container.property("aquatic-udp", "MainPID");
    fs::create_dir(container.outside("/next")).expect("a directory");
    for package in environment.next_packages(&["aquatic-common", "aquatic-udp"]) {
        let file = package.join("package.deb");
        let name = package.file_name().expect("it has a name");
        let target = container.outside("/next").join(name);
        fs::copy(file, target).expect("a copy");
    }
    let report = under_load(&container, || {
        container.succeed("apt-get install --yes --quiet=2 /next/*.deb");
        container.wait_for("it is active", || {
            container.property("aquatic-udp", "ActiveState") == "active"
        });
    });
    assert_ne!(container.property("aquatic-udp", "MainPID"), process);
    let version = container.succeed("dpkg-query --showformat='${Version}' --show aquatic-udp");
    assert!(version.ends_with("+next"), "{version}");
    assert_nothing_lost(&report);
}

pub(super) fn restarts_under_load_lose_nothing(environment: &Environment) {
    let container = Container::with(environment, "aquatic-udp");
    let report = under_load(&container, || {
        for _ in 0..3 {
            container.succeed("systemctl restart aquatic-udp");
        }
    });
    assert_nothing_lost(&report);
}

pub(super) fn restarts_answer_every_request_over_http(environment: &Environment) {
    let container = Container::with(environment, "aquatic-http");
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
    for _ in 0..3 {
        container.succeed("systemctl restart aquatic-http");
    }
    thread::sleep(AROUND);
    let (single, kept) = load.stop();
    println!("a connection for each request: {single:?}\nkept connections: {kept:?}");
    for report in [&single, &kept] {
        assert!(report.answered > 100, "{report:?}");
        assert_eq!(report.failures, Vec::<String>::new());
    }
    // Each client may find its connection closed once a restart.
    assert!(kept.reconnects <= 3 * http::Load::CLIENTS, "{kept:?}");
    assert_eq!(scrape(500), before);
}
