//! Replays the fuzzer's corpus.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks/proxy_header.rs"]
mod proxy_header;

#[test]
fn proxy_headers() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/proxy_header");
    let mut count = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        // Seen when the check fails.
        println!("{}", path.display());
        proxy_header::check(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", directory.display());
}
