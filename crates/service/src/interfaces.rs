//! The addresses of this machine.

use std::net::IpAddr;

use nix::ifaddrs::{self, InterfaceAddress};
use nix::net::if_::InterfaceFlags;

/// The addresses of all interfaces that are up, in the order of the interfaces; none if they
/// cannot be read.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let address = |interface: InterfaceAddress| {
        let is_up = interface.flags.contains(InterfaceFlags::IFF_UP);
        let address = interface.address.filter(|_| is_up)?;
        let ipv4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        ipv4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    };
    let interfaces = ifaddrs::getifaddrs().into_iter().flatten();
    interfaces.filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_addresses() {
        assert!(addresses().contains(&IpAddr::from([127, 0, 0, 1])));
    }
}
