//! See `checks/generator.rs`.

#![no_main]

#[path = "../checks/generator.rs"]
mod generator;
#[macro_use]
#[path = "../checks/daemons.rs"]
mod daemons;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    check_each_daemon!(generator::check, bytes);
});
