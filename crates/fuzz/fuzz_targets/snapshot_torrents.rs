//! See `checks/snapshot_torrents.rs`.

#![no_main]

#[path = "../checks/snapshot_torrents.rs"]
mod snapshot_torrents;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| snapshot_torrents::check(bytes));
