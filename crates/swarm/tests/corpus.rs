//! Replays the fuzzer's corpus.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/snapshot_torrents.rs"]
mod snapshot_torrents;

#[path = "../../fuzz/checks/swarm_operations.rs"]
mod swarm_operations;

#[test]
fn histories() {
    replay("swarm_operations", swarm_operations::check);
}

#[test]
fn blocks_of_torrents() {
    replay("snapshot_torrents", snapshot_torrents::check);
}
