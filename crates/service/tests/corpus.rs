//! Replays the fuzzer's corpus.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks/snapshot_file.rs"]
mod snapshot_file;

#[test]
fn snapshots() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/snapshot_file");
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        // Seen when the check fails.
        println!("{}", path.display());
        snapshot_file::check(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", directory.display());
}
