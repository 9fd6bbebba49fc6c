//! See `checks/proxy_address_headers.rs`.

#![no_main]

#[path = "../checks/proxy_address_headers.rs"]
mod proxy_address_headers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy_address_headers::check(bytes));
