//! How many requests and connections a source may make, with each event loop.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::tracker::{HttpTracker as _, KINDS, new_place};

const QUERY: &str = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=aaaaaaaaaaaaaaaaaaaa&port=1";

#[test]
fn requests_are_limited() {
    for kind in KINDS {
        let limit = [
            ("rates.requests_per_second", "10"),
            ("rates.burst_seconds", "2"),
        ];
        let mut tracker = new_place(kind).with(&limit).start();
        let mut client = tracker.client();
        let replies: Vec<_> = (0..60).map(|_| client.get(QUERY).text()).collect();
        let is_served = |text: &&String| text.starts_with("d8:complete");
        let served = replies.iter().take_while(is_served).count();
        assert!((20..40).contains(&served), "{served}");
        let expected = "d14:failure reason52:too many requests from your address; try again later\
                        8:retry ini5ee";
        assert_eq!(replies[served], expected);
        assert!(tracker.rejected("rate_limit") > 10.0);
        // A proxy asks for it.
        assert_eq!(client.get("/health").status, 200);

        tracker.reload_with(&[("rates.requests_per_second", "0")]);
        assert!((0..60).all(|_| is_served(&&client.get(QUERY).text())));
    }
}

#[test]
fn connections_are_limited() {
    for kind in KINDS {
        let limit = [
            ("rates.connections_per_second", "5"),
            ("rates.burst_seconds", "2"),
        ];
        let mut tracker = new_place(kind).with(&limit).start();
        let address = tracker.ipv4();
        // They stay open, unless they are refused.
        let open = || {
            let connections: Vec<_> = (0..30)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            let is_open = |mut connection: &TcpStream| {
                let patience = Duration::from_millis(100);
                connection.set_read_timeout(Some(patience)).unwrap();
                let result = connection.read(&mut [0]);
                result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            };
            connections.iter().filter(|it| is_open(it)).count()
        };
        let opened = open();
        assert!((10..20).contains(&opened), "{opened}");
        tracker.reload_with(&[("rates.connections_per_second", "0")]);
        assert_eq!(open(), 30);
    }
}
