//! See `checks/ws_frames.rs`.

#![no_main]

#[path = "../checks/ws_frames.rs"]
mod ws_frames;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ws_frames::check(bytes));
