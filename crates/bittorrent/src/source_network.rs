//! Networks of source addresses, for limits per client.

use std::net::{IpAddr, Ipv6Addr};

/// Number of bytes of an IPv6 address that identify a client: clients usually have a /64
/// network (RFC 6177, section 2).
pub const IPV6_NETWORK_LENGTH: usize = 8;

/// The address that represents all addresses of a client: the first one of its /64 network,
/// or its IPv4 address, which may be IPv4-mapped.
#[must_use]
pub fn source_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[IPV6_NETWORK_LENGTH..].fill(0);
            Ipv6Addr::from(octets).into()
        }
        ipv4 => ipv4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_one_ipv4_address_and_a_network_of_ipv6() {
        for (address, network) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(source_network(address).to_string(), network);
        }
    }
}
