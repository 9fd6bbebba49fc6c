//! A connection that blocks, with TLS or without, for tests that write and read
//! bytes themselves.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::PATIENCE;
use crate::certificates::AUTHORITY;

/// A connection, and the bytes that have arrived over it.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Bytes that have arrived and were not taken yet.
    pub received: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    /// Connects, with TLS if asked to.
    ///
    /// # Panics
    /// When the connection is not accepted.
    #[must_use]
    #[track_caller]
    pub fn new(address: SocketAddr, is_tls: bool) -> Self {
        let tcp = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        tcp.set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero is accepted");
        tcp.set_nodelay(true).expect("an option of every socket");
        let stream = if is_tls {
            // The certificate has no addresses of test networks, so their hosts get its
            // name.
            let name = if address.ip().is_loopback() {
                address.ip().into()
            } else {
                ServerName::try_from("localhost").expect("a name")
            };
            let connection = ClientConnection::new(Arc::new(tls_config()), name);
            let connection = connection.expect("a configuration that fits");
            Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))
        } else {
            Stream::Plain(tcp)
        };
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// The socket.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the other side accepts no more.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Panics
    /// When the other side accepts no more.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref())
            .expect("somebody who takes it");
    }

    /// Waits for more bytes and returns their number; 0 at the end of the connection.
    ///
    /// # Errors
    /// When nothing arrives in time, or the connection was reset.
    pub fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 1 << 14];
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
        }?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Removes the first `length` bytes that have arrived, and returns them.
    ///
    /// # Panics
    /// When fewer have arrived.
    #[must_use]
    #[track_caller]
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.received.split_off(length);
        mem::replace(&mut self.received, rest)
    }

    /// Reads to the end of the connection, and expects no more bytes.
    ///
    /// # Panics
    /// When there are more bytes, or the connection stays open.
    #[track_caller]
    pub fn expect_end(&mut self) {
        loop {
            match self.read_more() {
                Ok(0) => break,
                Ok(_) => {}
                // The connection is reset if the other side has left bytes unread.
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

/// A configuration that trusts only the authority of the tests.
fn tls_config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes());
    let authority = authority.expect("a certificate");
    roots.add(authority).expect("that of an authority");
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that the provider has")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
