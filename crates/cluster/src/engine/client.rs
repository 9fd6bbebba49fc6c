//! A connection to a server that speaks the protocol of Redis (RESP2).
//!
//! Of the `redis` crate, only the encoding of commands and the parser are used. Its own
//! connections have a timeout for each read, but none for a whole reply, they skip any
//! number of pushed messages, and they keep replies of any size in memory. A server that
//! sends one byte per second would block them for ever.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, Parser, Value, cmd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, SockAddr, Socket, Type};

use super::EngineSettings;
use super::error::EngineError;
use super::url::Server;

/// Maximum time without receiving or being able to send a byte.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time for all that is sent and received after
/// [`renew_deadline`](Client::renew_deadline) was called.
const DEADLINE: Duration = Duration::from_secs(2);

/// Maximum length of a reply in bytes. Replies of a page of batches have 2 MiB.
const MAX_REPLY_BYTES: usize = 4 << 20;

/// Maximum number of addresses of a host that are tried.
const MAX_ADDRESSES: usize = 4;

/// Sends commands and receives their replies, each within a deadline.
pub(super) struct Client {
    stream: Stream,
    parser: Parser,
    /// How many more bytes the current reply may have.
    left: usize,
}

/// Where to connect to.
pub(super) enum Address<'a> {
    Tcp(&'a Server),
    Unix(&'a Path),
}

enum Stream {
    Plain(TimedSocket),
    Tls(Box<StreamOwned<ClientConnection, TimedSocket>>),
}

/// A socket whose operations fail after the deadline.
struct TimedSocket {
    socket: Socket,
    deadline: Instant,
}

impl Client {
    /// Connects, logs in if `with_password`, and checks that the server answers. Takes two
    /// seconds at most for an address, in addition to the lookup of the host name.
    pub(super) fn connect(
        settings: &EngineSettings,
        address: &Address<'_>,
        with_password: bool,
    ) -> Result<Self, EngineError> {
        let socket = match address {
            Address::Tcp(server) => connect_tcp(server)?,
            Address::Unix(path) => connect_unix(path)?,
        };
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let socket = TimedSocket {
            socket,
            deadline: Instant::now() + DEADLINE,
        };
        let stream = match address {
            Address::Tcp(server) if settings.url.is_encrypted => {
                let session = start_tls(settings, &server.host)?;
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
            _ => Stream::Plain(socket),
        };
        let mut client = Self {
            stream,
            parser: Parser::new(),
            left: MAX_REPLY_BYTES,
        };
        let greeted = client.greet(settings, with_password);
        greeted.map_err(|error| explain(settings.url.is_encrypted, error))?;
        Ok(client)
    }

    fn greet(&mut self, settings: &EngineSettings, with_password: bool) -> Result<(), EngineError> {
        if let Some(password) = settings.password.as_ref().filter(|_| with_password) {
            let mut auth = cmd("AUTH");
            if let Some(username) = &settings.username {
                auth.arg(username);
            }
            self.query(auth.arg(password))
                .map_err(EngineError::at_login)?;
        }
        let database = settings.url.database;
        if with_password && database != 0 {
            self.query(cmd("SELECT").arg(database)).map_err(|error| {
                EngineError::Refused(format!("the engine refuses database {database}: {error}"))
            })?;
        }
        match self.exchange(&cmd("PING").get_packed_command()) {
            // Whoever sends the first command that matters gets the same error.
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Allows what is sent and received from now on to take two seconds in total.
    pub(super) fn renew_deadline(&mut self) {
        self.set_deadline(Instant::now() + DEADLINE);
    }

    /// Lets what is sent and received from now on end at this time.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.stream.socket_mut().deadline = deadline;
    }

    /// Sends a command and waits for its reply.
    pub(super) fn query(&mut self, command: &Cmd) -> Result<Value, EngineError> {
        match self.exchange(&command.get_packed_command())? {
            Value::ServerError(error) => Err((&error).into()),
            value => Ok(value),
        }
    }

    /// Sends encoded commands, and waits for so many replies, which may be errors.
    pub(super) fn query_all(
        &mut self,
        commands: &[u8],
        count: usize,
    ) -> Result<Vec<Value>, EngineError> {
        self.send(commands)?;
        (0..count).map(|_| self.receive_reply()).collect()
    }

    /// Sends an encoded command, and waits for its reply, which may be an error.
    pub(super) fn exchange(&mut self, command: &[u8]) -> Result<Value, EngineError> {
        self.send(command)?;
        self.receive_reply()
    }

    /// Sends encoded commands.
    pub(super) fn send(&mut self, commands: &[u8]) -> Result<(), EngineError> {
        self.stream.write_all(commands)?;
        Ok(self.stream.flush()?)
    }

    /// Waits for a value, for `time` at most; `None` if it is not there or not complete by
    /// then.
    pub(super) fn receive(&mut self, time: Duration) -> Result<Option<Value>, EngineError> {
        self.stream
            .socket_mut()
            .socket
            .set_read_timeout(Some(time))?;
        let received = self.try_receive();
        let socket = &self.stream.socket_mut().socket;
        socket.set_read_timeout(Some(TIMEOUT))?;
        match received {
            Ok(value) => Ok(Some(value)),
            Err(Some(error)) if is_timeout(&error) => Ok(None),
            Err(error) => Err(receive_error(error)),
        }
    }

    fn receive_reply(&mut self) -> Result<Value, EngineError> {
        self.try_receive().map_err(receive_error)
    }

    /// Waits for a value. After an error of the connection that leaves it incomplete, the
    /// next call goes on with it. There is no error of the connection if what was received is
    /// no value.
    fn try_receive(&mut self) -> Result<Value, Option<io::Error>> {
        let mut limited = Limited {
            stream: &mut self.stream,
            left: &mut self.left,
            error: None,
        };
        let parsed = self.parser.parse_value(&mut limited);
        match (parsed, limited.error) {
            (Ok(value), _) => {
                self.left = MAX_REPLY_BYTES;
                Ok(value)
            }
            (Err(_), error) => Err(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}

fn receive_error(error: Option<io::Error>) -> EngineError {
    match error {
        Some(error) => error.into(),
        None => EngineError::Away("the answer is not in the protocol of Redis".into()),
    }
}

/// Connects to the first of the addresses that accepts.
fn connect_tcp(server: &Server) -> Result<Socket, EngineError> {
    let addresses = (&*server.host, server.port).to_socket_addrs()?;
    let mut last_error = EngineError::Away("the host name has no address".into());
    for address in addresses.take(MAX_ADDRESSES) {
        let domain = Domain::for_address(address);
        match connect_to(domain, &SocketAddr::into(address)) {
            Ok(socket) => {
                // Without it, commands could wait for the acknowledgement of earlier ones.
                socket.set_tcp_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last_error = error.into(),
        }
    }
    Err(last_error)
}

fn connect_unix(path: &Path) -> Result<Socket, EngineError> {
    let socket = connect_to(Domain::UNIX, &SockAddr::unix(path)?);
    socket.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => EngineError::Away(
            "permission denied: this user has to be in the group of the socket, and the group \
             has to be permitted to use it (unixsocketperm 770)"
                .into(),
        ),
        _ => error.into(),
    })
}

fn connect_to(domain: Domain, address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.connect_timeout(address, TIMEOUT)?;
    Ok(socket)
}

/// A session whose handshake begins with the first exchange.
fn start_tls(settings: &EngineSettings, host: &str) -> Result<ClientConnection, EngineError> {
    let refuse = |error: rustls::Error| EngineError::Refused(format!("TLS: {error}"));
    let roots = match &settings.tls_ca {
        Some(pem) => configured_roots(pem)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refuse)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| {
        EngineError::Refused(format!("no certificate can be for {host}: {error}"))
    })?;
    ClientConnection::new(Arc::new(config), name).map_err(refuse)
}

pub(super) fn configured_roots(pem: &[u8]) -> Result<RootCertStore, EngineError> {
    let refuse = |reason: String| {
        EngineError::Refused(format!(
            "expected certificates in PEM format, with a section CERTIFICATE: {reason}"
        ))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| refuse(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(refuse("there is none".into())),
        false => Ok(roots),
    }
}

fn system_roots() -> Result<RootCertStore, EngineError> {
    let mut roots = RootCertStore::empty();
    // Those that cannot be read or used are skipped, as in other programs.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(EngineError::Refused(
            "this system trusts no certificate authorities: set cluster.tls_ca_path".into(),
        )),
        false => Ok(roots),
    }
}

/// Says what it may mean that the first exchange fails.
fn explain(is_encrypted: bool, error: EngineError) -> EngineError {
    let EngineError::Away(text) = &error else {
        return error;
    };
    let is_closed = text.contains("reset by peer") || text.contains("closed the connection");
    // A server without TLS waits for the rest of a command, or sends an error as text.
    let is_plain = text.contains("no answer") || text.contains("corrupt message");
    match is_encrypted {
        true if is_plain || is_closed => EngineError::Away(format!(
            "{text}; if it speaks no TLS, the URL has to begin with redis instead of rediss"
        )),
        false if is_closed => EngineError::Away(format!(
            "{text}; if it speaks TLS, the URL has to begin with rediss instead of redis"
        )),
        _ => error,
    }
}

impl Stream {
    fn socket_mut(&mut self) -> &mut TimedSocket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl TimedSocket {
    /// Below TLS, because a session can need any number of reads for one byte of data.
    fn check_deadline(&self) -> io::Result<()> {
        match Instant::now() < self.deadline {
            true => Ok(()),
            false => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Read for TimedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check_deadline()?;
        self.socket.read(buffer)
    }
}

impl Write for TimedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_deadline()?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the parser reads a reply from. It keeps the error, of which the parser's error says
/// too little.
struct Limited<'a> {
    stream: &'a mut Stream,
    left: &'a mut usize,
    error: Option<io::Error>,
}

impl Limited<'_> {
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(*self.left);
        if length == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        loop {
            match self.stream.read(&mut buffer[..length]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    *self.left -= count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(|error| {
            let kind = error.kind();
            self.error = Some(error);
            kind.into()
        })
    }
}
