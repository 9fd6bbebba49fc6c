//! One address per family, and switches for the families, became a list.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Found, Merged, OldKey};

/// `use_ipv4`, `use_ipv6`, `address_ipv4`, `address_ipv6`, `set_only_ipv6` and
/// `only_ipv6` of `[network]` become the list `network.address`.
pub const ADDRESSES: &[OldKey] = &[OldKey::Merged {
    keys: &[
        "network.use_ipv4",
        "network.use_ipv6",
        "network.address_ipv4",
        "network.address_ipv6",
        "network.set_only_ipv6",
        "network.only_ipv6",
    ],
    to: "network.address",
    merge,
}];

const ADDRESS: &str = "network.address";

/// Former defaults of the address keys.
const OLD_ADDRESS_IPV4: &str = "0.0.0.0:3000";
const OLD_ADDRESS_IPV6: &str = "[::]:3000";

fn merge(found: &mut Found<'_, '_>) -> Merged {
    let only_ipv6 = found.boolean("network.only_ipv6");
    let set_only_ipv6 = found.boolean("network.set_only_ipv6");
    let use_ipv4 = found.boolean("network.use_ipv4");
    let use_ipv6 = found.boolean("network.use_ipv6");
    let address_ipv4 = found.text("network.address_ipv4");
    let address_ipv6 = found.text("network.address_ipv6");

    let mut addresses = if found.has(ADDRESS) {
        if only_ipv6.is_none() && set_only_ipv6.is_none() {
            return Merged::Nothing("network.address is also set");
        }
        // One address and `only_ipv6`, as in releases up to 0.9.
        match found.texts(ADDRESS) {
            Some(addresses) => addresses,
            None => return Merged::Nothing("network.address is also set"),
        }
    } else if use_ipv4.is_none()
        && use_ipv6.is_none()
        && address_ipv4.is_none()
        && address_ipv6.is_none()
    {
        return Merged::Nothing("IPv6 sockets are always IPv6-only; see network.address");
    } else {
        let ipv4 = address_ipv4.unwrap_or_else(|| OLD_ADDRESS_IPV4.to_owned());
        let ipv6 = address_ipv6.unwrap_or_else(|| OLD_ADDRESS_IPV6.to_owned());
        [(use_ipv4, ipv4), (use_ipv6, ipv6)]
            .into_iter()
            .filter_map(|(used, address)| used.unwrap_or(true).then_some(address))
            .collect()
    };
    if only_ipv6 == Some(false) || set_only_ipv6 == Some(false) {
        add_ipv4(&mut addresses);
    }
    Merged::Texts(addresses)
}

/// A socket on `[::]` that was not restricted to IPv6 also accepted IPv4.
fn add_ipv4(addresses: &mut Vec<String>) {
    let parsed: Vec<Option<SocketAddr>> = addresses
        .iter()
        .map(|address| address.parse().ok())
        .collect();
    for address in parsed.iter().flatten() {
        let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        if address.ip() == Ipv6Addr::UNSPECIFIED && !parsed.contains(&Some(ipv4)) {
            addresses.push(ipv4.to_string());
        }
    }
}
