//! Black-box tests: they start the binary, and use only its connections over loopback.
//!
//! Each test has trackers of its own on ports of its own, so all of them run at the same
//! time. Behaviour that all connections share is tested with both event loops, with and
//! without TLS.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test fails the test, and says where"
)]

mod accounting;
mod connections;
mod doctor;
mod faults;
mod full_scrape;
mod generated_sockets;
mod keys;
mod lists;
mod odd_machines;
mod peer_addresses;
mod proxies;
mod rates;
mod reload;
mod requests;
mod service;
mod start;
mod tls;
mod tracker;
mod wire;
