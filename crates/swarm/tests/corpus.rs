//! Replays the fuzzer's corpus.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks/snapshot_torrents.rs"]
mod snapshot_torrents;

#[test]
fn blocks_of_torrents() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/snapshot_torrents");
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        // Seen when the check fails.
        println!("{}", path.display());
        snapshot_torrents::check(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", directory.display());
}
