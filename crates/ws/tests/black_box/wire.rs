//! A client that sends bytes and reads frames, made by hand.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use aquatic_test_harness::connection::Connection;
use serde_json::{Value, json};

/// Opcodes of RFC 6455, 5.2.
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A connection.
pub(crate) struct Client {
    connection: Connection,
    /// Relayed messages that [`Client::reply`] has kept for later.
    relayed: Vec<Value>,
    peer_id: Value,
}

/// A frame of the tracker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// The bytes of a client's frame that is a whole message.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame_of(0x80 | opcode, payload)
}

/// The bytes of a client's frame with this first byte.
pub(crate) fn frame_of(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

impl Client {
    /// Connects, with TLS if asked to.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, is_tls: bool) -> Self {
        Self {
            connection: Connection::new(address, is_tls),
            relayed: Vec::new(),
            peer_id: Value::Null,
        }
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.try_send(bytes)
    }

    /// Shuts down the sending side of a connection without TLS.
    #[track_caller]
    pub(crate) fn shutdown(&mut self) {
        self.connection.tcp().shutdown(Shutdown::Write).unwrap();
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.send(bytes);
    }

    /// Sends an upgrade request with these further header lines; returns the head of the
    /// reply.
    #[track_caller]
    pub(crate) fn ask_to_upgrade(&mut self, headers: &str) -> String {
        self.ask_to_upgrade_at("/", headers)
    }

    /// Like [`ask_to_upgrade`](Self::ask_to_upgrade), at this path.
    #[track_caller]
    pub(crate) fn ask_to_upgrade_at(&mut self, path: &str, headers: &str) -> String {
        self.send(format!(
            "GET {path} HTTP/1.1\r\n\
             Host: tracker.test\r\n\
             Connection: keep-alive, Upgrade\r\n\
             Upgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\
             {headers}\r\n"
        ));
        self.head()
    }

    /// Reads the head of an HTTP reply.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        loop {
            let received = &self.connection.received;
            if let Some(end) = received.windows(4).position(|it| it == b"\r\n\r\n") {
                return String::from_utf8(self.connection.take(end + 4)).unwrap();
            }
            let count = self.connection.read_more().expect("an answer");
            assert!(count > 0, "closed");
        }
    }

    /// Upgrades the connection to WebSocket.
    #[track_caller]
    pub(crate) fn upgrade(&mut self) {
        let head = self.ask_to_upgrade("");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The nonce and the reply are those of RFC 6455, 1.3.
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(!head.to_ascii_lowercase().contains("extensions"));
    }

    /// The next frame, or an error at the end of the connection.
    pub(crate) fn try_frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Ok(frame);
            }
            if self.connection.read_more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        self.try_frame().expect("a frame")
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let received = self.connection.received.as_slice();
        let (start, length) = match *received {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, 127, a, b, c, d, e, f, g, h, ..] => {
                (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize)
            }
            [_, length @ 0..126, ..] => (2, usize::from(length)),
            _ => return None,
        };
        if received.len() < start + length {
            return None;
        }
        assert_eq!(received[0] & 0xf0, 0x80, "no fragments, no extensions");
        let bytes = self.connection.take(start + length);
        Some(Frame {
            opcode: bytes[0] & 0xf,
            payload: bytes[start..].to_vec(),
        })
    }

    #[track_caller]
    pub(crate) fn say(&mut self, message: &Value) {
        self.send(frame(TEXT, message.to_string().as_bytes()));
    }

    /// The next message, whatever it is.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Value {
        let frame = self.frame();
        assert_eq!(frame.opcode, TEXT, "{frame:?}");
        serde_json::from_slice(&frame.payload).unwrap()
    }

    /// The next reply to a message of this client; offers and answers of other clients
    /// are kept for later.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Value {
        loop {
            let message = self.message();
            if message.get("offer_id").is_none() {
                return message;
            }
            self.relayed.push(message);
        }
    }

    /// The next offer or answer of another client.
    #[track_caller]
    pub(crate) fn relayed(&mut self) -> Value {
        if !self.relayed.is_empty() {
            return self.relayed.remove(0);
        }
        let message = self.message();
        assert!(message.get("offer_id").is_some(), "{message}");
        message
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, message: &Value) -> Value {
        self.say(message);
        self.reply()
    }

    /// Announces; the info hash and the peer id are the letters `torrent` and `peer`,
    /// repeated.
    #[track_caller]
    pub(crate) fn announce(&mut self, torrent: char, peer: char, more: Value) -> Value {
        let message = announce(torrent, peer, more);
        self.peer_id = message["peer_id"].clone();
        let reply = self.ask(&message);
        assert!(reply.get("failure reason").is_none(), "{reply}");
        reply
    }

    /// Reads all that was relayed so far.
    #[track_caller]
    pub(crate) fn read_relayed(&mut self) {
        self.send(frame(PING, b""));
        loop {
            let frame = self.frame();
            if frame.opcode == PONG {
                return;
            }
            let message: Value = serde_json::from_slice(&frame.payload).unwrap();
            assert!(message.get("offer_id").is_some(), "{message}");
            self.relayed.push(message);
        }
    }

    /// The relayed messages that were not taken yet.
    pub(crate) fn take_relayed(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.relayed)
    }

    /// The peer id of the client's last announce.
    pub(crate) fn peer_id(&self) -> Value {
        self.peer_id.clone()
    }

    /// Checks that the other side is alive and has sent nothing else.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        self.send(frame(PING, b"silence"));
        let expected = Frame {
            opcode: PONG,
            payload: b"silence".to_vec(),
        };
        assert_eq!(self.frame(), expected);
    }

    /// Reads the last frame, which has to be a close frame with this code, and the end.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, code: u16) {
        let frame = loop {
            let frame = self.frame();
            if frame.opcode != TEXT {
                break frame;
            }
        };
        assert_eq!(frame.opcode, CLOSE, "{frame:?}");
        assert_eq!(frame.payload[..2], code.to_be_bytes(), "{frame:?}");
        assert!(std::str::from_utf8(&frame.payload[2..]).is_ok());
        self.expect_end();
    }

    /// Reads to the end of the connection, and expects no more bytes.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        self.connection.expect_end();
    }

    /// All bytes until the end of the connection.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        while matches!(self.connection.read_more(), Ok(1..)) {}
        String::from_utf8(std::mem::take(&mut self.connection.received)).unwrap()
    }

    /// Sends while the other side accepts data, for a limited time.
    pub(crate) fn send_for(&mut self, time: Duration, bytes: &[u8]) -> io::Result<()> {
        self.connection.tcp().set_write_timeout(Some(time))?;
        self.try_send(bytes)
    }
}

/// An announce; the info hash and the peer id are the letters `torrent` and `peer`,
/// repeated.
pub(crate) fn announce(torrent: char, peer: char, more: Value) -> Value {
    let mut message = json!({
        "action": "announce",
        "info_hash": name(torrent),
        "peer_id": name(peer),
        "left": 1,
    });
    for (key, value) in more.as_object().unwrap() {
        message[key] = value.clone();
    }
    message
}

/// The letter, repeated twenty times.
pub(crate) fn name(letter: char) -> String {
    letter.to_string().repeat(20)
}

/// `count` offers, each with a description of `bytes` bytes, for [`Client::announce`].
pub(crate) fn offers(count: usize, bytes: usize) -> Value {
    let offers: Vec<Value> = (0..count)
        .map(|number| {
            json!({
                "offer_id": format!("offer{number:015}"),
                "offer": {"type": "offer", "sdp": "s".repeat(bytes)},
            })
        })
        .collect();
    json!({"offers": offers, "numwant": count})
}

/// The message that answers the first of [`offers`] of a peer.
pub(crate) fn answer(torrent: char, from: char, to: char) -> Value {
    let more = json!({
        "to_peer_id": name(to),
        "offer_id": format!("offer{:015}", 0),
        "answer": {"type": "answer", "sdp": "back"},
    });
    announce(torrent, from, more)
}
