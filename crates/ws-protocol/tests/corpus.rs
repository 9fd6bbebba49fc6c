//! Replays the fuzzer's corpora.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks/ws_frames.rs"]
mod ws_frames;
#[path = "../../fuzz/checks/ws_message.rs"]
mod ws_message;

fn replay(target: &str, check: fn(&[u8])) {
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

#[test]
fn messages() {
    replay("ws_message", ws_message::check);
}

#[test]
fn frames() {
    replay("ws_frames", ws_frames::check);
}
