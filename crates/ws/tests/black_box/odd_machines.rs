//! Machines that lack something; see
//! [`odd_machines`](aquatic_test_harness::odd_machines).

use aquatic_test_harness::odd_machines::Subject;
use serde_json::json;

use crate::tracker::{KINDS, new_place};
use crate::wire::Client;

const SUBJECT: Subject = Subject {
    kinds: &KINDS,
    has_connections: true,
    keeps_peers: false,
    new_place,
    announce: |address, is_tls| {
        let mut client = Client::connect(address, is_tls);
        client.upgrade();
        client.announce('a', 'a', json!({}));
    },
};

aquatic_test_harness::on_odd_machines!(SUBJECT);
