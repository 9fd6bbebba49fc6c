//! Replays the fuzzer's corpus.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/snapshot_file.rs"]
mod snapshot_file;

#[test]
fn snapshots() {
    replay("snapshot_file", snapshot_file::check);
}
