//! Sockets inherited from the service manager (`LISTEN_FDS`, sd_listen_fds(3)).

use anyhow::bail;

use super::*;

/// Inherited sockets that have not been taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Unclaimed>,
}

/// An inherited socket of a known type.
#[derive(Debug)]
pub struct InheritedSocket<S> {
    /// Its `FileDescriptorName=`; the name of the socket unit by default.
    pub name: String,
    /// Its local address.
    pub address: SocketAddr,
    /// The socket.
    pub socket: S,
}

#[derive(Debug)]
struct Unclaimed {
    number: i32,
    name: String,
    socket: Socket,
}

impl Inherited {
    /// Takes the sockets described by `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`.
    ///
    /// Must be called only once, in the process for which they are meant.
    ///
    /// # Errors
    ///
    /// If the variables are malformed, or describe descriptors that are not open or not
    /// sockets.
    pub fn from_environment() -> anyhow::Result<Self> {
        let descriptors = sd_notify::listen_fds_with_names()
            .context("LISTEN_FDS and LISTEN_FDNAMES do not describe usable file descriptors")?;
        let mut sockets = Vec::new();
        for (number, name) in descriptors {
            let socket = Socket::from(sys::adopt(number));
            if let Err(error) = socket.r#type() {
                bail!(
                    "file descriptor {number} (\"{name}\") of LISTEN_FDS is not a socket: {error}"
                );
            }
            sockets.push(Unclaimed {
                number,
                name,
                socket,
            });
        }
        Ok(Self { sockets })
    }

    /// Whether all inherited sockets were taken, or there were none.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Takes all UDP sockets, and makes them non-blocking.
    ///
    /// # Errors
    ///
    /// If the local address of a socket cannot be determined.
    pub fn take_udp(&mut self) -> anyhow::Result<Vec<InheritedSocket<UdpSocket>>> {
        self.take(|one| is_internet(&one.socket) && is_type(&one.socket, Type::DGRAM))
    }

    /// Takes all listening TCP sockets with this name, and makes them non-blocking.
    ///
    /// # Errors
    ///
    /// See [`Self::take_udp`].
    pub fn take_tcp(&mut self, name: &str) -> anyhow::Result<Vec<InheritedSocket<TcpListener>>> {
        self.take(|one| one.name == name && is_internet(&one.socket) && is_listener(&one.socket))
    }

    /// Takes all remaining listening TCP sockets, and makes them non-blocking.
    ///
    /// # Errors
    ///
    /// See [`Self::take_udp`].
    pub fn take_all_tcp(&mut self) -> anyhow::Result<Vec<InheritedSocket<TcpListener>>> {
        self.take(|one| is_internet(&one.socket) && is_listener(&one.socket))
    }

    /// Takes the only listening TCP socket with this name; it is blocking.
    pub(super) fn take_listener(
        &mut self,
        name: &str,
    ) -> anyhow::Result<Option<InheritedSocket<TcpListener>>> {
        let mut sockets = self.take_tcp(name)?;
        let Some(first) = sockets.pop() else {
            return Ok(None);
        };
        if let Some(second) = sockets.pop() {
            bail!(
                "two sockets named \"{name}\" were inherited ({} and {}), expected one",
                second.address,
                first.address
            );
        }
        first.socket.set_nonblocking(false)?;
        Ok(Some(first))
    }

    /// Checks that all inherited sockets were taken: requests to others would never be
    /// answered.
    ///
    /// # Errors
    ///
    /// If there is one; the message describes the first.
    pub fn finish(self) -> anyhow::Result<()> {
        let Some(one) = self.sockets.first() else {
            return Ok(());
        };
        bail!(
            "inherited file descriptor {} (\"{}\"), {}, is not supported by this daemon; remove it \
             from the socket unit",
            one.number,
            one.name,
            describe(&one.socket)
        )
    }

    fn take<S: From<Socket>>(
        &mut self,
        is_wanted: impl Fn(&Unclaimed) -> bool,
    ) -> anyhow::Result<Vec<InheritedSocket<S>>> {
        let (wanted, rest) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(is_wanted);
        self.sockets = rest;
        let wanted: Vec<Unclaimed> = wanted;
        wanted
            .into_iter()
            .map(|one| {
                let context = || {
                    format!(
                        "inherited file descriptor {} (\"{}\")",
                        one.number, one.name
                    )
                };
                let address = address(&one.socket)
                    .with_context(|| format!("{} has no address", context()))?;
                one.socket.set_nonblocking(true).with_context(context)?;
                Ok(InheritedSocket {
                    address,
                    name: one.name,
                    socket: one.socket.into(),
                })
            })
            .collect()
    }

    /// Creates inherited sockets for tests.
    #[cfg(test)]
    pub(super) fn from_sockets(sockets: Vec<(&str, Socket)>) -> Self {
        let sockets = sockets
            .into_iter()
            .zip(3..)
            .map(|((name, socket), number)| Unclaimed {
                number,
                name: name.to_owned(),
                socket,
            })
            .collect();
        Self { sockets }
    }
}

fn address(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .filter(|address| address.port() != 0)
        .ok_or_else(|| io::Error::other("it is not bound to an IP address and port"))
}

fn is_internet(socket: &Socket) -> bool {
    socket
        .domain()
        .is_ok_and(|domain| domain == Domain::IPV4 || domain == Domain::IPV6)
}

fn is_type(socket: &Socket, wanted: Type) -> bool {
    socket.r#type().is_ok_and(|found| found == wanted)
}

fn is_listener(socket: &Socket) -> bool {
    is_type(socket, Type::STREAM) && socket.is_listener().unwrap_or(false)
}

fn describe(socket: &Socket) -> String {
    let kind = match (is_internet(socket), socket.r#type()) {
        (true, Ok(Type::DGRAM)) => "a UDP socket",
        (true, Ok(Type::STREAM)) if socket.is_listener().unwrap_or(false) => {
            "a listening TCP socket"
        }
        (true, Ok(Type::STREAM)) => "a TCP socket that does not listen",
        (false, Ok(Type::DGRAM)) => "a datagram socket that is not UDP",
        (false, Ok(Type::STREAM)) => "a stream socket that is not TCP",
        _ => "a socket of another kind",
    };
    match address(socket) {
        Ok(address) => format!("{kind} on {address}"),
        Err(_) => kind.to_owned(),
    }
}
