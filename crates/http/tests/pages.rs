//! The page for people and the status page in a browser.

use aquatic_test_harness::browser::{self, Updates};
use aquatic_test_harness::tracker::{PLAIN, Place, TLS};

/// The binary under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_aquatic-http");

#[test]
fn the_pages_are_fine_in_a_browser() {
    let tracker = Place::of_kind(PROGRAM, TLS)
        .with(&[
            ("page.name", "\"<img src=x onerror=alert(1)> tracker\""),
            (
                "page.contact",
                "\"https://tracker.test/<script>alert(2)</script>\"",
            ),
            ("page.totals", "true"),
        ])
        .start();
    browser::inspect(
        "page-http",
        &format!("https://{}/", tracker.ipv4()),
        Updates::Never,
    );
    let status = format!("http://{}/", tracker.place.metrics.ipv4());
    browser::inspect("status-http", &status, Updates::Live);
}

#[test]
fn the_page_for_people_is_fine_by_default() {
    let tracker = Place::of_kind(PROGRAM, PLAIN).start();
    browser::inspect(
        "page-http-default",
        &format!("http://{}/", tracker.ipv4()),
        Updates::Never,
    );
}
