//! See `checks/generator.rs`.

#![no_main]

use aquatic_http::HttpDaemon;
use aquatic_udp::UdpDaemon;
use aquatic_ws::WsDaemon;

#[path = "../checks/generator.rs"]
mod generator;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    generator::check::<HttpDaemon>(bytes);
    generator::check::<UdpDaemon>(bytes);
    generator::check::<WsDaemon>(bytes);
});
