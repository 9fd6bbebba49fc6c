//! Announces, scrapes and pages, with each event loop, in the clear and with TLS.

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, TLS, Tracker};
use crate::wire::announce;

#[test]
fn peers_find_each_other_in_their_family() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        let body = client.announce('a', 1, "&left=0&event=started");
        assert!(body.ends_with("12:min intervali300e5:peers0:e"), "{body}");
        let body = tracker.client().announce('a', 2, "&left=5");
        let expected = "d8:completei1e10:downloadedi0e11:external ip4:\\x7f\\x00\\x00\\x01\
            10:incompletei0e8:intervali900e12:min intervali300e\
            5:peers6:\\x7f\\x00\\x00\\x01\\x00\\x01e";
        assert_eq!(body, expected, "{kind:?}");

        let body = tracker.client_ipv6().announce('a', 3, "");
        assert!(body.contains("10:incompletei0e"), "{body}");
        let body = tracker.client_ipv6().announce('a', 4, "");
        assert!(body.contains("5:peers0:6:peers618:\\x00"), "{body}");
        let body = tracker
            .client_ipv6()
            .announce('a', 5, "&compact=0&numwant=1");
        assert!(body.contains("5:peersld2:ip3:::14:porti"), "{body}");

        let hash = "a".repeat(20);
        let scrape = client.get(&format!("/scrape?info_hash={hash}"));
        let expected =
            format!("d5:filesd20:{hash}d8:completei1e10:downloadedi0e10:incompletei1eeee");
        assert_eq!(scrape.text(), expected);
        tracker.await_metric("peers", &[("family", "ipv6")], 3.0);
    }
}

#[test]
fn pages_and_head() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        let index = client.get("/");
        assert_eq!(index.status, 200);
        assert!(index.text().contains("announce</code>"), "{}", index.text());
        let content_type = index.header("Content-Type");
        assert_eq!(content_type, Some("text/html; charset=utf-8"));
        assert_eq!(client.get("/health").text(), "ok\\n");
        let head = client.head("/");
        assert_eq!(head.head, index.head);
        // The reply to HEAD has no body: the next reply follows at once.
        assert_eq!(client.get("/favicon.ico").status, 404);
        client.send("DELETE /announce HTTP/1.1\r\nHost: x\r\n\r\n");
        let refused = client.reply();
        assert_eq!(refused.status, 405);
        assert_eq!(refused.header("Allow"), Some("GET, HEAD"));
        assert_eq!(client.get("/health").status, 200);
    }
}

#[test]
fn the_page_for_people_has_the_url_to_copy() {
    let settings = [
        ("page.name", "\"A <b>tracker</b>\""),
        ("page.contact", "\"admin@tracker.test\""),
        ("page.totals", "true"),
    ];
    for kind in KINDS {
        let tracker = Tracker::with(kind, &settings);
        let mut client = tracker.client();
        client.announce('a', 1, "");
        client.send("GET / HTTP/1.1\r\nHost: tracker.test:8080\r\n\r\n");
        let page = client.reply().text().replace("&#x2f;", "/");
        let scheme = if kind.is_tls { "https" } else { "http" };
        for part in [
            format!(">{scheme}://tracker.test:8080/announce<"),
            "<h1>A &lt;b&gt;tracker&lt;/b&gt;</h1>".to_owned(),
            "mailto:admin@tracker.test".to_owned(),
            "Torrents: 1, peers: 1, seeders: 0".to_owned(),
        ] {
            assert!(page.contains(&part), "{part}\n{page}");
        }
        // The header of a proxy contains the scheme that its client used.
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n");
        let page = client.reply().text().replace("&#x2f;", "/");
        assert!(page.contains(">https://a/announce<"), "{page}");
        // This is not a valid host, so the request is refused.
        client.send("GET / HTTP/1.1\r\nHost: <script>\r\n\r\n");
        assert_eq!(client.reply().status, 400);
    }
    let url = ("network.public_url", "\"https://public.test/announce\"");
    let tracker = Tracker::with(PLAIN, &[url]);
    let page = tracker.client().get("/").text().replace("&#x2f;", "/");
    assert!(page.contains(">https://public.test/announce<"), "{page}");
    assert!(!page.contains("Torrents: "), "{page}");
}

#[test]
fn rejections_are_reported_and_counted() {
    let tracker = Tracker::start(PLAIN);
    let mut client = tracker.client();
    let bad_hash = announce('a', 1, "").replace("aaa", "");
    for (target, reason, message) in [
        (announce('a', 0, ""), "port_zero", "port must not be 0"),
        (
            "/announce?port=1".to_owned(),
            "malformed",
            "info_hash is missing",
        ),
        (bad_hash, "malformed", "info_hash has 2 bytes instead of 20"),
        (
            "/scrape".to_owned(),
            "full_scrape",
            "full scrapes are not served: info_hash is missing",
        ),
    ] {
        let before = tracker.rejected(reason);
        let reply = client.get(&target);
        assert_eq!(reply.status, 200);
        let length = message.len();
        assert_eq!(
            reply.text(),
            format!("d14:failure reason{length}:{message}e")
        );
        tracker.await_metric(
            "rejected_requests_total",
            &[("reason", reason)],
            before + 1.0,
        );
    }
}

#[test]
fn a_wrong_url_is_answered_with_the_right_one() {
    for kind in [PLAIN, TLS] {
        let tracker = Tracker::start(kind);
        let scheme = if kind.is_tls { "https" } else { "http" };
        let mut client = tracker.client();
        let query = announce('a', 1, "");
        let query = query.trim_start_matches("/announce");
        for path in [
            "/",
            "/announce/",
            "//announce",
            "/announce.php",
            "/KEY/announce",
        ] {
            client.send(format!(
                "GET {path}{query} HTTP/1.1\r\nHost: tracker.test:{}\r\n\r\n",
                8080
            ));
            let reply = client.reply();
            assert_eq!(reply.status, 200);
            let reason =
                format!("wrong URL: this tracker has {scheme}://tracker.test:8080/announce");
            let expected = format!("d14:failure reason{}:{reason}e", reason.len());
            assert_eq!(reply.text(), expected);
        }
        assert_eq!(tracker.rejected("wrong_url"), 5.0);
    }
}

#[test]
fn unusual_requests_are_served() {
    let tracker = Tracker::start(PLAIN);
    let mut client = tracker.client();
    let target = announce('a', 1, "&event=&numwant=-1&left&foo&uploaded=x&x==");
    for request in [
        format!("GET http://tracker.test{target} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n"),
        format!("GET {target} HTTP/1.1\nHost: x\n\n"),
        format!("\r\nGET {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
    ] {
        client.send(&request);
        let reply = client.reply();
        assert!(reply.text().starts_with("d8:complete"), "{request}");
    }
    let raw = [
        &b"GET /announce?info_hash=\xff\x80\x01<>%41%e1%E1+abcdefghijk&peer_id="[..],
        b"-XX1234-abcdefghijkl&port=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    .concat();
    client.send(raw);
    let reply = client.reply();
    assert!(reply.text().starts_with("d8:complete"), "{}", reply.text());
    let scrape = client.get("/scrape?info_hash=%FF%80%01%3C%3EA%E1%E1%20abcdefghijk");
    assert!(
        scrape.text().contains("10:incompletei1e"),
        "{}",
        scrape.text()
    );
}
