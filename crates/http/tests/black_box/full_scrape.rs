//! The counts of all torrents: over a full scrape, and in a file.

use crate::tracker::{HttpTracker as _, KINDS, PLAIN, Tracker, new_place};
use crate::wire::{Client, announce};

const TRUSTED: (&str, &str) = ("protocol.full_scrape_from", "[\"127.0.0.1\"]");

/// How many torrents there are.
const TORRENTS: u32 = 3_000;

/// Announces a peer of each torrent; every second one is a seeder.
fn fill(client: &mut Client) {
    for torrent in 0..TORRENTS {
        let hash = format!("{torrent:020}");
        let left = torrent % 2;
        let target = announce('a', 1, &format!("&left={left}")).replace(&"a".repeat(20), &hash);
        assert_eq!(client.get(&target).status, 200);
    }
}

/// The reply with all torrents, in their order.
fn expected() -> String {
    let torrent = |torrent: u32| {
        let (seeders, leechers) = (1 - torrent % 2, torrent % 2);
        format!("20:{torrent:020}d8:completei{seeders}e10:downloadedi0e10:incompletei{leechers}ee")
    };
    let all: String = (0..TORRENTS).map(torrent).collect();
    format!("d5:filesd{all}ee")
}

#[test]
fn trusted_clients_get_all_torrents() {
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[TRUSTED]);
        let mut client = tracker.client();
        fill(&mut client);
        let reply = client.get("/scrape");
        assert_eq!(reply.header("Transfer-Encoding"), Some("chunked"));
        assert!(reply.text() == expected(), "{kind:?}");
        // The connection stays open, and requests behind it are answered afterwards.
        client.send(
            "GET /scrape?x=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        );
        assert!(client.reply().text() == expected(), "{kind:?}");
        assert_eq!(client.reply().text(), "ok\\n");
        assert!(client.head("/scrape").body.is_empty());
        assert_eq!(client.get("/health").text(), "ok\\n");

        client.send("GET /scrape HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let rest = String::from_utf8(client.rest()).unwrap();
        let (head, body) = rest.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("Connection: close") && !head.contains("chunked"),
            "{head}"
        );
        assert!(body == expected(), "{kind:?}");

        // Those of the other family.
        let mut ipv6 = tracker.client_ipv6();
        assert!(
            ipv6.get("/scrape")
                .text()
                .contains("full scrapes are not served")
        );
        assert_eq!(tracker.rejected("full_scrape"), 1.0);
    }
}

#[test]
fn others_are_served_meanwhile_and_who_does_not_read_is_cut_off() {
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[TRUSTED, ("network.write_timeout", "1")]);
        let mut client = tracker.client();
        fill(&mut client);
        let mut silent = tracker.client();
        // Far more than the kernel buffers.
        let request = "GET /scrape HTTP/1.1\r\nHost: x\r\n\r\n";
        silent.send(request.repeat(300));
        for port in 0..200 {
            let body = client.announce('b', port + 1, "");
            assert!(body.starts_with("d8:complete"), "{body}");
        }
        let labels = [("reason", "slow_reader")];
        tracker.await_metric("connections_cut_total", &labels, 1.0);
        assert!(client.get("/scrape").text().starts_with("d5:filesd20:"));
    }
}

#[test]
fn a_reload_decides_who_is_trusted() {
    let mut tracker = Tracker::with(PLAIN, &[("protocol.full_scrape_from", "[\"10.0.0.0/8\"]")]);
    let mut client = tracker.client();
    client.announce('a', 1, "");
    assert!(
        client
            .get("/scrape")
            .text()
            .contains("full scrapes are not served")
    );
    tracker.reload_with(&[TRUSTED]);
    let one = "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi0e10:incompletei1eeee";
    assert_eq!(client.get("/scrape").text(), one);
    tracker.reload_with(&[
        ("network.runs_behind_reverse_proxy", "true"),
        ("protocol.full_scrape_from", "[\"192.0.2.1\"]"),
    ]);
    let passed_on = |address| format!("X-Forwarded-For: {address}\r\n");
    assert_eq!(
        client.get_with("/scrape", &passed_on("192.0.2.1")).text(),
        one
    );
    let other = client.get_with("/scrape", &passed_on("192.0.2.2")).text();
    assert!(other.contains("full scrapes are not served"), "{other}");
}

#[test]
fn all_torrents_are_exported() {
    let text = new_place(PLAIN).export(|tracker| {
        tracker.client().announce('a', 1, "");
        tracker.client_ipv6().announce('a', 1, "&left=0");
    });
    let hash = "61".repeat(20);
    let expected = format!(
        "info_hash\tfamily\tseeders\tleechers\tcompleted\n{hash}\tipv4\t0\t1\t0\n\
         {hash}\tipv6\t1\t0\t0\n"
    );
    assert_eq!(text, expected);
}
