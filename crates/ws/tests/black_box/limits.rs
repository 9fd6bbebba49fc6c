//! Clients that exceed limits, or do not read their replies.

use std::time::Duration;

use serde_json::json;

use crate::tracker::{KINDS, PLAIN, Tracker, WsTracker as _};
use crate::wire::{TEXT, announce, frame, offers};

#[test]
fn receivers_that_never_read_are_cut_off() {
    for kind in KINDS {
        for workers in ["1", "2"] {
            let settings = [
                ("network.max_unsent_bytes", "20000"),
                ("network.write_timeout", "60"),
                ("socket_workers", workers),
            ];
            let tracker = Tracker::with(kind, &settings);
            let mut deaf = tracker.client();
            deaf.announce('a', 'p', json!({}));
            let mut other = tracker.client();
            other.announce('a', 'q', json!({}));
            let message = announce('a', 'q', offers(1, 10_000)).to_string();
            let bytes = frame(TEXT, message.as_bytes());
            let full = [("reason", "full_output")];
            for _ in 0..3_000 {
                other.send(&bytes);
                other.reply();
                if tracker.metric("connections_cut_total", &full) > 0.0 {
                    break;
                }
            }
            tracker.await_metric("connections_cut_total", &full, 1.0);
            tracker.await_metric("peers", &[], 1.0);
            other.announce('a', 'q', json!({}));
        }
    }
}

#[test]
fn clients_that_do_not_read_replies_are_not_served_further() {
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[("network.write_timeout", "1")]);
        let mut client = tracker.client();
        let scrape = json!({"action": "scrape", "info_hash": vec!["a".repeat(20); 200]});
        let bytes = frame(TEXT, scrape.to_string().as_bytes()).repeat(100);
        // The client reads nothing, so after some time the tracker stops reading from it.
        let is_cut = || tracker.metric("connections", &[]) == 0.0;
        for _ in 0..2_000 {
            if client.send_for(Duration::from_secs(2), &bytes).is_err() || is_cut() {
                break;
            }
        }
        tracker.await_metric("connections", &[], 0.0);
        tracker.client().announce('a', 'p', json!({}));
    }
}

#[test]
fn many_peers_of_a_closed_connection_are_removed_soon() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        let mut bytes = Vec::new();
        for torrent in 0..3_000 {
            let mut message = announce('a', 'p', json!({}));
            message["info_hash"] = format!("{torrent:020}").into();
            bytes.extend(frame(TEXT, message.to_string().as_bytes()));
            if torrent % 100 == 99 {
                client.send(&bytes);
                bytes.clear();
                for _ in 0..100 {
                    assert_eq!(client.reply()["action"], "announce");
                }
            }
        }
        tracker.await_metric("peers", &[], 3_000.0);
        drop(client);
        tracker.await_metric("peers", &[], 0.0);
    }
}

#[test]
fn floods_of_offers_are_bounded() {
    let tracker = Tracker::start(PLAIN);
    let mut victim = tracker.client();
    victim.announce('a', 'p', json!({}));
    let mut flood = tracker.client();
    flood.announce('a', 'q', json!({}));
    // Only as many offers are sent as there are other peers, and as are allowed.
    flood.announce('a', 'q', offers(10, 10));
    victim.relayed();
    victim.expect_silence();
    for _ in 0..300 {
        flood.announce('a', 'q', offers(1, 10));
        victim.relayed();
    }
    let forgotten = [("reason", "too_many")];
    assert_eq!(tracker.metric("forgotten_offers_total", &forgotten), 45.0);
}

#[test]
fn connections_of_an_address_are_capped() {
    let tracker = Tracker::with(PLAIN, &[("network.max_connections_per_ip", "2")]);
    let mut first = tracker.client();
    let _second = tracker.client();
    tracker.raw().expect_end();
    first.announce('a', 'p', json!({}));
    tracker.client_ipv6().announce('a', 'q', json!({}));
}
