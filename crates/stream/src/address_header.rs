//! Client addresses in headers of reverse proxies.

use std::net::IpAddr;
use std::str;

/// A header in which a reverse proxy sends the address of its client.
///
/// Each proxy on the way appends the address that it sees, so only the last address comes
/// from the nearest proxy, which is trusted. Clients can invent those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressHeader {
    name: String,
    is_forwarded: bool,
}

/// Why a header has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressHeaderFault {
    /// It is not there.
    #[error("the header of the reverse proxy that names the client's address is missing")]
    Missing,
    /// It does not end with an IP address.
    #[error("the header of the reverse proxy names no IP address")]
    NoAddress,
}

impl AddressHeader {
    /// The header of that name, which is case-insensitive. `Forwarded` is parsed by
    /// RFC 7239, any other, such as `X-Forwarded-For` or `X-Real-IP`, as a
    /// comma-separated list of addresses.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            is_forwarded: name.eq_ignore_ascii_case("forwarded"),
            name,
        }
    }

    /// The name, to look for in a request.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last address in the value of the header. An IPv4-mapped IPv6 address
    /// is an IPv4 address.
    ///
    /// # Errors
    ///
    /// When there is no header, or no IP address at its end.
    #[inline]
    pub fn address(&self, value: Option<&[u8]>) -> Result<IpAddr, AddressHeaderFault> {
        let value = value.ok_or(AddressHeaderFault::Missing)?;
        let node = if self.is_forwarded {
            last_for(value)
        } else {
            last_element(value, b',')
        };
        node.and_then(parse_node)
            .ok_or(AddressHeaderFault::NoAddress)
    }
}

/// The text after the last separator.
#[inline]
fn last_element(list: &[u8], separator: u8) -> Option<&[u8]> {
    list.rsplit(|&byte| byte == separator)
        .next()
        .map(<[u8]>::trim_ascii)
}

/// The node of `for=` in the last element (RFC 7239, 4).
///
/// Commas and semicolons in quotes are no separators. A client that opens quotes and does
/// not close them hides what the proxy appends: such a header has no address.
fn last_for(list: &[u8]) -> Option<&[u8]> {
    let mut node = None;
    let mut start = 0;
    let mut is_quoted = false;
    let mut is_escaped = false;
    for end in 0..=list.len() {
        let byte = list.get(end).copied();
        match byte {
            Some(_) if is_escaped => is_escaped = false,
            Some(b'\\') if is_quoted => is_escaped = true,
            Some(b'"') => is_quoted = !is_quoted,
            Some(b',' | b';') if is_quoted => {}
            None | Some(b',' | b';') => {
                if let Some(value) = value_of_for(&list[start..end]) {
                    node = Some(value);
                }
                if byte == Some(b',') {
                    node = None;
                }
                start = end + 1;
            }
            Some(_) => {}
        }
    }
    node.filter(|_| !is_quoted)
}

/// The value of a parameter that is called `for`.
fn value_of_for(parameter: &[u8]) -> Option<&[u8]> {
    let (name, value) = parameter.trim_ascii().split_first_chunk::<4>()?;
    if !name.eq_ignore_ascii_case(b"for=") {
        return None;
    }
    let unquoted = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    Some(unquoted.unwrap_or(value))
}

/// An address, with a port or without; IPv6 in brackets or without.
#[inline]
fn parse_node(node: &[u8]) -> Option<IpAddr> {
    let node = str::from_utf8(node).ok()?;
    let address = node.parse().ok().or_else(|| address_of_node(node))?;
    Some(address.to_canonical())
}

/// RFC 7239, 6: "node = nodename [ ":" node-port ]".
fn address_of_node(node: &str) -> Option<IpAddr> {
    let (address, rest) = match node.strip_prefix('[') {
        Some(node) => {
            let (address, rest) = node.split_once(']')?;
            (IpAddr::V6(address.parse().ok()?), rest)
        }
        None => {
            let end = node.find(':')?;
            (IpAddr::V4(node[..end].parse().ok()?), &node[end..])
        }
    };
    (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)).then_some(address)
}

/// RFC 7239, 6.3: a number, or an obfuscated port such as `_http`.
fn is_port(port: &str) -> bool {
    let is_obfuscated = |name: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(is_allowed)
    };
    match port.strip_prefix('_') {
        Some(name) => is_obfuscated(name),
        None => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn address(name: &str, value: &str) -> Result<IpAddr, AddressHeaderFault> {
        AddressHeader::new(name).address(Some(value.as_bytes()))
    }

    #[track_caller]
    fn is(name: &str, value: &str, expected: &str) {
        assert_eq!(
            address(name, value),
            Ok(expected.parse().unwrap()),
            "{value}"
        );
    }

    #[track_caller]
    fn is_none(name: &str, value: &str) {
        let fault = Err(AddressHeaderFault::NoAddress);
        assert_eq!(address(name, value), fault, "{value}");
    }

    #[test]
    fn the_last_of_a_list_counts() {
        let name = "X-Forwarded-For";
        is(name, "192.0.2.1", "192.0.2.1");
        is(name, "192.0.2.1, 198.51.100.7", "198.51.100.7");
        is(name, "unknown,\t2001:db8::1 ", "2001:db8::1");
        is(name, "[2001:db8::1]", "2001:db8::1");
        is(name, "[2001:db8::1]:6881", "2001:db8::1");
        is(name, "192.0.2.1:6881", "192.0.2.1");
        is(name, "::ffff:192.0.2.1", "192.0.2.1");
        is("x-real-ip", "192.0.2.1", "192.0.2.1");
        for value in [
            "",
            ",",
            "192.0.2.1,",
            "192.0.2.1, unknown",
            "192.0.2",
            "[192.0.2.1]",
            "[2001:db8::1",
            "for=192.0.2.1",
            "192.0.2.1 198.51.100.7",
            "192.0.2.1:99999",
            "192.0.2.1:+80",
            "192.0.2.1:",
            "[2001:db8::1]80",
        ] {
            is_none(name, value);
        }
        let fault = AddressHeader::new(name).address(None);
        assert_eq!(fault, Err(AddressHeaderFault::Missing));
        let fault = AddressHeader::new(name).address(Some(b"\xff"));
        assert_eq!(fault, Err(AddressHeaderFault::NoAddress));
    }

    #[test]
    fn forwarded_has_parameters() {
        let name = "forwarded";
        // The examples of RFC 7239, 4.
        is_none(name, "for=\"_gazonk\"");
        is(
            name,
            "For=\"[2001:db8:cafe::17]:4711\"",
            "2001:db8:cafe::17",
        );
        is(
            name,
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            "192.0.2.60",
        );
        is(name, "for=192.0.2.43, for=198.51.100.17", "198.51.100.17");

        is(name, "by=203.0.113.43; FOR=\"192.0.2.60:80\"", "192.0.2.60");
        is(
            name,
            "for=192.0.2.43;host=\"a,b;for=1.1.1.1\\\",for=2.2.2.2\"",
            "192.0.2.43",
        );
        // Ports may be obfuscated (RFC 7239, 6.3).
        is(name, "for=\"203.0.113.9:_http\"", "203.0.113.9");
        is(name, "for=203.0.113.9:_a.b-c_D", "203.0.113.9");
        is(name, "for=\"[2001:db8::1]:_x\"", "2001:db8::1");
        for value in [
            "",
            "192.0.2.1",
            "for=",
            "for=\"203.0.113.9:_\"",
            "for=\"203.0.113.9:_a b\"",
            "for=\"203.0.113.9:http\"",
            "for=\"2001:db8::1:_x\"",
            "for=_hidden:_http",
            "for=unknown",
            "for=192.0.2.43, by=198.51.100.17",
            "for=192.0.2.43,",
            "for=\"192.0.2.43",
            "before=192.0.2.43",
            // The proxy appended the end to what a client invented.
            "for=192.0.2.43;x=\", for=198.51.100.17",
            "for=192.0.2.43;x=\", for=\"[2001:db8::1]\"",
            "for=\"192.0.2.43, for=198.51.100.17",
        ] {
            is_none(name, value);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(value: Vec<u8>) {
            let _ = AddressHeader::new("X-Forwarded-For").address(Some(&value));
            let _ = AddressHeader::new("Forwarded").address(Some(&value));
        }

        #[test]
        fn any_address_comes_back(address: IpAddr, before in "[ !#-~]{0,20}") {
            let expected = Ok(address.to_canonical());
            let value = format!("{before},{address}");
            let list = AddressHeader::new("X-Forwarded-For");
            prop_assert_eq!(list.address(Some(value.as_bytes())), expected);

            let node = SocketAddr::new(address, 1);
            let value = format!("{before},for=\"{node}\"");
            let forwarded = AddressHeader::new("Forwarded");
            prop_assert_eq!(forwarded.address(Some(value.as_bytes())), expected);
        }
    }
}
