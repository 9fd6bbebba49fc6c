//! The page as text; a browser looks at it in the tests of the daemons.

use std::sync::Arc;

use super::super::history::Plot;
use super::super::process::Process;
use super::super::{Metric, Metrics};
use super::*;
use crate::access_list::{AccessList, InfoHashSet};
use crate::lists::Lists;

const HOSTILE: &str = "<script>alert('1')</script>\"&";

const REQUESTS: Metric = Metric::counter("requests_total", "").labelled(&["kind"]);

const PLOTS: &[Plot] = &[Plot {
    title: "Requests",
    metrics: &[REQUESTS],
    by: Some("kind"),
}];

fn source(overview: impl Fn(&str) -> Overview + Send + Sync + 'static) -> Source {
    let list = InfoHashSet::parse("11".repeat(20).as_bytes()).unwrap();
    let list = Lists::of_torrents(AccessList::Deny(list));
    Source {
        daemon: "aquatic-test",
        process: Arc::new(Process::new(None, list)),
        add_metrics: Box::new(|_| ()),
        plots: PLOTS,
        overview: Box::new(overview),
        degraded: Box::new(|| None),
    }
}

fn hostile_overview() -> Overview {
    let text = || HOSTILE.to_owned();
    Overview {
        urls: vec![text()],
        urls_note: Some(text()),
        certificates: vec![Certificate {
            path: HOSTILE.into(),
            expires_at: Some(1),
            warning: Some(text()),
        }],
        links: Some(text()),
        tables: vec![
            Table {
                title: "Torrents",
                caption: text(),
                columns: &["Info hash"],
                rows: vec![vec![text()]],
                is_code: true,
            },
            Table {
                title: "Nothing",
                caption: text(),
                columns: &[],
                rows: Vec::new(),
                is_code: false,
            },
        ],
    }
}

#[test]
fn nothing_that_is_shown_becomes_part_of_the_page() {
    let mut source = source(|_| hostile_overview());
    source.degraded = Box::new(|| Some(HOSTILE.to_owned()));
    source.process.snapshot_failed(HOSTILE);
    source.process.reload_failed("access list", HOSTILE);
    source.process.reload_ended();
    let mut history = History::new(source.plots);
    for number in 0..3 {
        let mut metrics = Metrics::new("aquatic-test");
        metrics.add(&REQUESTS, &["announce"], 10 * number);
        metrics.add(&REQUESTS, &[HOSTILE], 10 * number);
        history.sample(10_000 * number, &metrics);
    }
    let page = status_page(Some("tracker.test"), &source, &history);
    assert_eq!(page.status, Status::Ok);
    let text = page.text;
    assert_eq!(text.matches("<script").count(), 1, "{text}");
    assert!(!text.contains("alert('1')"), "{text}");
    // In texts and attributes: URL twice, note, four problems, certificate, link, reasons of
    // snapshot and reload, tables, and three times in the plot.
    let escaped = "&lt;script&gt;alert(&#x27;1&#x27;)&lt;&#x2f;script&gt;&quot;&amp;";
    assert_eq!(text.matches(escaped).count(), 17, "{text}");
}

#[test]
fn says_how_the_daemon_is() {
    let source = source(|_| Overview::default());
    let history = History::new(source.plots);
    let show = || status_page(None, &source, &history).text;
    source
        .process
        .turn(std::time::Instant::now(), 3, Vec::new());
    let text = show();
    assert!(
        text.contains("<p class=\"state good\">Healthy</p>"),
        "{text}"
    );
    assert!(text.contains("<dt>Workers</dt><dd>3</dd>"), "{text}");
    assert!(text.contains("<dt>Entries</dt><dd>1</dd>"), "{text}");
    assert!(text.contains("none since the start"), "{text}");
    assert!(!text.contains("class=\"problems\""), "{text}");

    source
        .process
        .reload_failed("access list", "line 7 is wrong");
    source.process.reload_ended();
    let text = show();
    assert!(text.contains("<p class=\"state fair\">Healthy, with problems</p>"));
    assert!(text.contains("<li>the last reload failed: line 7 is wrong</li>"));
    source.process.reload_ended();
    assert!(show().contains("succeeded"));

    let stuck = vec![("udp-1".to_owned(), std::time::Duration::from_secs(9))];
    source.process.turn(std::time::Instant::now(), 3, stuck);
    let text = show();
    assert!(
        text.contains("<p class=\"state poor\">Not healthy</p>"),
        "{text}"
    );
    assert!(text.contains("<li>worker udp-1 has been stuck for 9 seconds</li>"));
}

#[test]
fn urls_have_a_name_that_others_can_use() {
    for (requested, expected) in [
        ("tracker.test", "tracker.test"),
        ("tracker.test:9000", "tracker.test"),
        ("192.0.2.1:9000", "192.0.2.1"),
        ("[2001:db8::1]:9000", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ] {
        assert_eq!(reachable_host(Some(requested)), expected);
    }
    let own = host_name();
    for local in [
        "localhost:9000",
        "LOCALHOST",
        "127.0.0.1:9000",
        "[::1]:9000",
        ":9000",
    ] {
        assert_eq!(reachable_host(Some(local)), own, "{local}");
    }
    assert_eq!(reachable_host(None), own);
}

#[test]
fn no_other_page_and_no_foreign_script_can_use_it() {
    let source = source(|_| Overview::default());
    let headers = status_page(None, &source, &History::new(source.plots)).headers;
    for part in [
        "Content-Type: text/html; charset=utf-8\r\n",
        "Content-Security-Policy: default-src 'none';",
        "X-Frame-Options: DENY\r\n",
        "X-Content-Type-Options: nosniff\r\n",
    ] {
        assert!(headers.contains(part), "{headers}");
    }
    assert!(!headers.contains("unsafe"), "{headers}");
}

#[cfg(feature = "tls")]
#[test]
fn the_hashes_of_style_and_script_are_right() {
    html::tests::check_hash(STYLE);
    html::tests::check_hash(SCRIPT);
}
