//! Replays the fuzzer's corpus.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/proxy_header.rs"]
mod proxy_header;

#[test]
fn proxy_headers() {
    replay("proxy_header", proxy_header::check);
}
