//! Machines that lack something; see [`odd_machines`].

use aquatic_test_harness::odd_machines::{self, Subject};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aquatic_test_harness::tracker::PLAIN;

use crate::tracker::new_place;
use crate::wire::{Announce, Client, hash};

const SUBJECT: Subject = Subject {
    kinds: &[PLAIN],
    has_connections: false,
    keeps_peers: true,
    new_place: |_| new_place(),
    announce: |address, _| {
        // Connected, so that an answer from elsewhere does not count.
        let own: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut client = Client::at(own, address);
        client.announce(&Announce::leecher(hash(1), 1));
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
