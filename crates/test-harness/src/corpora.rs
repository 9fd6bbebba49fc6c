//! Replays the fuzzer's corpora.

use std::fs;
use std::path::Path;

/// Has `check` look at each input in `crates/fuzz/corpus` for this target.
///
/// # Panics
/// When there is none, or one cannot be read; and as `check` does.
pub fn replay(target: &str, check: fn(&[u8])) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let directory = corpora.join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("the corpus") {
        let path = entry.expect("a file").path();
        // Seen when the check fails.
        println!("{}", path.display());
        check(&fs::read(&path).expect("a file"));
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", directory.display());
}
