//! Real BitTorrent clients that announce to different trackers of one swarm transfer a
//! file; see [`transfer`](aquatic_test_harness::transfer).

use aquatic_test_harness::Signal;
use aquatic_test_harness::clients::Client;
use aquatic_test_harness::network::Families;
use aquatic_test_harness::transfer::{Asked, Link, OtherTracker, Plan, Transfer};

use crate::engine::Engine;
use crate::pair::Site;

/// The binary of a tracker, and what its URLs begin with.
type Asking = (&'static str, &'static str);

const UDP: Asking = ("aquatic-udp", "udp");
const HTTP: Asking = ("aquatic-http", "http");

#[test]
fn aria2_over_http_gets_a_file_from_libtorrent_over_udp() {
    transfer(&Site::new(), UDP, HTTP, None);
}

#[test]
fn aria2_over_udp_gets_a_file_from_libtorrent_over_http() {
    transfer(&Site::new(), HTTP, UDP, None);
}

#[test]
fn aria2_at_one_host_gets_a_file_from_libtorrent_at_another() {
    let site = Site::new();
    if let Some(engine) = Engine::start(&site, &[]) {
        transfer(&site, UDP, HTTP, Some(&engine));
    }
}

fn transfer(site: &Site, seeders: Asking, leechers: Asking, engine: Option<&Engine>) {
    let (link, sections) = match engine {
        Some(engine) => (Link::Engine, format!("[cluster]\nurl = {}\n", engine.url())),
        None => (Link::Host, String::new()),
    };
    let plan = Plan {
        program: site.program(seeders.0),
        scheme: seeders.1,
        network: sections,
        seeder: Client::Libtorrent,
        leecher: Client::Aria2,
        of_leecher: Some(OtherTracker {
            program: site.program(leechers.0),
            scheme: leechers.1,
            link,
        }),
        families: Families::Both,
        asked: Asked::First,
        key: None,
    };
    let Some(test) = Transfer::prepare(plan) else {
        return;
    };
    let (seeder, _leecher) = test.run();
    test.await_scrape("completed", 1);
    test.await_scrape("seeders", 2);
    seeder.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 1);
}
