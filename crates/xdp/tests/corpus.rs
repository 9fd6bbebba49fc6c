//! Replays the fuzzer's corpus.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/xdp_frame.rs"]
mod xdp_frame;

#[test]
fn frames() {
    replay("xdp_frame", xdp_frame::check);
}
