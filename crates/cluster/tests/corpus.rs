//! Replays the fuzzer's corpus.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/cluster_batch.rs"]
mod cluster_batch;

#[path = "../../fuzz/checks/cluster_operations.rs"]
mod cluster_operations;

#[path = "../../fuzz/checks/cluster_signals.rs"]
mod cluster_signals;

#[test]
fn batches() {
    replay("cluster_batch", cluster_batch::check);
}

#[test]
fn histories_of_records() {
    replay("cluster_operations", cluster_operations::check);
}

#[test]
fn signals() {
    replay("cluster_signals", cluster_signals::check);
}
