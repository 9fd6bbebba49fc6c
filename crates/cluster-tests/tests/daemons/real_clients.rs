//! A file goes from a client that asks one to a client that asks the other; see
//! [`transfer`](aquatic_test_harness::transfer).

use aquatic_test_harness::Signal;
use aquatic_test_harness::clients::Client;
use aquatic_test_harness::network::Families;
use aquatic_test_harness::transfer::{Asked, Plan, Transfer};

use crate::pair::Site;

#[test]
fn aria2_over_http_gets_a_file_from_libtorrent_over_udp() {
    transfer(
        ("aquatic-udp", "udp"),
        ("aquatic-http", "http"),
        Families::Both,
    );
}

#[test]
fn aria2_over_udp_gets_a_file_from_libtorrent_over_http() {
    transfer(
        ("aquatic-http", "http"),
        ("aquatic-udp", "udp"),
        Families::Both,
    );
}

fn transfer(
    (seeders, scheme): (&str, &'static str),
    (leechers, scheme_of_leecher): (&str, &'static str),
    families: Families,
) {
    let site = Site::new();
    let plan = Plan {
        program: site.program(seeders),
        scheme,
        network: String::new(),
        seeder: Client::Libtorrent,
        leecher: Client::Aria2,
        of_leecher: Some((site.program(leechers), scheme_of_leecher)),
        families,
        asked: Asked::First,
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
