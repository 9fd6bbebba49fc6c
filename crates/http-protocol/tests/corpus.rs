//! Replays the fuzzer's corpora.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks/http_request.rs"]
mod http_request;
#[path = "../../fuzz/checks/proxy_address_headers.rs"]
mod proxy_address_headers;

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
fn requests() {
    replay("http_request", http_request::check);
}

#[test]
fn address_headers() {
    replay("proxy_address_headers", proxy_address_headers::check);
}
