//! See `checks/stream_tls.rs`.

#![no_main]

#[path = "../checks/stream_tls.rs"]
mod stream_tls;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stream_tls::check(bytes));
