//! See `checks/http_request.rs`.

#![no_main]

#[path = "../checks/http_request.rs"]
mod http_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| http_request::check(bytes));
