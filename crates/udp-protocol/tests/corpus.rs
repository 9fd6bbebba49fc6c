//! Replays the fuzzer's corpus.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks/udp_request.rs"]
mod udp_request;

#[test]
fn requests() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/udp_request");
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        // Seen when the check fails.
        println!("{}", path.display());
        udp_request::check(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", directory.display());
}
