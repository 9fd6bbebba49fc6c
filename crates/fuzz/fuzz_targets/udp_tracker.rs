//! See `checks/udp_tracker.rs`.

#![no_main]

#[path = "../checks/udp_tracker.rs"]
mod udp_tracker;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| udp_tracker::check(bytes));
