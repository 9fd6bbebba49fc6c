//! See `checks/cluster_operations.rs`.

#![no_main]

#[path = "../checks/cluster_operations.rs"]
mod cluster_operations;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster_operations::check(bytes));
