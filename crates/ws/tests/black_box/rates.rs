//! How many messages a source may send, with each event loop.

use serde_json::json;

use crate::tracker::{KINDS, WsTracker as _, new_place};
use crate::wire::announce;

#[test]
fn messages_are_limited_over_all_connections() {
    for kind in KINDS {
        let limit = [
            ("rates.requests_per_second", "10"),
            ("rates.burst_seconds", "2"),
        ];
        let mut tracker = new_place(kind).with(&limit).start();
        let mut clients = [tracker.client(), tracker.client()];
        let mut replies = Vec::new();
        for _ in 0..30 {
            for (client, peer) in clients.iter_mut().zip(['p', 'q']) {
                replies.push(client.ask(&announce('a', peer, json!({}))));
            }
        }
        let rejected = |reply: &serde_json::Value| reply.get("failure reason").is_some();
        let served = replies.iter().take_while(|reply| !rejected(reply)).count();
        assert!((20..40).contains(&served), "{served}");
        let reply = &replies[served];
        let expected = "too many requests from your address; try again later";
        assert_eq!(reply["failure reason"], expected);
        // npm's client finds its torrent by this.
        assert_eq!(reply["action"], "announce");
        assert_eq!(reply["info_hash"], "a".repeat(20));
        assert!(tracker.rejected("rate_limit") > 10.0);

        tracker.reload_with(&[("rates.requests_per_second", "0")]);
        let reply = clients[0].ask(&announce('a', 'p', json!({})));
        assert!(!rejected(&reply), "{reply}");
    }
}
