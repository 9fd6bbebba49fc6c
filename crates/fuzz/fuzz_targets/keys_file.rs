//! See `checks/keys_file.rs`.

#![no_main]

#[path = "../checks/keys_file.rs"]
mod keys_file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keys_file::check(bytes));
