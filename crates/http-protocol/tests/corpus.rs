//! Replays the fuzzer's corpora.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/http_request.rs"]
mod http_request;
#[path = "../../fuzz/checks/proxy_address_headers.rs"]
mod proxy_address_headers;

#[test]
fn requests() {
    replay("http_request", http_request::check);
}

#[test]
fn address_headers() {
    replay("proxy_address_headers", proxy_address_headers::check);
}
