//! See `checks/client_list.rs`.

#![no_main]

#[path = "../checks/client_list.rs"]
mod client_list;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| client_list::check(bytes));
