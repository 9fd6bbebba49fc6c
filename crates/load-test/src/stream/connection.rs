//! A TCP connection to the tracker, with TLS or without.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use socket2::{Domain, Protocol, Socket, Type};

use super::tls::TlsSettings;

/// Where connections go, and from where.
pub(crate) struct Remote {
    server: SocketAddr,
    source: IpAddr,
    /// With the sessions that can be resumed from here.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Remote {
    pub(crate) fn new(source: IpAddr, server: SocketAddr, tls: Option<&TlsSettings>) -> Self {
        Self {
            server,
            source,
            tls: tls.map(|tls| (tls.of_source(), tls.server_name.clone())),
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Starts to connect; events come with the token.
    pub(crate) fn connect(&self, registry: &Registry, token: Token) -> io::Result<Connection> {
        let domain = Domain::for_address(self.server);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        // Leaves the choice of a port to connect(2), which may take one that
        // is in use for another server or was in use a moment ago.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::new(self.source, 0).into())?;
        match socket.connect(&self.server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {}
            Err(error) => return Err(error),
        }
        let mut stream = TcpStream::from_std(socket.into());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;

        let tls = match &self.tls {
            Some((config, name)) => {
                let mut client = ClientConnection::new(Arc::clone(config), name.clone())
                    .map_err(io::Error::other)?;
                // What a slow server does not read yet waits here.
                client.set_buffer_limit(None);
                Some(Box::new(client))
            }
            None => None,
        };
        Ok(Connection {
            stream,
            tls,
            unsent: Vec::new(),
            received: Vec::new(),
            connected: false,
        })
    }
}

/// A connection that is being opened or open.
pub(crate) struct Connection {
    stream: TcpStream,
    // In a box because it is large, and plain connections have none.
    tls: Option<Box<ClientConnection>>,
    /// What the kernel has not taken yet, already encrypted or to be sent
    /// plainly.
    unsent: Vec<u8>,
    /// The beginning of a reply.
    received: Vec<u8>,
    /// The kernel has taken something, so the connection is there.
    connected: bool,
}

/// What the connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// The server has not accepted it, or the handshake is not over.
    Opening,
    Open,
}

impl Connection {
    /// Goes on with opening, as far as that goes without the server.
    pub(crate) fn advance(&mut self) -> io::Result<Readiness> {
        self.flush()?;
        let handshaking = match &self.tls {
            Some(tls) => tls.is_handshaking(),
            None => false,
        };
        Ok(if handshaking || !self.connected {
            Readiness::Opening
        } else {
            Readiness::Open
        })
    }

    /// Sends a request, or what of it is possible now. On a plain connection
    /// that is still being opened, the request waits for that.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => {
                tls.writer().write_all(request)?;
                self.flush()
            }
            None if self.unsent.is_empty() => {
                let sent = write(&mut self.stream, request)?;
                self.connected |= sent > 0;
                self.unsent.extend_from_slice(&request[sent..]);
                Ok(())
            }
            None => {
                self.unsent.extend_from_slice(request);
                self.flush()
            }
        }
    }

    /// Gives the kernel what it takes of what has to be sent.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => self.connected = true,
                    Err(error) if is_early(&error) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        if !self.unsent.is_empty() {
            let sent = write(&mut self.stream, &self.unsent)?;
            self.connected |= sent > 0;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Reads all that has come and appends the plain text of it, after what
    /// was [kept](Self::keep). Returns false when the server has closed.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], plain: &mut Vec<u8>) -> io::Result<bool> {
        plain.append(&mut self.received);
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if is_early(&error) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match &mut self.tls {
                Some(tls) => decrypt(tls, &buffer[..length], plain)?,
                None => plain.extend_from_slice(&buffer[..length]),
            }
            // The socket is empty after a short read, and whatever comes later
            // is an event of its own (epoll(7)). The bound is for a server
            // that sends without end.
            if length < buffer.len() || plain.len() > MAX_UNREAD_BYTES {
                return Ok(true);
            }
        }
    }

    /// Bytes that were [kept](Self::keep).
    pub(crate) fn kept(&self) -> usize {
        self.received.len()
    }

    /// Keeps the beginning of a reply until more of it comes.
    pub(crate) fn keep(&mut self, part: &[u8]) {
        self.received.extend_from_slice(part);
    }

    /// How the handshake went; none on a plain connection.
    pub(crate) fn handshake(&self) -> Option<HandshakeKind> {
        self.tls.as_ref()?.handshake_kind()
    }

    /// Says farewell as TLS wants it, so that the server need not take it for
    /// an attack. Errors do not matter any more.
    pub(crate) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.flush().ok();
        }
    }
}

/// Far more than the longest reply.
const MAX_UNREAD_BYTES: usize = 8 << 20;

fn decrypt(tls: &mut ClientConnection, mut bytes: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
    while !bytes.is_empty() {
        // Reading from memory; takes nothing once the server has said goodbye.
        if tls.read_tls(&mut bytes)? == 0 {
            break;
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        let mut reader = tls.reader();
        loop {
            let length = match reader.fill_buf() {
                Ok(chunk) => {
                    plain.extend_from_slice(chunk);
                    chunk.len()
                }
                Err(error) if is_early(&error) => break,
                Err(error) => return Err(error),
            };
            if length == 0 {
                break;
            }
            reader.consume(length);
        }
    }
    Ok(())
}

/// As many bytes as the kernel takes, 0 when it is too early for any.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if is_early(&error) => Ok(0),
        result => result,
    }
}

/// Whether something will be possible later.
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}
