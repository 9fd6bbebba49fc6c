//! Replays the fuzzer's corpora.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/ws_frames.rs"]
mod ws_frames;
#[path = "../../fuzz/checks/ws_message.rs"]
mod ws_message;

#[test]
fn messages() {
    replay("ws_message", ws_message::check);
}

#[test]
fn frames() {
    replay("ws_frames", ws_frames::check);
}
