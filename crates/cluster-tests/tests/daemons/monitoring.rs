//! A Prometheus that scrapes the daemons, and evaluates the queries of the dashboard.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use aquatic_test_harness::ports::Port;
use aquatic_test_harness::process::Process;
use aquatic_test_harness::tracker::Tracker;
use aquatic_test_harness::{eventually, http, tools};
use serde_json::{Value, json};

use crate::client::{Event, Url, leecher, seeder};
use crate::engine::{Engine, node};
use crate::pair::Site;
use crate::wire::{Client, name, offers};

const PROMETHEUS: &str = "prometheus";

/// Functions over a range of time need more than one sample in it.
const RATE_INTERVAL: &str = "5s";

#[test]
fn every_query_of_the_dashboard_has_a_result() {
    if !tools::needs(&[PROMETHEUS]) {
        return;
    }
    let site = Site::new();
    let Some(engine) = Engine::start(&site, &[]) else {
        return;
    };
    let places = [
        (site.http(), "http"),
        (site.udp(), "udp"),
        (site.ws(), "ws"),
    ];
    let daemons = places.map(|(place, name)| {
        let place = node(place.with_all_metrics(), &engine.url(), name);
        place.start()
    });
    let targets = daemons.each_ref().map(|it| it.place.metrics.ipv4());
    let (_process, prometheus) = prometheus(site.runtime(), &targets);
    announce(&daemons);
    let is_scraped = || -> Option<()> {
        let up = ask(prometheus, r#"sum(up{job="aquatic"})"#);
        (up[0]["value"][1] == "3").then_some(())
    };
    eventually("all are scraped", is_scraped);
    // Rates need changes that Prometheus has seen.
    for _ in 0..6 {
        announce(&daemons);
        thread::sleep(Duration::from_millis(500));
    }
    let pages = targets.map(|it| http::get(it, "/metrics").body).concat();

    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging/monitoring/aquatic-dashboard.json");
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("a dashboard");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut with_results = 0;
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let query = query
                .replace("$__rate_interval", RATE_INTERVAL)
                .replace("$job", ".*")
                .replace("$instance", ".*");
            let results = ask(prometheus, &query);
            // Queries of metrics that the daemons do not have now have no results.
            let is_there = samples(&query).all(|it| pages.contains(&format!("\n{it}")));
            if is_there {
                assert_ne!(results, json!([]), "{}: {query}", panel["title"]);
                with_results += 1;
            }
        }
    }
    assert!(with_results > 120, "{with_results}");

    let rules = get(prometheus, "/api/v1/rules");
    let groups = rules["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|it| it["rules"].as_array());
    for rule in rules.flatten() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let recorded = ask(prometheus, "count by (daemon) (aquatic:peers:sum)");
    assert_eq!(recorded.as_array().map(Vec::len), Some(3), "{recorded}");
}

/// Starts a Prometheus that reads the metrics of these targets, and waits until it answers.
fn prometheus(directory: &Path, targets: &[SocketAddr]) -> (Process, SocketAddr) {
    let rules =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/monitoring/aquatic-rules.yml");
    let configuration = json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": [rules],
        "scrape_configs": [{
            "job_name": "aquatic",
            "static_configs": [{ "targets": targets }],
        }],
    });
    // The configuration is JSON, which is valid YAML.
    let file = directory.join("prometheus.yml");
    fs::write(&file, configuration.to_string()).expect("a file");
    let port = Port::reserve();
    let address = port.ipv4();
    let mut command = Command::new(tools::find(PROMETHEUS).expect("it is there"));
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--web.listen-address={address}"));
    command.arg(format!(
        "--storage.tsdb.path={}",
        directory.join("prometheus").display()
    ));
    let process = Process::start(PROMETHEUS, &mut command);
    eventually("Prometheus is ready", || {
        let is_open = std::net::TcpStream::connect(address).is_ok();
        (is_open && http::get(address, "/-/ready").status == 200).then_some(())
    });
    (process, address)
}

/// Sends some requests to all daemons; some of them are rejected.
fn announce([http, udp, ws]: &[Tracker; 3]) {
    for url in [Url::Http(http.ipv4()), Url::Udp(udp.ipv4())] {
        url.announce(leecher('a', 1001));
        url.announce(seeder('b', 1002));
        url.announce(seeder('a', 1001).with(Event::Completed));
        url.announce(leecher('a', 1001));
        url.scrape('a');
    }
    let mut client = Client::connect(ws.ipv4(), false);
    client.upgrade();
    client.ask(&json!({
        "action": "announce",
        "info_hash": name('a'),
        "peer_id": name('b'),
        "left": 1,
        "numwant": 1,
        "offers": offers(1, 200),
    }));
    client.ask(&json!({ "action": "scrape", "info_hash": name('a') }));
}

/// The results of a query.
#[track_caller]
fn ask(prometheus: SocketAddr, query: &str) -> Value {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    get(prometheus, &format!("/api/v1/query?query={encoded}"))["result"].take()
}

/// The data of a reply.
#[track_caller]
fn get(prometheus: SocketAddr, path: &str) -> Value {
    let response = http::get(prometheus, path);
    let mut body: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(body["status"], "success", "{body}");
    body["data"].take()
}

/// The names of the samples in a query.
fn samples(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("aquatic_") || word.starts_with("process_"))
}
