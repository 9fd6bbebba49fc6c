//! Replays the fuzzer's corpora.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/http_request.rs"]
mod http_request;

#[test]
fn requests() {
    replay("http_request", http_request::check);
}
