//! Black-box tests: they start the binary, and use only raw datagrams over loopback.
//!
//! Each test has a tracker of its own on ports of its own, so all of them run at the same
//! time. Tests do not wait for a timeout to find that a request is *not* answered: the
//! client sends another request from the same socket, and checks that its reply comes
//! first (see [`wire::Client::expect_silence`]).
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test fails the test, and says where"
)]

mod access_list;
mod accounting;
mod activation;
mod addresses;
mod announce;
mod command_line;
mod doctor;
mod journal;
mod keys;
mod limits;
mod lists;
mod malformed;
mod metrics;
mod odd_machines;
mod peer_addresses;
mod privileges;
mod rates;
mod reload;
mod restoring;
mod scrape;
mod service;
mod snapshot;
mod tracker;
mod wire;
