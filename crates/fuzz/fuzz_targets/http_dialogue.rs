//! See `checks/http_dialogue.rs`.

#![no_main]

#[path = "../checks/http_dialogue.rs"]
mod http_dialogue;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| http_dialogue::check(bytes));
