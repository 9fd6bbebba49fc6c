//! See `checks/configuration.rs`.

#![no_main]

#[path = "../checks/configuration.rs"]
mod configuration;
#[macro_use]
#[path = "../checks/daemons.rs"]
mod daemons;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    check_each_daemon!(configuration::check, bytes);
});
