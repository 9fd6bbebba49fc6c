//! Replays the fuzzer's corpus.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/key_url.rs"]
mod key_url;
#[path = "../../fuzz/checks/keys_file.rs"]
mod keys_file;

#[test]
fn files_of_keys() {
    replay("keys_file", keys_file::check);
}

#[test]
fn keys_in_urls() {
    replay("key_url", key_url::check);
}
