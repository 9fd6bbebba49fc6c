//! The daemons whose swarms can be one, as one program for the tests of this package:
//! Cargo builds the programs of other packages for no test. Called as `aquatic-udp` it is
//! `aquatic-udp`.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use aquatic_doctor::run;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_name().and_then(OsStr::to_str) {
        Some("aquatic-udp") => run::<aquatic_udp::UdpDaemon>(),
        Some("aquatic-http") => run::<aquatic_http::HttpDaemon>(),
        Some("aquatic-ws") => run::<aquatic_ws::WsDaemon>(),
        _ => {
            eprintln!("call this aquatic-udp, aquatic-http or aquatic-ws");
            ExitCode::FAILURE
        }
    }
}
