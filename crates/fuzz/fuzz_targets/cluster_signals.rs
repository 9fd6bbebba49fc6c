//! See `checks/cluster_signals.rs`.

#![no_main]

#[path = "../checks/cluster_signals.rs"]
mod cluster_signals;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster_signals::check(bytes));
