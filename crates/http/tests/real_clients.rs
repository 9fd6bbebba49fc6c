//! Real BitTorrent clients transfer a file; see
//! [`transfer`](aquatic_test_harness::transfer).

use aquatic_test_harness::Signal;
use aquatic_test_harness::clients::Client;
use aquatic_test_harness::network::Families;
use aquatic_test_harness::transfer::{Asked, CLIENT_PATIENCE, Plan, Transfer, from_behind_nat};

/// A scheme, and whether io_uring drives the connections.
type Way = (&'static str, bool);

const HTTP: Way = ("http", false);
const HTTPS: Way = ("https", false);
const HTTP_BY_GLOMMIO: Way = ("http", true);
const HTTPS_BY_GLOMMIO: Way = ("https", true);

/// A message of Transmission, which gets all counts from the reply to its announce, and
/// scrapes only half an hour later.
const COUNTS_IN_ANNOUNCE: &str = "contained scrape info";

#[test]
fn transmission_gets_a_file_from_libtorrent() {
    for way in [HTTP, HTTPS_BY_GLOMMIO] {
        let Some(test) = prepare(
            way,
            Client::Libtorrent,
            Client::Transmission,
            Families::Both,
        ) else {
            return;
        };
        let (seeder, leecher) = test.run();
        seeder.wait_for_line("scrape_reply", CLIENT_PATIENCE);
        leecher.wait_for_line(COUNTS_IN_ANNOUNCE, CLIENT_PATIENCE);
        test.await_scrape("completed", 1);
        test.await_scrape("seeders", 2);
        // When it ends, Transmission 3 sends no `stopped` to trackers over HTTP.
        seeder.signal(Signal::SIGTERM);
        test.await_scrape("seeders", 1);
    }
}

#[test]
fn aria2_gets_a_file_from_transmission() {
    for way in [HTTP_BY_GLOMMIO, HTTPS] {
        let Some(test) = prepare(way, Client::Transmission, Client::Aria2, Families::Both) else {
            return;
        };
        // aria2 does not scrape.
        let (seeder, _leecher) = test.run();
        seeder.wait_for_line(COUNTS_IN_ANNOUNCE, CLIENT_PATIENCE);
        test.await_scrape("completed", 1);
        test.await_scrape("seeders", 2);
    }
}

#[test]
fn libtorrent_gets_a_file_from_aria2() {
    for way in [HTTP, HTTPS_BY_GLOMMIO] {
        let Some(test) = prepare(way, Client::Aria2, Client::Libtorrent, Families::Both) else {
            return;
        };
        let (_seeder, leecher) = test.run();
        leecher.wait_for_line("scrape_reply", CLIENT_PATIENCE);
        test.await_scrape("completed", 1);
        test.await_scrape("seeders", 2);
        leecher.signal(Signal::SIGTERM);
        test.await_scrape("seeders", 1);
    }
}

#[test]
fn libtorrent_gets_a_file_where_there_is_only_ipv6() {
    for way in [HTTP_BY_GLOMMIO, HTTPS] {
        let families = Families::Ipv6Only;
        let Some(test) = prepare(way, Client::Libtorrent, Client::Libtorrent, families) else {
            return;
        };
        let (seeder, leecher) = test.run();
        seeder.wait_for_line("scrape_reply", CLIENT_PATIENCE);
        test.await_scrape("completed", 1);
        seeder.signal(Signal::SIGTERM);
        leecher.signal(Signal::SIGTERM);
        test.await_scrape("seeders", 0);
    }
}

#[test]
fn a_seeder_beside_the_tracker_is_reached_from_outside() {
    let program = env!("CARGO_BIN_EXE_aquatic-http").as_ref();
    from_behind_nat(program, "http", Client::Transmission, Client::Libtorrent);
}

#[test]
fn libtorrent_has_a_key() {
    for way in [HTTP, HTTPS_BY_GLOMMIO] {
        let plan = plan(way, Client::Libtorrent, Client::Libtorrent, Families::Both);
        let Some(test) = Transfer::prepare(Plan {
            key: Some("0123456789abcdef0123456789abcdef"),
            ..plan
        }) else {
            return;
        };
        let (seeder, leecher) = test.run();
        seeder.wait_for_line("scrape_reply", CLIENT_PATIENCE);
        test.await_scrape("completed", 1);
        leecher.signal(Signal::SIGTERM);
        test.await_scrape("seeders", 1);
    }
}

fn prepare(way: Way, seeder: Client, leecher: Client, families: Families) -> Option<Transfer> {
    Transfer::prepare(plan(way, seeder, leecher, families))
}

fn plan((scheme, is_glommio): Way, seeder: Client, leecher: Client, families: Families) -> Plan {
    let mut network = String::new();
    if scheme == "https" {
        network += "enable_tls = true\n\
            tls_certificate_path = 'cert.pem'\n\
            tls_private_key_path = 'key.pem'\n";
    }
    let event_loop = if is_glommio { "glommio" } else { "mio" };
    network += &format!("event_loop = '{event_loop}'\n");
    Plan {
        program: env!("CARGO_BIN_EXE_aquatic-http").into(),
        scheme,
        network,
        seeder,
        leecher,
        of_leecher: None,
        families,
        asked: Asked::First,
        key: None,
    }
}
