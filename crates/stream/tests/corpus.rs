//! Replays the fuzzer's corpora.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/proxy_address_headers.rs"]
mod proxy_address_headers;
#[path = "../../fuzz/checks/proxy_header.rs"]
mod proxy_header;

#[path = "../../fuzz/checks/stream_tls.rs"]
mod stream_tls;

#[test]
fn proxy_headers() {
    replay("proxy_header", proxy_header::check);
}

#[test]
fn address_headers() {
    replay("proxy_address_headers", proxy_address_headers::check);
}

#[test]
fn connections_with_tls() {
    replay("stream_tls", stream_tls::check);
}
