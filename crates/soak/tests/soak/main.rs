//! A simulated month of each tracker.
//!
//! `AQUATIC_SOAK_DAYS` changes its length, and `AQUATIC_SOAK_SEED` the random numbers. A
//! run that fails prints how to repeat it.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test fails the test, and says where"
)]

mod http;
mod udp;
mod ws;
