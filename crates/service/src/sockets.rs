//! Sockets, inherited from the service manager or bound here.
//!
//! Each worker has one socket per address; the kernel distributes flows among the sockets
//! of an address (SO_REUSEPORT). To detect that another daemon uses the address, the first
//! socket of each address is bound without SO_REUSEPORT, which fails if the address is in
//! use, and gets the option afterwards.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use socket2::{Domain, SockRef, Socket, Type};

use crate::config::Diagnostic;
use crate::sys;

mod families;
mod inherited;
mod listening;
mod metrics;
mod tcp;
mod unit;

pub use families::has_ipv6;
pub(crate) use families::{left_out, servable};
pub use inherited::{Inherited, InheritedSocket};
pub use listening::{Listening, Transport};
pub use metrics::METRICS_NAME;
pub(crate) use metrics::{metrics, metrics_unit};
pub use tcp::{BoundTcp, TcpRequest, tcp};
pub(crate) use unit::{NoSockets, SOCKET_UNIT};
use unit::{SocketUnit, differences, may_bind, mend};

/// The key of the addresses.
pub(crate) const ADDRESS: &str = "network.address";

/// Pause before trying to bind an address that is in use again.
const BIND_WAIT: Duration = Duration::from_millis(20);

/// Maximum number of these pauses: half a second in total.
const MAX_BIND_WAITS: u32 = 25;

/// A request for UDP sockets.
#[derive(Debug, Clone, Copy)]
pub struct UdpRequest<'a> {
    /// Addresses to listen on; sockets of IPv6 addresses do not accept IPv4.
    pub addresses: &'a [SocketAddr],
    /// Sockets per address, one per worker. `None` for the number of CPU cores, or of
    /// sockets inherited from the service manager.
    pub workers: Option<NonZeroUsize>,
    /// Size of the receive buffer of each socket in bytes, for datagrams and the kernel's
    /// metadata (SO_RCVBUF); `None` for the system's default.
    pub receive_buffer_bytes: Option<NonZeroUsize>,
}

/// A request for sockets.
#[derive(Debug, Clone, Copy)]
pub enum Request<'a> {
    /// For [`udp`].
    Udp(UdpRequest<'a>),
    /// For [`tcp()`].
    Tcp(TcpRequest<'a>),
}

/// A bound, non-blocking socket.
#[derive(Debug)]
pub struct Bound<S> {
    /// The address, with the actual port if port 0 was requested.
    pub address: SocketAddr,
    /// The socket.
    pub socket: S,
}

/// A bound, non-blocking UDP socket.
pub type BoundUdp = Bound<UdpSocket>;

/// Takes the UDP sockets inherited from the service manager, or binds new ones.
///
/// Returns one list per worker, none of them empty: `request.workers` lists if that is set,
/// but not more than there are inherited sockets (which is logged as a warning): all
/// sockets of an address must have one owner, so none can be added here. If there are more
/// inherited sockets than workers, workers get several.
///
/// # Errors
///
/// If an address cannot be bound; the message contains the address and the likely remedy.
pub fn udp(
    request: UdpRequest<'_>,
    inherited: &mut Inherited,
) -> anyhow::Result<Vec<Vec<BoundUdp>>> {
    let adopted = inherited.take_udp()?;
    let mut granted = GrantedBuffer::default();
    let unit = adopted.first().map(|one| SocketUnit::of(&one.name));
    let sockets = if adopted.is_empty() {
        may_bind()?;
        bind_each(
            request.addresses,
            worker_count(request.workers)?,
            "UDP",
            |address, is_first| {
                let (socket, buffer) = bind_udp(address, is_first, request.receive_buffer_bytes)?;
                granted.note(buffer);
                Ok(socket)
            },
        )?
    } else {
        for one in &adopted {
            let socket = SockRef::from(&one.socket);
            granted.note(raise_receive_buffer(&socket, request.receive_buffer_bytes)?);
        }
        share_out(
            request.addresses,
            request.workers,
            "ListenDatagram=",
            adopted,
        )?
    };
    granted.warn(request.receive_buffer_bytes, unit.as_ref());
    Ok(sockets)
}

/// Counts the datagrams that the kernel dropped because a receive buffer was full.
///
/// It has duplicates of the sockets, so the counts can be read while workers own the
/// sockets, and without `/proc`.
#[derive(Debug, Default)]
pub struct KernelDrops {
    watched: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    socket: OwnedFd,
    /// The kernel's counter when it was last read; it wraps around.
    last: u32,
    total: u64,
}

impl KernelDrops {
    /// Starts counting drops of these sockets.
    ///
    /// # Errors
    ///
    /// If the limit of open files is reached.
    pub fn watch<'a>(sockets: impl IntoIterator<Item = &'a UdpSocket>) -> io::Result<Self> {
        let watched = sockets
            .into_iter()
            .map(|socket| {
                let socket = socket.as_fd().try_clone_to_owned()?;
                // An inherited socket may have dropped some before this process started.
                let last = sys::dropped_datagrams(&socket)
                    .inspect_err(|error| {
                        log::warn!("this kernel does not report dropped datagrams: {error}");
                    })
                    .unwrap_or(0);
                Ok(Watched {
                    socket,
                    last,
                    total: 0,
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            watched: Mutex::new(watched),
        })
    }

    /// Number of datagrams that were dropped so far on all sockets.
    ///
    /// The kernel's counters have 32 bits, so this must be called before 2^32 more
    /// datagrams are dropped on a socket.
    pub fn total(&self) -> u64 {
        // The counts are still valid after a panic of another thread.
        let mut watched = self
            .watched
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for one in watched.iter_mut() {
            if let Ok(now) = sys::dropped_datagrams(&one.socket) {
                one.total += u64::from(now.wrapping_sub(one.last));
                one.last = now;
            }
        }
        watched.iter().map(|one| one.total).sum()
    }
}

/// Number of workers if no sockets were inherited.
///
/// # Errors
///
/// If the number of CPU cores cannot be determined.
pub(crate) fn worker_count(workers: Option<NonZeroUsize>) -> anyhow::Result<NonZeroUsize> {
    workers
        .map_or_else(thread::available_parallelism, Ok)
        .context("cannot determine the number of CPU cores; set socket_workers")
}

/// Binds a socket; retries for a while if the address is in use. After a process whose
/// workers used io_uring has ended, the kernel takes some time to close its sockets, so an
/// immediate restart would fail (measured: 12 to 27 ms).
fn bind_patiently<S>(mut bind: impl FnMut() -> io::Result<S>) -> io::Result<S> {
    for _ in 0..MAX_BIND_WAITS {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                thread::sleep(BIND_WAIT);
            }
            outcome => return outcome,
        }
    }
    bind()
}

/// Binds a socket for each address and worker. `bind` gets the address and whether it is
/// the first socket of it. Addresses of a family that the system does not support are
/// skipped with a warning, unless no addresses are left.
fn bind_each<S: AsFd>(
    addresses: &[SocketAddr],
    workers: NonZeroUsize,
    what: &str,
    mut bind: impl FnMut(SocketAddr, bool) -> io::Result<S>,
) -> anyhow::Result<Vec<Vec<Bound<S>>>> {
    let mut sockets: Vec<Vec<Bound<S>>> = Vec::new();
    sockets.resize_with(workers.get(), Vec::new);
    let mut left_out = Vec::new();
    for address in addresses {
        refuse_broadcast(*address)?;
    }

    'addresses: for &configured in addresses {
        // With port 0, binding the first socket determines the port.
        let mut address = configured;
        for (index, worker) in sockets.iter_mut().enumerate() {
            let bound = bind_patiently(|| bind(address, index == 0)).and_then(|socket| {
                let bound = SockRef::from(&socket).local_addr()?.as_socket();
                Ok((socket, bound))
            });
            match bound {
                Ok((socket, bound)) => {
                    address = bound.unwrap_or(address);
                    worker.push(Bound { address, socket });
                }
                Err(error) if families::is_missing(&error, address) => {
                    left_out.push((configured, error));
                    continue 'addresses;
                }
                Err(error) => {
                    let error = bind_error(error, what, address);
                    return Err(match covering(address, addresses) {
                        Some(other) => {
                            error.context(format!("{address} is also covered by {other}"))
                        }
                        None => error,
                    });
                }
            }
        }
    }
    let missing: Vec<SocketAddr> = left_out.iter().map(|(address, _)| *address).collect();
    match left_out.into_iter().next() {
        Some((address, error)) if missing.len() == addresses.len() => {
            Err(bind_error(error, what, address))
        }
        Some(_) => {
            let is_served = |address: &&SocketAddr| !missing.contains(address);
            let served: Vec<_> = addresses.iter().filter(is_served).copied().collect();
            log::warn!("{}", families::left_out(&served, addresses));
            Ok(sockets)
        }
        None => Ok(sockets),
    }
}

fn bind_udp(
    address: SocketAddr,
    is_first: bool,
    receive_buffer: Option<NonZeroUsize>,
) -> io::Result<(UdpSocket, usize)> {
    let socket = new_socket(address, Type::DGRAM)?;
    // Before binding, so that no datagram arrives while the buffer is small.
    let granted = set_receive_buffer(&socket, receive_buffer)?;
    bind_shared(&socket, address, is_first)?;
    Ok((socket.into(), granted))
}

/// Creates a socket; IPv6 sockets do not accept IPv4.
fn new_socket(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Binds a socket that shares its address with others of this process, but not with those
/// of another process: the first one is bound without SO_REUSEPORT.
fn bind_shared(socket: &Socket, address: SocketAddr, is_first: bool) -> io::Result<()> {
    if !is_first {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    if is_first {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)
}

/// Distributes the inherited sockets among workers. `directive` is the directive for such a
/// socket in a socket unit.
///
/// If the number of workers is not configured, there are as many as sockets per address:
/// these were also made for the number of CPU cores, but this service may be allowed to use
/// fewer (`CPUQuota=`, `AllowedCPUs=`).
fn share_out<S: AsFd>(
    wanted: &[SocketAddr],
    workers: Option<NonZeroUsize>,
    directive: &str,
    adopted: Vec<InheritedSocket<S>>,
) -> anyhow::Result<Vec<Vec<Bound<S>>>> {
    let unit = adopted.first().map(|one| SocketUnit::of(&one.name));
    let mut addresses: Vec<(SocketAddr, Vec<Bound<S>>)> = Vec::new();
    for InheritedSocket {
        address, socket, ..
    } in adopted
    {
        if address.is_ipv6() && !SockRef::from(&socket).only_v6()? {
            log::warn!(
                "inherited socket {address} also accepts IPv4; set BindIPv6Only=ipv6-only in the \
                 socket unit, and list IPv4 addresses separately"
            );
        }
        let bound = Bound { address, socket };
        match addresses.iter_mut().find(|(other, _)| *other == address) {
            Some((_, sockets)) => sockets.push(bound),
            None => addresses.push((address, vec![bound])),
        }
    }
    if let Some(unit) = unit {
        for warning in differences(wanted, workers, directive, &addresses, &unit) {
            log::warn!("{warning}");
        }
    }

    let most = addresses.iter().map(|(_, sockets)| sockets.len()).max();
    let workers = workers.map_or(most.unwrap_or(1), NonZeroUsize::get);
    let sockets: Vec<Bound<S>> = addresses
        .into_iter()
        .flat_map(|(_, sockets)| sockets)
        .collect();
    let count = sockets.len().min(workers);
    let mut shares: Vec<Vec<Bound<S>>> = Vec::new();
    shares.resize_with(count, Vec::new);
    for (index, socket) in sockets.into_iter().enumerate() {
        shares[index % count].push(socket);
    }
    Ok(shares)
}

/// Requests a receive buffer of this size and returns the actual size.
fn set_receive_buffer(socket: &Socket, bytes: Option<NonZeroUsize>) -> io::Result<usize> {
    let granted = raise_receive_buffer(socket, bytes)?;
    match bytes {
        Some(bytes) if granted < bytes.get() => {
            socket.set_recv_buffer_size(bytes.get())?;
            receive_buffer(socket)
        }
        _ => Ok(granted),
    }
}

/// Like [`set_receive_buffer`], but never reduces the size: an inherited socket may have a
/// larger buffer than this process is allowed to request.
fn raise_receive_buffer(socket: &Socket, bytes: Option<NonZeroUsize>) -> io::Result<usize> {
    let granted = receive_buffer(socket)?;
    match bytes {
        // The option is an `int`.
        Some(bytes) if granted < bytes.get() && i32::try_from(bytes.get()).is_ok() => {
            // Not limited by net.core.rmem_max, but requires CAP_NET_ADMIN (socket(7));
            // without it, the size does not change.
            let _ = setsockopt(socket, RcvBufForce, &bytes.get());
            receive_buffer(socket)
        }
        _ => Ok(granted),
    }
}

/// The size of the receive buffer without the kernel's metadata: the kernel doubles the
/// requested size (socket(7)).
fn receive_buffer(socket: &Socket) -> io::Result<usize> {
    socket.recv_buffer_size().map(|doubled| doubled / 2)
}

/// The smallest receive buffer of any socket.
#[derive(Default)]
struct GrantedBuffer(Option<usize>);

impl GrantedBuffer {
    fn note(&mut self, bytes: usize) {
        self.0 = Some(self.0.map_or(bytes, |other| other.min(bytes)));
    }

    /// Warns if the buffer is smaller than requested; `unit` is the unit from which the
    /// sockets were inherited, if they were.
    fn warn(&self, wanted: Option<NonZeroUsize>, unit: Option<&SocketUnit>) {
        if let (Some(granted), Some(wanted)) = (self.0, wanted)
            && granted < wanted.get()
        {
            log::warn!("{}", small_buffer(granted, wanted.get(), unit));
        }
    }
}

/// The warning about a receive buffer that is smaller than configured, for sockets that
/// were inherited from `unit`.
fn small_buffer(granted: usize, wanted: usize, unit: Option<&SocketUnit>) -> String {
    let remedy = match unit {
        None => format!("run `sysctl -w net.core.rmem_max={wanted}`"),
        Some(SocketUnit::Written) => format!("set ReceiveBuffer={wanted} in the socket unit"),
        Some(SocketUnit::Generated(unit)) => format!(
            "{}, except in a container, where net.core.rmem_max may limit what systemd can set",
            mend(unit)
        ),
    };
    format!(
        "the kernel grants only {granted} of the configured {wanted} bytes of receive buffer, so \
         bursts of requests may be dropped; {remedy}"
    )
}

/// Refuses the broadcast address of a network of this machine: a socket can be bound to
/// it, but hardly anybody can reach it.
///
/// # Errors
///
/// If it is one.
pub(crate) fn refuse_broadcast(address: SocketAddr) -> Result<(), Diagnostic> {
    if !address.is_ipv4() || address.ip().is_unspecified() {
        return Ok(());
    }
    // Nothing is sent. Without SO_BROADCAST, this fails for the broadcast address of any
    // interface (ip(7)).
    let any = (Ipv4Addr::UNSPECIFIED, 0);
    let connected = UdpSocket::bind(any).and_then(|socket| socket.connect(address));
    if connected.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        let text = format!(
            "{address} is the broadcast address of a network, which clients cannot use; write an \
             address of an interface, or \"0.0.0.0:{}\" for all of them",
            address.port()
        );
        return Err(Diagnostic::error(ADDRESS, text));
    }
    Ok(())
}

/// Returns another address of the list whose socket already receives everything that is
/// sent to this one.
fn covering(address: SocketAddr, list: &[SocketAddr]) -> Option<SocketAddr> {
    list.iter().copied().find(|other| {
        *other != address
            && other.is_ipv4() == address.is_ipv4()
            && other.port() == address.port()
            && (other.ip().is_unspecified() || address.ip().is_unspecified())
    })
}

/// Adds the likely remedy to an error of bind.
fn bind_error(error: io::Error, what: &str, address: SocketAddr) -> anyhow::Error {
    let port = address.port();
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            ": another program uses this address, possibly a second instance of this one; run `ss \
             -lnp 'sport = :{port}'` to find it"
        ),
        io::ErrorKind::PermissionDenied if port < 1024 => format!(
            ": port {port} is below 1024, which needs root, CAP_NET_BIND_SERVICE, \
             or a socket unit of systemd"
        ),
        _ if families::is_missing(&error, address) => format!(
            ": this system does not support {}; use an address of the other family, such as {}",
            families::name(address),
            families::counterpart(address)
        ),
        io::ErrorKind::AddrNotAvailable => ": no network interface has this address".to_owned(),
        _ => String::new(),
    };
    anyhow::Error::new(error).context(format!("cannot bind {what} address {address}{remedy}"))
}

#[cfg(test)]
mod tests;
