//! See `checks/udp_request.rs`.

#![no_main]

#[path = "../checks/udp_request.rs"]
mod udp_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| udp_request::check(bytes));
