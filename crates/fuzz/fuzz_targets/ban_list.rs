//! See `checks/ban_list.rs`.

#![no_main]

#[path = "../checks/ban_list.rs"]
mod ban_list;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ban_list::check(bytes));
