//! Peers as they are sent and stored: address and port, both big-endian (BEP 7, 15, 23).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Length of an IPv4 peer.
pub const IPV4_PEER_LENGTH: usize = 6;
/// Length of an IPv6 peer.
pub const IPV6_PEER_LENGTH: usize = 18;

/// An IPv4 peer.
#[inline]
#[must_use]
pub fn ipv4_peer(address: Ipv4Addr, port: u16) -> [u8; IPV4_PEER_LENGTH] {
    let [a, b, c, d] = address.octets();
    let [high, low] = port.to_be_bytes();
    [a, b, c, d, high, low]
}

/// An IPv6 peer.
#[inline]
#[must_use]
pub fn ipv6_peer(address: Ipv6Addr, port: u16) -> [u8; IPV6_PEER_LENGTH] {
    let mut peer = [0; IPV6_PEER_LENGTH];
    let (first, last) = peer.split_at_mut(16);
    first.copy_from_slice(&address.octets());
    last.copy_from_slice(&port.to_be_bytes());
    peer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_follows_the_address() {
        let peer = ipv4_peer([192, 0, 2, 1].into(), 0x1ae1);
        assert_eq!(peer, [192, 0, 2, 1, 0x1a, 0xe1]);
        let peer = ipv6_peer("2001:db8::7".parse().unwrap(), 0x1ae1);
        assert_eq!(peer, *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x1a\xe1");
    }
}
