//! See `checks/snapshot_file.rs`.

#![no_main]

#[path = "../checks/snapshot_file.rs"]
mod snapshot_file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| snapshot_file::check(bytes));
