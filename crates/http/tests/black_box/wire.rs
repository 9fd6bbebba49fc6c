//! A client that sends bytes and reads answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use aquatic_test_harness::PATIENCE;
use aquatic_test_harness::certificates::AUTHORITY;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A connection.
pub(crate) struct Client {
    stream: Stream,
    received: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// What the tracker answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body with escapes for what is not ASCII.
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
        let tcp = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let stream = if is_tls {
            let name = address.ip().into();
            let connection = ClientConnection::new(Arc::new(tls_config()), name).unwrap();
            Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))
        } else {
            Stream::Plain(tcp)
        };
        Self {
            stream,
            received: Vec::new(),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).unwrap(),
            Stream::Tls(stream) => {
                stream.write_all(bytes).unwrap();
                stream.flush().unwrap();
            }
        }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 4096];
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
        }?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// The next answer. `has_body` is false for the answer to a HEAD request.
    #[track_caller]
    fn read_reply(&mut self, has_body: bool) -> Reply {
        loop {
            if let Some(reply) = self.take_reply(has_body) {
                return reply;
            }
            let count = self.read_more().expect("an answer");
            assert!(
                count > 0,
                "closed within an answer: {}",
                self.received.escape_ascii()
            );
        }
    }

    fn take_reply(&mut self, has_body: bool) -> Option<Reply> {
        let end = self
            .received
            .windows(4)
            .position(|four| four == b"\r\n\r\n")?
            + 4;
        let head = String::from_utf8(self.received[..end - 2].to_vec()).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().unwrap();
        let mut reply = Reply {
            status,
            head,
            body: Vec::new(),
        };
        let length: usize = reply.header("Content-Length").unwrap().parse().unwrap();
        let length = if has_body { length } else { 0 };
        if self.received.len() < end + length {
            return None;
        }
        let rest = self.received.split_off(end + length);
        reply.body = self.received.split_off(end);
        self.received = rest;
        Some(reply)
    }

    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.read_reply(true)
    }

    /// Asks for `target` as a client of HTTP/1.1, with these header lines.
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

    /// The body of the answer to an announce of torrent `torrent`, a letter.
    #[track_caller]
    pub(crate) fn announce(&mut self, torrent: char, port: u16, more: &str) -> String {
        let reply = self.get(&announce(torrent, port, more));
        assert_eq!(reply.status, 200);
        reply.text()
    }

    /// Reads to the end of the connection, where nothing may be left.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        loop {
            match self.read_more() {
                Ok(0) => break,
                Ok(_) => {}
                // What the tracker has not read makes the end abrupt.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    break;
                }
                Err(error) => panic!("the connection stays open: {error}"),
            }
        }
        assert!(
            self.received.is_empty(),
            "more came: {}",
            self.received.escape_ascii()
        );
    }
}

/// The target of an announce.
pub(crate) fn announce(torrent: char, port: u16, more: &str) -> String {
    let hash = torrent.to_string().repeat(20);
    format!("/announce?info_hash={hash}&peer_id=-XX1234-abcdefghijkl&port={port}{more}")
}

/// Trusts the authority of the tests only.
fn tls_config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
