//! Replays the fuzzer's corpora.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/http_head.rs"]
mod http_head;

#[test]
fn heads() {
    replay("http_head", http_head::check);
}
