//! See `checks/xdp_frame.rs`.

#![no_main]

#[path = "../checks/xdp_frame.rs"]
mod xdp_frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| xdp_frame::check(bytes));
