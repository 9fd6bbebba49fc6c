//! Machines that lack something; see [`odd_machines`].

use crate::tracker::{KINDS, new_place};
use crate::wire::Client;
use aquatic_test_harness::odd_machines::{self, Subject};

const SUBJECT: Subject = Subject {
    kinds: &KINDS,
    has_connections: true,
    keeps_peers: true,
    new_place,
    announce: |address, is_tls| {
        let body = Client::connect(address, is_tls).announce('a', 1, "");
        assert!(body.starts_with("d8:complete"), "{body}");
    },
};

#[test]
fn several_addresses() {
    odd_machines::several_addresses(&SUBJECT);
}

#[test]
fn ipv6_switched_off() {
    odd_machines::ipv6_switched_off(&SUBJECT);
}

#[test]
fn no_ipv6() {
    odd_machines::no_ipv6(&SUBJECT);
}

#[test]
fn little_locked_memory() {
    odd_machines::little_locked_memory(&SUBJECT);
}

#[test]
fn few_descriptors() {
    odd_machines::few_descriptors(&SUBJECT);
}

#[test]
fn full_disk() {
    odd_machines::full_disk(&SUBJECT);
}

#[test]
fn full_disk_under_the_log() {
    odd_machines::full_disk_under_the_log(&SUBJECT);
}

#[test]
fn read_only_state() {
    odd_machines::read_only_state(&SUBJECT);
}

#[test]
fn one_core() {
    odd_machines::one_core(&SUBJECT);
}

#[test]
fn wrong_clock() {
    odd_machines::wrong_clock(&SUBJECT);
}
