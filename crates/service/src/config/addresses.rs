//! Addresses that a daemon listens on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::texts;

/// Maximum number of addresses that a daemon listens on; each has one socket per worker.
const MAX_ADDRESSES: usize = 64;

/// Addresses and ports to listen on, as one text or a list: at least one, none of which
/// includes another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// All IPv4 and IPv6 addresses of the machine, on `port`.
    pub fn all(port: u16) -> Self {
        Self(vec![
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ])
    }

    /// Parses addresses. An IPv4-mapped IPv6 address becomes IPv4.
    ///
    /// # Errors
    ///
    /// All errors, as sentences for users, one per line.
    pub fn new(texts: &[impl AsRef<str>]) -> Result<Self, String> {
        if texts.is_empty() {
            return Err("at least one address is needed, such as \"0.0.0.0:3000\"".to_owned());
        }
        if texts.len() > MAX_ADDRESSES {
            let count = texts.len();
            return Err(format!(
                "{count} addresses are too many: the maximum is {MAX_ADDRESSES}"
            ));
        }
        let mut earlier: Vec<SocketAddr> = Vec::with_capacity(texts.len());
        let mut read = |text: &str| {
            let address = parse_address(text, "0.0.0.0:3000", "[::]:3000")?;
            match earlier.iter().find(|other| overlap(**other, address)) {
                Some(other) if *other == address => {
                    return Err(format!("{text:?} is listed twice"));
                }
                Some(other) => {
                    let (all, one) = match other.ip().is_unspecified() {
                        true => (*other, address),
                        false => (address, *other),
                    };
                    return Err(format!(
                        "{all} already includes {one}; remove one of the two"
                    ));
                }
                None => earlier.push(address),
            }
            Ok(address)
        };
        texts::all(texts.iter().map(|text| read(text.as_ref()))).map(Self)
    }

    /// The addresses.
    pub fn as_slice(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(SocketAddr::to_string))
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = deserializer.deserialize_any(OneOrMany)?;
        Self::new(&texts).map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Addresses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Addresses".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": "string" } },
                { "type": "string" },
            ]
        })
    }
}

/// Address and port for metrics; an empty text disables them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricsAddress(pub Option<SocketAddr>);

impl Serialize for MetricsAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for MetricsAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(Self(None)),
            text => parse_address(text, "127.0.0.1:9000", "[::1]:9000")
                .map(|address| Self(Some(address)))
                .map_err(D::Error::custom),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for MetricsAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MetricsAddress".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// Whether a socket on one of these addresses would receive what is sent to the other. IPv6
/// sockets do not accept IPv4.
pub(crate) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same_interface = match (one, other) {
        (SocketAddr::V6(one), SocketAddr::V6(other)) => {
            one.scope_id() == other.scope_id() || one.scope_id() == 0 || other.scope_id() == 0
        }
        _ => true,
    };
    one.is_ipv4() == other.is_ipv4()
        && one.port() == other.port()
        && (one.ip() == other.ip() && is_same_interface
            || one.ip().is_unspecified()
            || other.ip().is_unspecified())
}

/// Why it is not possible to listen on an address, if so.
fn unservable(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        // RFC 1122, 3.2.1.3: the rest of 0.0.0.0/8 does not identify a machine, although
        // Linux allows to bind it.
        IpAddr::V4(v4) if v4.octets()[0] == 0 && !v4.is_unspecified() => Some("a reserved address"),
        _ => None,
    }
}

/// Parses an IP address and port. `example_ipv4` and `example_ipv6` are used in error
/// messages.
///
/// # Errors
///
/// A sentence for users.
pub(super) fn parse_address(
    text: &str,
    example_ipv4: &str,
    example_ipv6: &str,
) -> Result<SocketAddr, String> {
    let Ok(mut address) = text.parse::<SocketAddr>() else {
        let hint = if text.parse::<IpAddr>().is_ok() {
            "; the port is missing"
        } else if text
            .rsplit(':')
            .nth(1)
            .is_some_and(|host| host == "localhost")
        {
            "; host names are not supported"
        } else {
            ""
        };
        return Err(format!(
            "{text:?} is not an IP address and port{hint}; \
             write it like \"{example_ipv4}\" or \"{example_ipv6}\""
        ));
    };
    if address.port() == 0 {
        return Err(format!(
            "{text:?} has port 0; choose a port from 1 to 65535"
        ));
    }
    if let SocketAddr::V6(v6) = address
        && let Some(mapped) = v6.ip().to_ipv4_mapped()
    {
        address = SocketAddr::from((mapped, v6.port()));
    }
    // ipv6(7): a link-local address is only unique on its interface, which the kernel has
    // to know.
    if let SocketAddr::V6(v6) = address
        && v6.ip().is_unicast_link_local()
        && v6.scope_id() == 0
    {
        return Err(format!(
            "{text:?} is link-local and needs a scope id, the number of its interface in `ip link`; \
             write it like \"[{}%2]:{}\"",
            v6.ip(),
            v6.port()
        ));
    }
    if let Some(what) = unservable(address.ip()) {
        return Err(format!(
            "{text:?} is {what}; use an address of this machine, or \"{example_ipv4}\""
        ));
    }
    Ok(address)
}

/// Deserializes one text or a list of texts.
struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as \"0.0.0.0:3000\", or a list of addresses")
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = sequence.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Vec<SocketAddr>, Vec<String>> {
        let lines = |error: String| error.lines().map(str::to_owned).collect();
        Addresses::new(texts).map(|read| read.0).map_err(lines)
    }

    #[test]
    fn both_families_on_one_port_are_two_addresses() {
        assert_eq!(read(&["0.0.0.0:3000", "[::]:3000"]).unwrap().len(), 2);
        assert_eq!(read(&["127.0.0.1:1", "127.0.0.1:2"]).unwrap().len(), 2);
    }

    #[test]
    fn all_faults_are_reported() {
        assert_eq!(
            read(&["127.0.0.1", "localhost:3000", "[::1]:0"]).unwrap_err(),
            [
                "\"127.0.0.1\" is not an IP address and port; the port is missing; \
                 write it like \"0.0.0.0:3000\" or \"[::]:3000\"",
                "\"localhost:3000\" is not an IP address and port; host names are not supported; \
                 write it like \"0.0.0.0:3000\" or \"[::]:3000\"",
                "\"[::1]:0\" has port 0; choose a port from 1 to 65535",
            ]
        );
        assert_eq!(read(&[]).unwrap_err().len(), 1);
    }

    #[test]
    fn the_same_address_twice_is_a_fault_however_it_is_spelled() {
        assert_eq!(read(&["[::1]:1", "[0::1]:1"]).unwrap_err().len(), 1);
        assert_eq!(
            read(&["127.0.0.1:1", "[::ffff:127.0.0.1]:1"]).unwrap_err(),
            ["\"[::ffff:127.0.0.1]:1\" is listed twice"]
        );
    }

    #[test]
    fn an_address_that_covers_another_is_a_fault() {
        for (all, one) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1")] {
            for list in [[all, one], [one, all]] {
                assert_eq!(
                    read(&list).unwrap_err(),
                    [format!(
                        "{all} already includes {one}; remove one of the two"
                    )]
                );
            }
        }
        assert!(read(&["0.0.0.0:1", "[::1]:1", "127.0.0.1:2"]).is_ok());
        assert!(read(&["[fe80::1%1]:1", "[fe80::1%2]:1"]).is_ok());
    }

    #[test]
    fn a_link_local_address_needs_its_interface() {
        assert_eq!(
            read(&["[fe80::1]:6600"]).unwrap_err(),
            [
                "\"[fe80::1]:6600\" is link-local and needs a scope id, the number of its \
                 interface in `ip link`; write it like \"[fe80::1%2]:6600\""
            ]
        );
        assert_eq!(read(&["[febf::1%0]:1"]).unwrap_err().len(), 1);
        assert!(read(&["[fe80::1%2]:6600", "[fec0::1]:1"]).is_ok());
    }

    #[test]
    fn an_address_of_no_machine_is_a_fault() {
        for (text, what) in [
            ("224.0.0.1:1", "a multicast address"),
            ("239.255.255.250:1", "a multicast address"),
            ("[ff02::1]:1", "a multicast address"),
            ("[::ffff:224.0.0.1]:1", "a multicast address"),
            ("255.255.255.255:1", "the broadcast address"),
            ("0.0.0.1:1", "a reserved address"),
        ] {
            let faults = read(&[text]).unwrap_err();
            assert!(faults[0].contains(what), "{faults:?}");
        }
    }
}
