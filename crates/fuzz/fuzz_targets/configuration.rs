//! See `checks/configuration.rs`.

#![no_main]

use aquatic_http::HttpDaemon;
use aquatic_udp::UdpDaemon;
use aquatic_ws::WsDaemon;

#[path = "../checks/configuration.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    configuration::check::<HttpDaemon>(bytes);
    configuration::check::<UdpDaemon>(bytes);
    configuration::check::<WsDaemon>(bytes);
});
