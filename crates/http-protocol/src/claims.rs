//! What clients say about their addresses (BEP 3, "ip"; BEP 7, "ipv4" and "ipv6").

use std::net::{IpAddr, SocketAddr};

use crate::query::{Parameters, QueryFault, is_escaped_name, unescape_short};

/// Maximum length of an address: the longest of IPv6, in brackets and with a port.
const MAX_LENGTH: usize = 54;

/// The names of the parameters.
const NAMES: [&str; 3] = ["ip", "ipv4", "ipv6"];

/// The addresses that an announce says its peer has. Whoever believes them lets the sender
/// announce somebody else's address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claims {
    /// BEP 3: "the IP (or dns name)", of either family.
    pub ip: Option<Claim>,
    /// BEP 7, the client's IPv4 address.
    pub ipv4: Option<Claim>,
    /// BEP 7, the client's IPv6 address.
    pub ipv6: Option<Claim>,
}

/// An address, with a port if it has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Never an IPv4-mapped IPv6 address.
    pub address: IpAddr,
    /// BEP 7: "may also specify an endpoint, address and port".
    pub port: Option<u16>,
}

impl Claims {
    /// Parses the query of an announce. If a parameter occurs several times, the last one is
    /// used; empty ones are ignored.
    ///
    /// # Errors
    ///
    /// If one is not an address, or one of another family than its name says. Names are not
    /// resolved, which could take long.
    pub fn parse(query: &[u8]) -> Result<Self, QueryFault> {
        let mut claims = Self::default();
        for parameter in Parameters::of(query) {
            let is_named = |name: &&str| {
                parameter.name == name.as_bytes()
                    || parameter.name.contains(&b'%')
                        && is_escaped_name(parameter.name, name.as_bytes())
            };
            let Some(name) = NAMES.into_iter().find(is_named) else {
                continue;
            };
            if parameter.value.is_empty() {
                continue;
            }
            let claim = Claim::parse(parameter.value).ok_or(QueryFault::Address(name))?;
            let (place, is_right) = match name {
                "ip" => (&mut claims.ip, true),
                "ipv4" => (&mut claims.ipv4, claim.address.is_ipv4()),
                _ => (&mut claims.ipv6, claim.address.is_ipv6()),
            };
            if !is_right {
                return Err(QueryFault::Address(name));
            }
            *place = Some(claim);
        }
        Ok(claims)
    }
}

impl Claim {
    fn parse(value: &[u8]) -> Option<Self> {
        let (bytes, length) = unescape_short::<MAX_LENGTH>(value)?;
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self {
                address: address.to_canonical(),
                port: None,
            });
        }
        let endpoint: SocketAddr = text.parse().ok()?;
        // A scope means nothing to other peers.
        let is_scoped = matches!(endpoint, SocketAddr::V6(it) if it.scope_id() != 0);
        (!is_scoped && endpoint.port() != 0).then(|| Self {
            address: endpoint.ip().to_canonical(),
            port: Some(endpoint.port()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(address: &str, port: Option<u16>) -> Option<Claim> {
        let address = address.parse().unwrap();
        Some(Claim { address, port })
    }

    #[test]
    fn addresses_and_endpoints() {
        assert_eq!(
            Claims::parse(b"port=1&ip=&ipv4&ipx=1"),
            Ok(Claims::default())
        );
        assert_eq!(
            Claims::parse(b"ip=192.0.2.1&ipv6=%5B2001%3adb8::1%5D:6881&ipv4=192.0.2.2:7"),
            Ok(Claims {
                ip: claim("192.0.2.1", None),
                ipv4: claim("192.0.2.2", Some(7)),
                ipv6: claim("2001:db8::1", Some(6881)),
            })
        );
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535";
        assert!(longest.len() < MAX_LENGTH);
        let query = format!("i%70=1.1.1.1&ip=2001:db8::1&ipv6={longest}");
        let claims = Claims::parse(query.as_bytes()).unwrap();
        assert_eq!(claims.ip, claim("2001:db8::1", None));
        assert_eq!(claims.ipv6.unwrap().port, Some(65535));
        let mapped = Claims::parse(b"ip=::ffff:192.0.2.1").unwrap();
        assert_eq!(mapped.ip, claim("192.0.2.1", None));
    }

    #[test]
    fn what_is_no_address_is_a_fault() {
        for (query, name) in [
            ("ip=tracker.example.org", "ip"),
            ("ip=192.0.2.256", "ip"),
            ("ip=192.0.2.1:0", "ip"),
            ("ip=%", "ip"),
            ("ip=%ff", "ip"),
            ("ipv4=2001:db8::1", "ipv4"),
            ("ipv6=192.0.2.1", "ipv6"),
            ("ipv6=::ffff:192.0.2.1", "ipv6"),
            ("ipv6=fe80::1%25eth0", "ipv6"),
            ("ipv6=[fe80::1%252]:1", "ipv6"),
            ("ipv6=2001:db8::1]", "ipv6"),
        ] {
            let fault = Claims::parse(query.as_bytes());
            assert_eq!(fault, Err(QueryFault::Address(name)), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(query: Vec<u8>) {
            let _ = Claims::parse(&query);
        }

        #[test]
        fn any_address_comes_back(address: IpAddr, port in 1_u16..) {
            let endpoint = SocketAddr::new(address, port);
            let claims = Claims::parse(format!("ip={endpoint}").as_bytes()).unwrap();
            let address = address.to_canonical();
            prop_assert_eq!(claims.ip, Some(Claim { address, port: Some(port) }));
        }
    }
}
