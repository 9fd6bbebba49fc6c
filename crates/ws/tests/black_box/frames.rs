//! Frames of every kind, legal and not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::tracker::{KINDS, PLAIN, Tracker, WsTracker as _};
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, announce, frame, frame_of,
};

#[test]
fn text_bytes_and_fragments_are_messages() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        let message = announce('a', 'p', json!({})).to_string();
        let bytes = message.as_bytes();
        client.send(frame(BINARY, bytes));
        assert_eq!(client.reply()["action"], "announce");
        // In three parts, with a ping in between.
        client.send(frame_of(TEXT, &bytes[..10]));
        client.send(frame_of(CONTINUATION, &bytes[10..20]));
        client.send(frame(PING, b"now"));
        let pong = Frame {
            opcode: PONG,
            payload: b"now".to_vec(),
        };
        assert_eq!(client.frame(), pong);
        client.send(frame(CONTINUATION, &bytes[20..]));
        assert_eq!(client.reply()["action"], "announce");
        // A byte at a time.
        for byte in frame(TEXT, bytes) {
            client.send([byte]);
        }
        assert_eq!(client.reply()["action"], "announce");
        // Many frames at once; another test sends a frame together with the upgrade
        // request.
        client.send(frame(TEXT, bytes).repeat(20));
        for _ in 0..20 {
            assert_eq!(client.reply()["action"], "announce");
        }
        client.send(frame(PONG, b"that nobody asked for"));
        client.expect_silence();
        client.send(frame(CLOSE, &1000_u16.to_be_bytes()));
        client.expect_close(1000);
    }
}

#[test]
fn a_message_at_the_end_of_input_is_answered() {
    for kind in KINDS.into_iter().filter(|kind| !kind.is_tls) {
        let tracker = Tracker::start(kind);
        let mut client = tracker.client();
        let message = announce('a', 'p', json!({})).to_string();
        client.send(frame(TEXT, message.as_bytes()));
        client.shutdown();
        assert_eq!(client.reply()["complete"], 0, "{kind:?}");
        client.expect_end();
        tracker.await_metric("peers", &[], 0.0);
    }
}

#[test]
fn frames_may_arrive_with_the_upgrade_request() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut client = tracker.raw();
        let mut bytes = b"GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            .to_vec();
        let message = announce('a', 'p', json!({})).to_string();
        bytes.extend(frame(TEXT, message.as_bytes()));
        client.send(bytes);
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        assert_eq!(client.reply()["action"], "announce");
    }
}

#[test]
fn a_close_frame_is_answered() {
    let tracker = Tracker::start(PLAIN);
    for (payload, code) in [
        (vec![], 1000),
        (vec![0x03, 0xe9], 1001),
        ([&[0x0f, 0xa0][..], b"bye"].concat(), 4000),
    ] {
        let mut client = tracker.client();
        client.send(frame(CLOSE, &payload));
        client.expect_close(code);
    }
}

#[test]
fn illegal_frames_close_the_connection() {
    for kind in KINDS {
        let tracker = Tracker::start(kind);
        let mut unmasked = frame(TEXT, b"{}");
        unmasked[1] &= 0x7f;
        let fragment = frame_of(TEXT, b"{");
        let cases: Vec<(&str, Vec<u8>, u16)> = vec![
            ("no mask", unmasked, 1002),
            ("reserved bit", frame_of(0xc0 | TEXT, b"{}"), 1002),
            ("opcode 3", frame(3, b"{}"), 1002),
            ("opcode 11", frame(11, b""), 1002),
            ("long ping", frame(PING, &[b'x'; 126]), 1002),
            ("fragmented ping", frame_of(PING, b""), 1002),
            ("fragmented close", frame_of(CLOSE, b""), 1002),
            ("nothing to continue", frame(CONTINUATION, b"{}"), 1002),
            (
                "interrupted",
                [fragment.clone(), frame(TEXT, b"{}")].concat(),
                1002,
            ),
            ("half a code", frame(CLOSE, &[3]), 1002),
            ("code 1005", frame(CLOSE, &1005_u16.to_be_bytes()), 1002),
            ("reason is no text", frame(CLOSE, &[3, 232, 0xff]), 1007),
            ("no text", frame(TEXT, &[0xff, 0xfe]), 1007),
            (
                "length in too many bytes",
                vec![0x81, 0xfe, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5],
                1002,
            ),
            (
                "negative length",
                [&[0x81, 0xff][..], &[0xff; 8], &[0; 4]].concat(),
                1002,
            ),
            (
                "too long",
                [&[0x81, 0xff][..], &(1_u64 << 20).to_be_bytes(), &[0; 4]].concat(),
                1009,
            ),
        ];
        let count = cases.len();
        for (what, bytes, code) in cases {
            let mut client = tracker.client();
            client.send(bytes);
            let frame = client.frame();
            assert_eq!(frame.opcode, CLOSE, "{what}");
            let told = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            // Either of two faults may be reported first.
            let is_right = told == code || (what == "negative length" && told == 1009);
            assert!(is_right, "{kind:?} {what}: {told}");
            client.expect_end();
        }
        let rejected = tracker.rejected("frame") + tracker.rejected("too_long");
        assert_eq!(rejected, count as f64, "{kind:?}");
        tracker.await_metric("connections", &[], 0.0);
    }
}

#[test]
fn messages_and_frames_are_bounded() {
    let settings = [
        ("network.websocket_max_message_size", "10000"),
        ("network.websocket_max_frame_size", "5000"),
    ];
    for kind in KINDS {
        let tracker = Tracker::with(kind, &settings);
        let mut message = announce('a', 'p', json!({})).to_string();
        message.push_str(&" ".repeat(5_000 - message.len()));
        let mut client = tracker.client();
        client.send(frame(TEXT, message.as_bytes()));
        assert_eq!(client.reply()["action"], "announce");
        // With a second fragment, a message of the maximum length.
        client.send(frame_of(TEXT, message.as_bytes()));
        client.send(frame(CONTINUATION, " ".repeat(5_000).as_bytes()));
        assert_eq!(client.reply()["action"], "announce");
        client.send(frame_of(TEXT, message.as_bytes()));
        client.send(frame_of(CONTINUATION, " ".repeat(5_000).as_bytes()));
        client.send(frame(CONTINUATION, b" "));
        client.expect_close(1009);

        let mut client = tracker.client();
        message.push(' ');
        client.send(frame(TEXT, message.as_bytes()));
        client.expect_close(1009);
        assert_eq!(tracker.rejected("too_long"), 2.0);
    }
}

#[test]
fn fragments_that_never_end_are_cut_off() {
    let settings = [
        ("cleaning.max_connection_idle", "4"),
        ("network.message_timeout", "1"),
    ];
    for kind in KINDS {
        let tracker = Tracker::with(kind, &settings);
        let mut client = tracker.client();
        client.send(frame_of(TEXT, b"{"));
        client.expect_close(1008);
        let mut client = tracker.client();
        client.send(&frame(TEXT, b"{}")[..4]);
        client.expect_close(1008);
        assert_eq!(tracker.rejected("too_slow"), 2.0, "{kind:?}");
    }
}

#[test]
fn a_message_in_fragments_has_its_time_from_its_first_byte() {
    for kind in KINDS {
        let settings = [
            ("network.message_timeout", "2"),
            ("cleaning.max_connection_idle", "60"),
        ];
        let tracker = Tracker::with(kind, &settings);
        let mut client = tracker.client();
        let start = Instant::now();
        client.send(frame_of(TEXT, b"{"));
        // Frames arrive all the time, but never the last fragment.
        while client.try_send(&frame_of(CONTINUATION, b"")).is_ok()
            && client.try_send(&frame(PING, b"")).is_ok()
            && tracker.metric("connections", &[]) > 0.0
        {
            assert!(start.elapsed() < Duration::from_secs(20), "{kind:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(start.elapsed() >= Duration::from_secs(2), "{kind:?}");
        let cut = [("reason", "slow_message")];
        tracker.await_metric("connections_cut_total", &cut, 1.0);
    }
}
