//! Port numbers that no other test uses at the same time.
//!
//! Asking the kernel for any free port and passing its number to a daemon is a race:
//! another test may get the same number in between, and with SO_REUSEPORT the two daemons
//! would then silently share it. So the numbers are below the ephemeral range, and each one
//! is reserved by an abstract Unix socket, which the kernel frees however the test process
//! ends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below this number are well-known services; above the range are ephemeral ports.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// A port number, free for TCP and UDP on both loopback addresses, kept from
/// other tests for as long as this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: UnixDatagram,
}

impl Port {
    /// Reserves a port.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    #[track_caller]
    pub fn reserve() -> Self {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        // Test processes that run at the same time start with different numbers, so that
        // they rarely try the same one.
        let start = process::id().wrapping_mul(101);
        for _ in 0..COUNT {
            let step = TAKEN.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + start.wrapping_add(step) % COUNT;
            let number = u16::try_from(number).expect("the range ends below 65536");
            if let Some(reservation) = reservation(number)
                && is_free(number)
            {
                return Self {
                    number,
                    _reservation: reservation,
                };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// The number itself.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 with this port.
    #[must_use]
    pub fn ipv4(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// `[::1]` with this port.
    #[must_use]
    pub fn ipv6(&self) -> SocketAddr {
        (Ipv6Addr::LOCALHOST, self.number).into()
    }
}

fn reservation(number: u16) -> Option<UnixDatagram> {
    let name = format!("aquatic-test-port-{number}");
    let address = UnixAddress::from_abstract_name(name).ok()?;
    UnixDatagram::bind_addr(&address).ok()
}

/// Whether no other service uses the port. Binding without any reuse option fails if one
/// does.
fn is_free(number: u16) -> bool {
    let everywhere = [
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, number)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, number)),
    ];
    everywhere
        .iter()
        .all(|address| UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn reserved_ports_differ_and_can_be_bound() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve()).collect();
        let numbers: HashSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        UdpSocket::bind(ports[0].ipv4()).unwrap();
        TcpListener::bind(ports[0].ipv6()).unwrap();
        assert!(reservation(ports[0].number()).is_none());
    }
}
