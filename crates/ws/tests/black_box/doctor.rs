//! `doctor`, for healthy trackers and for those with a problem.

use std::collections::BTreeSet;

use aquatic_test_harness::certificates::AUTHORITY;
use aquatic_test_harness::doctor::Examination;

use crate::tracker::{KINDS, Kind, PLAIN, Place, TLS, Tracker, WsTracker as _, new_place};

fn examine(place: &Place, more: &[&str]) -> Examination {
    Examination::of(&place.setup, &place.config(), more)
}

/// A place in which programs trust the tracker's certificate.
fn trusted(kind: Kind) -> Place {
    let mut place = new_place(kind);
    let authority = place.setup.write("authority.pem", AUTHORITY);
    place.setup.set_environment("SSL_CERT_FILE", authority);
    place
}

#[test]
fn trackers_that_are_well_have_nothing_wrong() {
    for kind in KINDS {
        let tracker = trusted(kind).start();
        let found = examine(&tracker.place, &[]);
        assert_eq!(found.wrong(), BTreeSet::new(), "{found:?}");
        found.expect("socket", "ok", &tracker.place.port.ipv4().to_string());
        found.expect("health", "ok", "the tracker says: ok");
        found.expect("announce", "ok", "has answered whole announces");
        // Two peers announced and stopped at each of the two addresses.
        let announces = tracker.metric("requests_total", &[("kind", "announce")]);
        assert_eq!(announces, 8.0);
        tracker.await_metric("peers", &[], 0.0);
    }
}

#[test]
fn health_is_an_exit_code() {
    for kind in KINDS {
        new_place(kind).start().examine_health();
    }
}

#[test]
fn whole_announces_go_through_tls() {
    let tracker = trusted(TLS).start();
    let url = format!("wss://localhost:{}", tracker.place.port.number());
    let found = examine(&tracker.place, &["--url", &url]);
    found.expect("certificate", "ok", "for localhost");
    found.expect("public announce", "ok", "has answered whole announces");
}

#[test]
fn the_proxy_does_not_send_its_header() {
    let behind = [("network.runs_behind_reverse_proxy", "true")];
    let tracker = Tracker::with(PLAIN, &behind);
    let url = format!("ws://{}", tracker.place.port.ipv4());
    let found = examine(&tracker.place, &["--url", &url]);
    assert_eq!(found.code, Some(2));
    found.expect("announce", "unchecked", "only proxies");
    found.expect("public announce", "wrong", "header");
    found.expect_advice("public announce", "wrong", "in nginx: proxy_set_header");
}

#[test]
fn the_url_is_that_of_a_plain_tracker() {
    let tracker = Tracker::with(PLAIN, &[]);
    let url = format!("wss://{}", tracker.place.port.ipv4());
    let found = examine(&tracker.place, &["--url", &url]);
    assert_eq!(found.code, Some(2));
    found.expect("announce", "ok", "has answered whole announces");
    found.expect("public announce", "wrong", "TLS");
}

#[test]
fn a_list_denies_what_it_does_not_name() {
    let mut place = new_place(PLAIN);
    place.setup.write("list", "");
    place.set_path("access_list.path", "list");
    place.set("access_list.mode", "\"allow\"");
    let tracker = place.start();
    let found = examine(&tracker.place, &[]);
    found.expect("announce", "ok", "as its allow list says");
}
