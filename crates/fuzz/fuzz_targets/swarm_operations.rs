//! See `checks/swarm_operations.rs`.

#![no_main]

#[path = "../checks/swarm_operations.rs"]
mod swarm_operations;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| swarm_operations::check(bytes));
