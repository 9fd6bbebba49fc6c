//! A client of a tracker over WebSocket, in bytes (RFC 6455).

use std::io::{Read, Write};

use serde_json::{Value, json};

/// A connection that has become WebSocket.
pub(crate) struct Client<S> {
    stream: S,
}

impl<S: Read + Write> Client<S> {
    /// Upgrades a connection to WebSocket.
    #[track_caller]
    pub(crate) fn upgrade(mut stream: S) -> Self {
        let request = "GET / HTTP/1.1\r\nHost: tracker\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it is open");
        stream.flush().expect("it is open");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { stream }
    }

    /// Announces a seeder of a torrent, both named by a letter; returns the number of other
    /// seeders.
    #[track_caller]
    pub(crate) fn announce(&mut self, torrent: char, peer: char) -> u64 {
        let message = json!({
            "action": "announce",
            "info_hash": torrent.to_string().repeat(20),
            "peer_id": peer.to_string().repeat(20),
            "left": 0,
        });
        self.say(&message);
        let reply = self.hear();
        assert_eq!(reply["info_hash"], message["info_hash"], "{reply}");
        reply["complete"].as_u64().expect("a number of seeders")
    }

    fn say(&mut self, message: &Value) {
        /// An arbitrary key.
        const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
        let text = message.to_string();
        let length = u8::try_from(text.len()).expect("a short message");
        // A complete text frame, masked, with a length of two bytes if it is above 125.
        let mut frame = match length {
            0..126 => vec![0x81, 0x80 | length],
            126.. => vec![0x81, 0x80 | 126, 0, length],
        };
        frame.extend(MASK);
        let masked = text.bytes().zip(MASK.into_iter().cycle());
        frame.extend(masked.map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&frame).expect("it is open");
        self.stream.flush().expect("it is open");
    }

    #[track_caller]
    fn hear(&mut self) -> Value {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("an answer");
        assert_eq!(head[0], 0x81, "a whole text");
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut longer = [0; 2];
            self.stream.read_exact(&mut longer).expect("an answer");
            length = u16::from_be_bytes(longer).into();
        }
        let mut text = vec![0; length];
        self.stream.read_exact(&mut text).expect("an answer");
        serde_json::from_slice(&text).expect("a message")
    }
}
