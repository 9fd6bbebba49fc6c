//! Machines that lack something; see
//! [`odd_machines`](aquatic_test_harness::odd_machines).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aquatic_test_harness::odd_machines::Subject;
use aquatic_test_harness::tracker::PLAIN;

use crate::tracker::new_place;
use crate::wire::{Announce, Client, hash};

const SUBJECT: Subject = Subject {
    kinds: &[PLAIN],
    has_connections: false,
    keeps_peers: true,
    new_place: |_| new_place(),
    announce: |address, _| {
        // The socket is connected, so that replies from other addresses are not received.
        let own: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut client = Client::at(own, address);
        client.announce(&Announce::leecher(hash(1), 1));
    },
};

aquatic_test_harness::on_odd_machines!(SUBJECT);
