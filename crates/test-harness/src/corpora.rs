//! Replays the fuzzer's corpora.

use std::fs;
use std::path::Path;

/// Calls `check` for each input of this target in `crates/fuzz/corpus`.
///
/// # Panics
/// When there is no input, or one cannot be read; and when `check` panics.
pub fn replay(target: &str, check: fn(&[u8])) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let directory = corpora.join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("the corpus") {
        let path = entry.expect("a file").path();
        // Shown if the check fails.
        println!("{}", path.display());
        check(&fs::read(&path).expect("a file"));
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", directory.display());
}
