//! See `checks/key_url.rs`.

#![no_main]

#[path = "../checks/key_url.rs"]
mod key_url;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| key_url::check(bytes));
