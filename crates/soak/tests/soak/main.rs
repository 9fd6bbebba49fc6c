//! A simulated month of each tracker.
//!
//! `AQUATIC_SOAK_DAYS` makes it longer or shorter, `AQUATIC_SOAK_SEED` another one;
//! a run that fails says how to repeat it.
#![allow(
    clippy::unwrap_used,
    reason = "a failed step of a test fails the test, and says where"
)]

mod http;
mod udp;
mod ws;
