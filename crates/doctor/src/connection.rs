//! Connections of a client, plain or within TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::announces::{Target, Trouble};

/// How long connecting, and each read or write, may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// A connection to a tracker.
pub struct Connection {
    stream: Stream,
}

enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Connection {
    /// Connects, and begins TLS if the URL says so. The certificate must be valid for the
    /// host of the URL, unless the target trusts anyone.
    ///
    /// # Errors
    ///
    /// Why that was not possible.
    pub fn open(target: &Target) -> Result<Self, Trouble> {
        let address = target.address;
        let connect = || {
            let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
            tcp.set_read_timeout(Some(PATIENCE))?;
            tcp.set_write_timeout(Some(PATIENCE))?;
            io::Result::Ok(tcp)
        };
        let tcp = connect().map_err(|error| {
            Trouble::Unreachable(format!("cannot connect to TCP {address}: {error}"))
        })?;
        let stream = if target.url.scheme.is_tls() {
            Self::begin_tls(tcp, target)?
        } else {
            Stream::Plain(tcp)
        };
        Ok(Self { stream })
    }

    #[cfg(feature = "tls")]
    fn begin_tls(tcp: TcpStream, target: &Target) -> Result<Stream, Trouble> {
        let session = crate::certificate::client(&target.url.host, target.trusts_anyone)?;
        let mut stream = rustls::StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            let result = stream.conn.complete_io(&mut stream.sock);
            result.map_err(|error| crate::certificate::explain(&error, &target.url.host))?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    #[cfg(not(feature = "tls"))]
    fn begin_tls(_: TcpStream, _: &Target) -> Result<Stream, Trouble> {
        Err(Trouble::Other("this program does not speak TLS".to_owned()))
    }

    /// Reads until `is_complete` says so of all bytes, or the other side closes.
    ///
    /// # Errors
    ///
    /// If nothing arrives in time, the connection fails, or more than `max_bytes` arrive.
    pub fn read_until(
        &mut self,
        bytes: &mut Vec<u8>,
        max_bytes: usize,
        mut is_complete: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), String> {
        let mut buffer = [0; 4096];
        while !is_complete(bytes) {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) if bytes.len() + length > max_bytes => {
                    return Err("the answer is too long".to_owned());
                }
                Ok(length) => bytes.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Servers that do not end TLS properly.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) if is_timeout(&error) => {
                    let seconds = PATIENCE.as_secs();
                    return Err(format!("no answer within {seconds} seconds"));
                }
                Err(error) => return Err(format!("the connection failed: {error}")),
            }
        }
        Ok(())
    }

    /// Sends all bytes.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut send = || {
            self.write_all(bytes)?;
            self.flush()
        };
        send().map_err(|error| format!("the connection failed: {error}"))
    }
}

/// A socket whose timeout is over fails as one that does not block.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.flush(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
