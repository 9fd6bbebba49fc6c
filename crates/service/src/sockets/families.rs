//! Systems that support only one address family.
//!
//! With a kernel without IPv6 (`ipv6.disable=1`), and in a service that may not use a
//! family (`RestrictAddressFamilies=`), sockets of that family fail with EAFNOSUPPORT. If
//! IPv6 is disabled by sysctl (`disable_ipv6`), no interface has an IPv6 address: `[::]`
//! can be bound, and other addresses fail with EADDRNOTAVAIL.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::*;

/// Lists the IPv6 addresses of all interfaces; does not exist in a kernel without IPv6. It
/// is also readable in a network namespace that only has loopback.
const IPV6_ADDRESSES: &str = "/proc/self/net/if_inet6";

/// Whether `error`, of opening or binding a socket, means that the system does not support
/// the address family of `address`.
pub(super) fn is_missing(error: &io::Error, address: SocketAddr) -> bool {
    match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => true,
        Some(libc::EADDRNOTAVAIL) => address.is_ipv6() && !has_ipv6(),
        _ => false,
    }
}

/// Whether the kernel has IPv6, and it is not disabled: an interface has an address. Without
/// `/proc`, it is assumed to be so.
#[must_use]
pub fn has_ipv6() -> bool {
    let is_disabled = fs::read(IPV6_ADDRESSES).is_ok_and(|list| list.is_empty());
    !is_disabled && !has_kernel_no_ipv6()
}

/// Whether the kernel has no IPv6 at all, which can also be determined by a service that
/// may not use it. Without `/proc`, it is assumed to have IPv6.
pub(super) fn has_kernel_no_ipv6() -> bool {
    !Path::new(IPV6_ADDRESSES).exists() && Path::new("/proc/self/net").exists()
}

/// The addresses for which this system can open sockets; the whole list if it can for none.
pub(crate) fn servable(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_servable = |address: &SocketAddr| {
        let opened = Socket::new(Domain::for_address(*address), Type::DGRAM, None);
        !opened.is_err_and(|error| is_missing(&error, *address))
    };
    let servable: Vec<SocketAddr> = addresses.iter().copied().filter(is_servable).collect();
    match servable.is_empty() {
        true => addresses.to_vec(),
        false => servable,
    }
}

/// The warning that only the addresses `served` of a list can be used.
pub(crate) fn left_out(served: &[SocketAddr], list: &[SocketAddr]) -> String {
    let missing: Vec<SocketAddr> = list
        .iter()
        .copied()
        .filter(|address| !served.contains(address))
        .collect();
    format!(
        "network.address: ignoring {}, because this system does not support {}; set address = {} \
         to avoid this warning",
        in_words(&missing),
        missing.first().map_or("IPv6", |address| name(*address)),
        in_toml(served)
    )
}

/// Formats addresses in the syntax of the configuration.
pub(super) fn in_toml(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    format!("[{}]", texts.join(", "))
}

/// Formats addresses for a sentence.
pub(super) fn in_words(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(", ")
}

/// The name of the address family.
pub(super) fn name(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// The wildcard address of the other family, with the same port.
pub(super) fn counterpart(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv6Addr::UNSPECIFIED, address.port()).into(),
        SocketAddr::V6(_) => (Ipv4Addr::UNSPECIFIED, address.port()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_left_out_is_told_with_what_to_write() {
        let list = addresses(&["0.0.0.0:3000", "[::]:3000"]);
        assert_eq!(
            left_out(&list[..1], &list),
            "network.address: ignoring [::]:3000, because this system does not support IPv6; set \
             address = [\"0.0.0.0:3000\"] to avoid this warning"
        );
    }

    #[test]
    fn a_missing_family_is_no_other_error() {
        let error = io::Error::from_raw_os_error;
        let [ipv4, ipv6] = [addresses(&["127.0.0.1:1"])[0], addresses(&["[::1]:1"])[0]];
        assert!(is_missing(&error(libc::EAFNOSUPPORT), ipv6));
        assert!(is_missing(&error(libc::EAFNOSUPPORT), ipv4));
        assert!(!is_missing(&error(libc::EADDRNOTAVAIL), ipv4));
        assert!(!is_missing(&error(libc::EADDRINUSE), ipv6));
        assert_eq!(counterpart(ipv6), addresses(&["0.0.0.0:1"])[0]);
    }

    #[test]
    fn addresses_of_a_system_that_has_both_families_stay() {
        let list = addresses(&["0.0.0.0:3000", "[::]:3000"]);
        if !has_kernel_no_ipv6() {
            assert_eq!(servable(&list), list);
        }
    }
}
