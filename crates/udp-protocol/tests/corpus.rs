//! Replays the fuzzer's corpus.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/udp_request.rs"]
mod udp_request;

#[test]
fn requests() {
    replay("udp_request", udp_request::check);
}
