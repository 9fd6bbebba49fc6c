//! Replays the fuzzer's corpora.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/proxy_address_headers.rs"]
mod proxy_address_headers;
#[path = "../../fuzz/checks/proxy_header.rs"]
mod proxy_header;

#[test]
fn proxy_headers() {
    replay("proxy_header", proxy_header::check);
}

#[test]
fn address_headers() {
    replay("proxy_address_headers", proxy_address_headers::check);
}
