//! Real BitTorrent clients transfer a file; see
//! [`transfer`](aquatic_test_harness::transfer).

use aquatic_test_harness::Signal;
use aquatic_test_harness::clients::Client;
use aquatic_test_harness::network::Families;
use aquatic_test_harness::transfer::{Asked, CLIENT_PATIENCE, Plan, Transfer, from_behind_nat};

#[test]
fn transmission_gets_a_file_from_libtorrent() {
    let Some(test) = prepare(Client::Libtorrent, Client::Transmission, Families::Both) else {
        return;
    };
    let (seeder, leecher) = test.run();
    seeder.wait_for_line("scrape_reply", CLIENT_PATIENCE);
    leecher.wait_for_line("Scrape successful", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    test.await_scrape("seeders", 2);
    // The client announces `stopped` when it ends.
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 1);
}

#[test]
fn aria2_gets_a_file_from_transmission() {
    let Some(test) = prepare(Client::Transmission, Client::Aria2, Families::Both) else {
        return;
    };
    // aria2 does not scrape.
    let (seeder, _leecher) = test.run();
    seeder.wait_for_line("Scrape successful", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    test.await_scrape("seeders", 2);
    seeder.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 1);
}

#[test]
fn libtorrent_gets_a_file_from_aria2() {
    let Some(test) = prepare(Client::Aria2, Client::Libtorrent, Families::Both) else {
        return;
    };
    let (_seeder, leecher) = test.run();
    leecher.wait_for_line("scrape_reply", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    test.await_scrape("seeders", 2);
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 1);
}

#[test]
fn libtorrent_gets_a_file_where_there_is_only_ipv6() {
    let Some(test) = prepare(Client::Libtorrent, Client::Libtorrent, Families::Ipv6Only) else {
        return;
    };
    let (seeder, leecher) = test.run();
    seeder.wait_for_line("scrape_reply", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    seeder.signal(Signal::SIGTERM);
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 0);
}

#[test]
fn libtorrent_gets_a_file_by_the_second_address_of_the_tracker() {
    let plan = plan(Client::Libtorrent, Client::Libtorrent, Families::Both);
    let Some(test) = Transfer::prepare(Plan {
        asked: Asked::Second,
        ..plan
    }) else {
        return;
    };
    let (seeder, leecher) = test.run();
    seeder.wait_for_line("scrape_reply", CLIENT_PATIENCE);
    test.await_scrape("completed", 1);
    seeder.signal(Signal::SIGTERM);
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("seeders", 0);
}

#[test]
fn a_seeder_beside_the_tracker_is_reached_from_outside() {
    let program = env!("CARGO_BIN_EXE_aquatic-udp").as_ref();
    from_behind_nat(program, "udp", Client::Libtorrent, Client::Aria2);
}

#[test]
fn libtorrent_has_a_key() {
    let plan = plan(Client::Libtorrent, Client::Libtorrent, Families::Both);
    let Some(test) = Transfer::prepare(Plan {
        key: Some("0123456789abcdef0123456789abcdef"),
        ..plan
    }) else {
        return;
    };
    let (seeder, _leecher) = test.run();
    // It scrapes once it is complete, does not show the reason, and continues.
    seeder.wait_for_line("announce)[10.77.0.2:6881] scrape failed", CLIENT_PATIENCE);
}

fn prepare(seeder: Client, leecher: Client, families: Families) -> Option<Transfer> {
    Transfer::prepare(plan(seeder, leecher, families))
}

fn plan(seeder: Client, leecher: Client, families: Families) -> Plan {
    Plan {
        program: env!("CARGO_BIN_EXE_aquatic-udp").into(),
        scheme: "udp",
        network: String::new(),
        seeder,
        leecher,
        of_leecher: None,
        families,
        asked: Asked::First,
        key: None,
    }
}
