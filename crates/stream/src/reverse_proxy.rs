//! Reverse proxies, which send the addresses of their clients in a header.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use aquatic_policy::AddressRanges;

use crate::{AddressHeader, AddressHeaderFault, Peer};

/// Which proxies are trusted to send the addresses of their clients, and in which header.
#[derive(Debug, Clone)]
pub struct ReverseProxy {
    /// The header with the client's address.
    pub header: AddressHeader,
    /// Their addresses.
    pub trusted: AddressRanges,
}

impl ReverseProxy {
    /// The address of the client of a request: that in `value`, the value of the header, if
    /// the connection comes from a trusted proxy, otherwise that of the connection.
    ///
    /// # Errors
    ///
    /// A trusted proxy did not send an address.
    #[inline]
    pub fn client(&self, peer: &Peer, value: Option<&[u8]>) -> Result<IpAddr, AddressHeaderFault> {
        if self.speaks_through(peer) {
            let address = self.header.address(value);
            return address.inspect_err(|fault| warn_of_fault(*fault, peer));
        }
        if value.is_some() {
            warn_of_stranger(peer);
        }
        Ok(peer.address.ip())
    }

    /// Whether a trusted proxy is at the other end of the connection.
    #[inline]
    pub fn speaks_through(&self, peer: &Peer) -> bool {
        self.trusted.contains(peer.transport.ip())
    }
}

/// Logs once that the operator should check a proxy; the metrics count each case.
#[cold]
fn warn_of_fault(fault: AddressHeaderFault, peer: &Peer) {
    static HAS_WARNED: AtomicBool = AtomicBool::new(false);

    if !HAS_WARNED.swap(true, Relaxed) {
        log::warn!(
            "{fault}, in a request from {}; check the configuration of the proxy, and \
             network.reverse_proxy_ip_header_name (logged once)",
            peer.transport.ip()
        );
    }
}

/// Logs once that a proxy may be missing in the configuration.
#[cold]
fn warn_of_stranger(peer: &Peer) {
    static HAS_WARNED: AtomicBool = AtomicBool::new(false);

    if !HAS_WARNED.swap(true, Relaxed) {
        log::warn!(
            "ignoring the client addresses sent by {address}, which is not one of \
             network.trusted_proxies (logged once)",
            address = peer.transport.ip()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxy = ReverseProxy {
            header: AddressHeader::new("X-Forwarded-For"),
            trusted: ["10.0.0.0/8".parse().unwrap()].into_iter().collect(),
        };
        let peer = |transport: &str| {
            let transport = transport.parse().unwrap();
            Peer {
                address: transport,
                transport,
                is_tls: false,
            }
        };
        let client: IpAddr = [192, 0, 2, 1].into();
        let named = Some(&b"198.51.100.7, 192.0.2.1"[..]);
        assert_eq!(proxy.client(&peer("10.1.2.3:1"), named), Ok(client));
        let fault = proxy.client(&peer("10.1.2.3:1"), None);
        assert_eq!(fault, Err(AddressHeaderFault::Missing));
        let fault = proxy.client(&peer("10.1.2.3:1"), Some(b"client"));
        assert_eq!(fault, Err(AddressHeaderFault::NoAddress));
        let stranger: IpAddr = [11, 0, 0, 1].into();
        assert_eq!(proxy.client(&peer("11.0.0.1:1"), named), Ok(stranger));
        assert_eq!(proxy.client(&peer("11.0.0.1:1"), None), Ok(stranger));
    }
}
