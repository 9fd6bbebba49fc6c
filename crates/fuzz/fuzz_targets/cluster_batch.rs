//! See `checks/cluster_batch.rs`.

#![no_main]

#[path = "../checks/cluster_batch.rs"]
mod cluster_batch;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster_batch::check(bytes));
