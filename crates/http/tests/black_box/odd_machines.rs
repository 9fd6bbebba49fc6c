//! Machines that lack something; see
//! [`odd_machines`](aquatic_test_harness::odd_machines).

use crate::tracker::{KINDS, new_place};
use crate::wire::Client;
use aquatic_test_harness::odd_machines::Subject;

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

aquatic_test_harness::on_odd_machines!(SUBJECT);
