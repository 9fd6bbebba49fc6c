//! See `checks/ws_message.rs`.

#![no_main]

#[path = "../checks/ws_message.rs"]
mod ws_message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ws_message::check(bytes));
