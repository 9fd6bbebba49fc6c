//! The page for people and the status page in a browser.

use aquatic_test_harness::browser::{self, Updates};
use aquatic_test_harness::tracker::{PLAIN, Place};

#[test]
fn the_pages_are_fine_in_a_browser() {
    let tracker = Place::of_kind(env!("CARGO_BIN_EXE_aquatic-ws"), PLAIN)
        .with(&[
            ("page.contact", "\"admin@tracker.test\""),
            ("metrics.peer_clients", "true"),
        ])
        .start();
    browser::inspect(
        "page-ws",
        &format!("http://{}/", tracker.ipv4()),
        Updates::Never,
    );
    let status = format!("http://{}/", tracker.place.metrics.ipv4());
    browser::inspect("status-ws", &status, Updates::Live);
}
