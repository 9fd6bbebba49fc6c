//! Real WebTorrent clients find each other through the tracker, and through
//! nothing else, and transfer a file: webtorrent in Node and in headless
//! Chromium, and bittorrent-tracker, on which it is built, by itself.

mod transfer;

use aquatic_test_harness::Signal;
use aquatic_test_harness::network::Families;

use transfer::{Client, Plan, Scheme, Transfer};

#[test]
fn chromium_gets_a_file_from_node_in_the_clear() {
    chromium_gets_a_file_from_node(Scheme::Ws);
}

#[test]
fn chromium_gets_a_file_from_node_over_tls() {
    chromium_gets_a_file_from_node(Scheme::Wss);
}

fn chromium_gets_a_file_from_node(scheme: Scheme) {
    let Some(test) = Transfer::prepare(Plan {
        scheme,
        event_loop: "mio",
        seeder: Client::Node,
        leecher: Client::Chromium,
        families: Families::Both,
        is_cluster: false,
        key: None,
    }) else {
        return;
    };
    let (seeder, leecher) = test.run();
    test.await_scrape("complete", 2);
    // The seeder announces that it stops; the leecher only disconnects.
    seeder.signal(Signal::SIGTERM);
    test.await_scrape("complete", 1);
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("complete", 0);
    // webtorrent announces `completed` for seeders, too.
    test.await_scrape("downloaded", 2);
}

#[test]
fn node_gets_a_file_from_chromium_in_the_clear() {
    node_gets_a_file_from_chromium(Scheme::Ws);
}

#[test]
fn node_gets_a_file_from_chromium_over_tls() {
    node_gets_a_file_from_chromium(Scheme::Wss);
}

fn node_gets_a_file_from_chromium(scheme: Scheme) {
    let Some(test) = Transfer::prepare(Plan {
        scheme,
        event_loop: "glommio",
        seeder: Client::Chromium,
        leecher: Client::Node,
        families: Families::Both,
        is_cluster: false,
        key: None,
    }) else {
        return;
    };
    let (_seeder, _leecher) = test.run();
    test.await_scrape("complete", 2);
}

#[test]
fn node_gets_a_file_where_there_is_only_ipv6() {
    let Some(test) = Transfer::prepare(Plan {
        // Node 18 does not remove the URL's brackets before it compares the address with
        // the certificate.
        scheme: Scheme::Ws,
        event_loop: "mio",
        seeder: Client::Node,
        leecher: Client::Node,
        families: Families::Ipv6Only,
        is_cluster: false,
        key: None,
    }) else {
        return;
    };
    let (_seeder, leecher) = test.run();
    test.await_scrape("complete", 2);
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("complete", 1);
}

#[test]
fn node_has_a_key() {
    let Some(test) = Transfer::prepare(Plan {
        scheme: Scheme::Ws,
        event_loop: "mio",
        seeder: Client::Node,
        leecher: Client::Node,
        families: Families::Both,
        is_cluster: false,
        key: Some("0123456789abcdef0123456789abcdef"),
    }) else {
        return;
    };
    let (_seeder, _leecher) = test.run();
    test.await_scrape("complete", 2);
}

#[test]
fn two_browsers_at_two_nodes_of_a_cluster_transfer_a_file() {
    across_nodes(Client::Chromium, Client::Chromium);
}

#[test]
fn two_nodes_of_a_cluster_serve_clients_in_node() {
    across_nodes(Client::Node, Client::Node);
}

fn across_nodes(seeder: Client, leecher: Client) {
    let Some(test) = Transfer::prepare(Plan {
        scheme: Scheme::Ws,
        event_loop: "glommio",
        seeder,
        leecher,
        families: Families::Both,
        is_cluster: true,
        key: None,
    }) else {
        return;
    };
    let (_seeder, leecher) = test.run();
    // This scrapes the seeder's node.
    test.await_scrape("complete", 2);
    leecher.signal(Signal::SIGTERM);
    test.await_scrape("complete", 1);
}

#[test]
fn a_refusal_leaves_the_connection_as_it_is() {
    transfer::refuse_an_announce();
}
