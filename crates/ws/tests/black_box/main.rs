//! Black-box tests: they start the binary, and use only its connections over loopback,
//! with frames that they make themselves.
//!
//! Each test has trackers of its own on ports of its own, so all of them run at the same
//! time. Behaviour that all connections share is tested with both event loops, with and
//! without TLS.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test fails the test, and says where"
)]

mod accounting;
mod doctor;
mod frames;
mod keys;
mod limits;
mod lists;
mod messages;
mod odd_machines;
mod pages;
mod proxies;
mod rates;
mod relaying;
mod reload;
mod service;
mod tracker;
mod wire;
