//! Replays the fuzzer's corpora.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/ban_list.rs"]
mod ban_list;
#[path = "../../fuzz/checks/client_list.rs"]
mod client_list;
#[path = "../../fuzz/checks/key_url.rs"]
mod key_url;
#[path = "../../fuzz/checks/keys_file.rs"]
mod keys_file;

#[test]
fn lists_of_bans() {
    replay("ban_list", ban_list::check);
}

#[test]
fn lists_of_clients() {
    replay("client_list", client_list::check);
}

#[test]
fn files_of_keys() {
    replay("keys_file", keys_file::check);
}

#[test]
fn keys_in_urls() {
    replay("key_url", key_url::check);
}
