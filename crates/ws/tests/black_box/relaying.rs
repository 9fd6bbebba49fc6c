//! Offers and answers, within a worker and across.

use serde_json::{Value, json};

use crate::tracker::{KINDS, PLAIN, TLS, Tracker, WsTracker as _};
use crate::wire::{Client, announce, answer, name, offers};

#[test]
fn an_offer_and_its_answer_find_each_other() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut first = tracker.client();
        let mut second = tracker.client_ipv6();
        first.announce('a', 'p', json!({"event": "started"}));
        let reply = second.announce('a', 'q', offers(1, 2_000));
        assert_eq!(reply["incomplete"], 1);
        assert_eq!(reply["interval"], 120);

        let offer = first.relayed();
        assert_eq!(offer["action"], "announce");
        assert_eq!(offer["info_hash"], name('a'));
        assert_eq!(offer["peer_id"], name('q'));
        assert_eq!(offer["offer_id"], "offer000000000000000");
        assert_eq!(offer["offer"]["sdp"].as_str().unwrap().len(), 2_000);
        first.say(&answer('a', 'p', 'q'));
        let relayed = second.relayed();
        assert_eq!(relayed["peer_id"], name('p'));
        assert_eq!(relayed["answer"]["sdp"], "back");

        // An offer can be answered only once.
        let refused = first.ask(&answer('a', 'p', 'q'));
        assert_eq!(refused["action"], "announce");
        assert_eq!(refused["info_hash"], name('a'));
        assert!(refused["failure reason"].is_string());
        second.expect_silence();
        assert_eq!(tracker.rejected("unknown_offer"), 1.0);
        let relayed = [("result", "relayed")];
        assert_eq!(tracker.metric("offers_total", &relayed), 1.0);
        assert_eq!(tracker.metric("answers_total", &relayed), 1.0);
    }
}

#[test]
fn offers_cross_between_workers() {
    const CLIENTS: usize = 40;
    for kind in KINDS {
        let tracker = Tracker::with(kind, &[("socket_workers", "4")]);
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| tracker.client()).collect();
        let peer = |number: usize| char::from(b'0' + number as u8);
        for (number, client) in clients.iter_mut().enumerate() {
            client.announce('a', peer(number), json!({}));
        }
        let mut offered = 0;
        for (number, client) in clients.iter_mut().enumerate() {
            client.announce('a', peer(number), offers(10, 500));
            offered += 10;
        }
        // Each client answers every offer, and all answers are relayed.
        let relayed = [("result", "relayed")];
        tracker.await_metric("offers_total", &relayed, f64::from(offered));
        let offers_for_each: Vec<Vec<Value>> = clients
            .iter_mut()
            .map(|client| {
                client.read_relayed();
                client.take_relayed()
            })
            .collect();
        let mut answered = 0;
        for (client, offers) in clients.iter_mut().zip(offers_for_each) {
            for offer in offers {
                let mut reply = announce('a', 'x', json!({}));
                reply["peer_id"] = client.peer_id();
                reply["to_peer_id"] = offer["peer_id"].clone();
                reply["offer_id"] = offer["offer_id"].clone();
                reply["answer"] = json!({"type": "answer", "sdp": "back"});
                client.say(&reply);
                answered += 1;
            }
        }
        assert_eq!(answered, offered, "{kind:?}");
        tracker.await_metric("answers_total", &relayed, f64::from(answered));
        for client in &mut clients {
            client.read_relayed();
            let answers = client.take_relayed();
            assert_eq!(answers.len(), 10, "{kind:?}");
            assert!(answers.iter().all(|it| it.get("answer").is_some()));
        }
        assert_eq!(tracker.metric("rejected_requests_total", &[]), 0.0);
    }
}

#[test]
fn the_newer_connection_owns_a_peer() {
    for workers in ["1", "4"] {
        let tracker = Tracker::with(PLAIN, &[("socket_workers", workers)]);
        let mut older = tracker.client();
        older.announce('a', 'p', json!({}));
        let mut newer = tracker.client();
        newer.announce('a', 'p', json!({}));
        drop(older);
        tracker.await_metric("connections", &[], 1.0);
        assert_eq!(tracker.metric("peers", &[]), 1.0);
        let mut other = tracker.client();
        other.announce('a', 'q', offers(1, 10));
        assert_eq!(newer.relayed()["peer_id"], name('q'));
        drop(newer);
        tracker.await_metric("peers", &[], 1.0);
    }
}

#[test]
fn an_answer_to_a_closed_connection_is_an_error() {
    let tracker = Tracker::with(PLAIN, &[("socket_workers", "2")]);
    let mut first = tracker.client();
    first.announce('a', 'p', json!({}));
    let mut second = tracker.client();
    second.announce('a', 'q', offers(1, 10));
    first.relayed();
    drop(second);
    tracker.await_metric("connections", &[], 1.0);
    // Another connection uses the slot of the closed one.
    let mut third = tracker.client();
    third.announce('a', 'r', json!({}));
    let refused = |first: &mut Client| {
        let reply = first.ask(&answer('a', 'p', 'q'));
        assert_eq!(reply["action"], "announce");
        assert_eq!(reply["info_hash"], name('a'));
        let reason = "the peer of to_peer_id has left the torrent";
        assert_eq!(reply["failure reason"], reason);
    };
    refused(&mut first);
    third.expect_silence();
    // A peer that has stopped still has an open connection, but gets no answer.
    let mut fourth = tracker.client();
    fourth.announce('a', 'q', offers(2, 10));
    first.relayed();
    third.relayed();
    fourth.announce('a', 'q', json!({"event": "stopped"}));
    refused(&mut first);
    fourth.expect_silence();
    assert_eq!(tracker.rejected("offerer_gone"), 2.0);
}

#[test]
fn offers_expire() {
    let tracker = Tracker::with(PLAIN, &[("cleaning.max_offer_age", "1")]);
    let mut first = tracker.client();
    first.announce('a', 'p', json!({}));
    let mut second = tracker.client();
    second.announce('a', 'q', offers(1, 10));
    first.relayed();
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let reply = first.ask(&answer('a', 'p', 'q'));
    assert_eq!(
        reply["failure reason"],
        "the offer is too old to be answered"
    );
    assert_eq!(tracker.rejected("expired_offer"), 1.0);
    second.expect_silence();
}

#[test]
fn families_can_be_kept_apart() {
    let tracker = Tracker::with(PLAIN, &[("protocol.separate_families", "true")]);
    let mut ipv4 = tracker.client();
    let mut ipv6 = tracker.client_ipv6();
    ipv4.announce('a', 'p', json!({}));
    let reply = ipv6.announce('a', 'q', offers(1, 10));
    assert_eq!(reply["incomplete"], 0);
    ipv4.expect_silence();
    assert_eq!(tracker.metric("peers", &[("family", "ipv6")]), 1.0);
}

#[test]
fn many_offers_to_one_connection_are_complete() {
    // The tracker sends many messages for one connection together; this test only checks
    // that they arrive complete and in order.
    let tracker = Tracker::start(TLS);
    let mut first = tracker.client();
    first.announce('a', 'p', json!({}));
    let mut second = tracker.client();
    second.announce('a', 'q', json!({}));
    let announces: Vec<Value> = (0..50)
        .map(|_| announce('a', 'q', offers(1, 400)))
        .collect();
    let bytes: Vec<u8> = announces
        .iter()
        .flat_map(|it| crate::wire::frame(crate::wire::TEXT, it.to_string().as_bytes()))
        .collect();
    second.send(bytes);
    for _ in 0..50 {
        assert_eq!(first.relayed()["peer_id"], name('q'));
    }
}
