//! A client that sends bytes and reads answers.

use std::net::SocketAddr;

use aquatic_test_harness::connection::Connection;

/// A connection.
pub(crate) struct Client {
    connection: Connection,
}

/// A reply of the tracker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body, with escapes for bytes that are not ASCII.
    pub(crate) fn text(&self) -> String {
        self.body.escape_ascii().to_string()
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Client {
    /// Connects, with TLS if asked to.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, is_tls: bool) -> Self {
        Self {
            connection: Connection::new(address, is_tls),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.send(bytes);
    }

    /// The next answer. `has_body` is false for the answer to a HEAD request.
    #[track_caller]
    fn read_reply(&mut self, has_body: bool) -> Reply {
        loop {
            if let Some(reply) = self.take_reply(has_body) {
                return reply;
            }
            let count = self.connection.read_more().expect("an answer");
            assert!(
                count > 0,
                "closed within an answer: {}",
                self.connection.received.escape_ascii()
            );
        }
    }

    fn take_reply(&mut self, has_body: bool) -> Option<Reply> {
        let received = &self.connection.received;
        let end = received.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(received[..end - 2].to_vec()).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().unwrap();
        let mut reply = Reply {
            status,
            head,
            body: Vec::new(),
        };
        if reply.header("Transfer-Encoding") == Some("chunked") {
            let (body, length) = match has_body {
                true => dechunked(&received[end..])?,
                false => (Vec::new(), 0),
            };
            reply.body = body;
            drop(self.connection.take(end + length));
            return Some(reply);
        }
        let length: usize = reply.header("Content-Length").unwrap().parse().unwrap();
        let length = if has_body { length } else { 0 };
        if received.len() < end + length {
            return None;
        }
        reply.body = self.connection.take(end + length).split_off(end);
        Some(reply)
    }

    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.read_reply(true)
    }

    /// Requests `target` over HTTP/1.1, with these header lines.
    #[track_caller]
    pub(crate) fn get_with(&mut self, target: &str, headers: &str) -> Reply {
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: tracker.test\r\n{headers}\r\n"
        ));
        self.reply()
    }

    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Reply {
        self.get_with(target, "")
    }

    #[track_caller]
    pub(crate) fn head(&mut self, target: &str) -> Reply {
        self.send(format!(
            "HEAD {target} HTTP/1.1\r\nHost: tracker.test\r\n\r\n"
        ));
        self.read_reply(false)
    }

    /// The body of the reply to an announce. The letter `torrent`, repeated, is the info
    /// hash.
    #[track_caller]
    pub(crate) fn announce(&mut self, torrent: char, port: u16, more: &str) -> String {
        let reply = self.get(&announce(torrent, port, more));
        assert_eq!(reply.status, 200);
        reply.text()
    }

    /// Everything until the end of the connection.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.connection.read_more().expect("more bytes") > 0 {}
        std::mem::take(&mut self.connection.received)
    }

    /// Reads to the end of the connection, and expects no more bytes.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        self.connection.expect_end();
    }
}

/// A body in chunks, and its length with them; `None` if it is not complete.
fn dechunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let digits = bytes[at..].windows(2).position(|it| it == b"\r\n")?;
        let text = str::from_utf8(&bytes[at..at + digits]).unwrap();
        let length = usize::from_str_radix(text, 16).unwrap();
        at += digits + 2;
        let chunk = bytes.get(at..at + length + 2)?;
        assert!(chunk.ends_with(b"\r\n"));
        body.extend_from_slice(&chunk[..length]);
        at += length + 2;
        if length == 0 {
            return Some((body, at));
        }
    }
}

/// The target of an announce.
pub(crate) fn announce(torrent: char, port: u16, more: &str) -> String {
    let hash = torrent.to_string().repeat(20);
    format!("/announce?info_hash={hash}&peer_id=-XX1234-abcdefghijkl&port={port}{more}")
}
