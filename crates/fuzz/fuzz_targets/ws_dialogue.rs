//! See `checks/ws_dialogue.rs`.

#![no_main]

#[path = "../checks/ws_dialogue.rs"]
mod ws_dialogue;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ws_dialogue::check(bytes));
