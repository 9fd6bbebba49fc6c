//! The list of addresses that a daemon serves.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::checks::Checks;

/// The most addresses a daemon listens on; each has a socket in every worker.
const MOST_ADDRESSES: usize = 64;

/// Addresses and ports to serve: one text or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(pub Vec<String>);

impl Addresses {
    /// Every IPv4 and every IPv6 address of the machine, on `port`.
    pub fn all(port: u16) -> Self {
        Self(vec![format!("0.0.0.0:{port}"), format!("[::]:{port}")])
    }

    /// Checks the list under its `key`: not empty, and none that gets what is sent
    /// to another. An IPv4-mapped IPv6 address is IPv4.
    pub fn settings(&self, key: &str, checks: &mut Checks) -> Vec<SocketAddr> {
        if self.0.is_empty() {
            checks.fail(
                key,
                "at least one address is needed, such as \"0.0.0.0:3000\"",
            );
        }
        if self.0.len() > MOST_ADDRESSES {
            checks.fail(
                key,
                format!(
                    "{} addresses are too many: {MOST_ADDRESSES} at most",
                    self.0.len()
                ),
            );
            return Vec::new();
        }
        let mut addresses: Vec<SocketAddr> = Vec::with_capacity(self.0.len());
        for text in &self.0 {
            let address = match parse_address(text, "0.0.0.0:3000", "[::]:3000") {
                Ok(address) => address,
                Err(message) => {
                    checks.fail(key, message);
                    continue;
                }
            };
            match addresses.iter().find(|other| overlap(**other, address)) {
                Some(other) if *other == address => {
                    checks.fail(key, format!("\"{text}\" is there twice; give it once"));
                }
                Some(other) => {
                    let (all, one) = match other.ip().is_unspecified() {
                        true => (*other, address),
                        false => (address, *other),
                    };
                    checks.fail(key, format!("{all} is every address of the machine, {one} included; leave one of the two out"));
                }
                None => addresses.push(address),
            }
        }
        addresses
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
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

/// Whether a socket on one of these addresses would get what is sent to the other.
/// IPv6 sockets serve IPv6 only.
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

/// Why nobody can be served at an address, if so.
fn unservable(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_multicast() => Some("a multicast address, which is no machine's own"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address, which is no machine's own"),
        // RFC 1122, 3.2.1.3: the rest of 0.0.0.0/8 names no machine, but Linux
        // binds it.
        IpAddr::V4(v4) if v4.octets()[0] == 0 && !v4.is_unspecified() => {
            Some("an address that no machine can have")
        }
        _ => None,
    }
}

/// Reads an IP address and port. `example_ipv4` and `example_ipv6` show what
/// would be right.
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
            "; names are not looked up"
        } else {
            ""
        };
        return Err(format!(
            "\"{text}\" is not an IP address and port{hint}; \
             write it like \"{example_ipv4}\" or \"{example_ipv6}\""
        ));
    };
    if address.port() == 0 {
        return Err(format!(
            "\"{text}\" has port 0; choose a port from 1 to 65535"
        ));
    }
    if let SocketAddr::V6(v6) = address
        && let Some(mapped) = v6.ip().to_ipv4_mapped()
    {
        address = SocketAddr::from((mapped, v6.port()));
    }
    // ipv6(7): it is another one on every interface, and the kernel has to know which.
    if let SocketAddr::V6(v6) = address
        && v6.ip().is_unicast_link_local()
        && v6.scope_id() == 0
    {
        return Err(format!(
            "\"{text}\" lacks the number of its interface, which `ip link` tells; \
             write it like \"[{}%2]:{}\"",
            v6.ip(),
            v6.port()
        ));
    }
    if let Some(what) = unservable(address.ip()) {
        return Err(format!(
            "\"{text}\" is {what}; give one of this machine, or \"{example_ipv4}\""
        ));
    }
    Ok(address)
}

/// Reads one text or a list of them.
struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as \"0.0.0.0:3000\", or a list of addresses")
    }

    fn visit_str<E>(self, text: &str) -> Result<Addresses, E> {
        Ok(Addresses(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Addresses, A::Error> {
        let mut addresses = Vec::new();
        while let Some(address) = sequence.next_element()? {
            addresses.push(address);
        }
        Ok(Addresses(addresses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(texts: &[&str]) -> Result<Vec<SocketAddr>, Vec<String>> {
        let mut checks = Checks::new();
        let list = Addresses(texts.iter().copied().map(str::to_owned).collect());
        let addresses = list.settings("network.address", &mut checks);
        checks
            .finish(addresses)
            .map_err(|invalid| invalid.into_iter().map(|one| one.message).collect())
    }

    #[test]
    fn both_families_on_one_port_are_two_addresses() {
        assert_eq!(settings(&["0.0.0.0:3000", "[::]:3000"]).unwrap().len(), 2);
        assert_eq!(settings(&["127.0.0.1:1", "127.0.0.1:2"]).unwrap().len(), 2);
    }

    #[test]
    fn all_faults_are_reported() {
        assert_eq!(
            settings(&["127.0.0.1", "localhost:3000", "[::1]:0"]).unwrap_err(),
            [
                "\"127.0.0.1\" is not an IP address and port; the port is missing; \
                 write it like \"0.0.0.0:3000\" or \"[::]:3000\"",
                "\"localhost:3000\" is not an IP address and port; names are not looked up; \
                 write it like \"0.0.0.0:3000\" or \"[::]:3000\"",
                "\"[::1]:0\" has port 0; choose a port from 1 to 65535",
            ]
        );
        assert_eq!(settings(&[]).unwrap_err().len(), 1);
    }

    #[test]
    fn the_same_address_twice_is_a_fault_however_it_is_spelled() {
        assert_eq!(settings(&["[::1]:1", "[0::1]:1"]).unwrap_err().len(), 1);
        assert_eq!(
            settings(&["127.0.0.1:1", "[::ffff:127.0.0.1]:1"]).unwrap_err(),
            ["\"[::ffff:127.0.0.1]:1\" is there twice; give it once"]
        );
    }

    #[test]
    fn an_address_that_covers_another_is_a_fault() {
        for (all, one) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1")] {
            for list in [[all, one], [one, all]] {
                assert_eq!(
                    settings(&list).unwrap_err(),
                    [format!(
                        "{all} is every address of the machine, {one} included; leave one of the \
                         two out"
                    )]
                );
            }
        }
        assert!(settings(&["0.0.0.0:1", "[::1]:1", "127.0.0.1:2"]).is_ok());
        assert!(settings(&["[fe80::1%1]:1", "[fe80::1%2]:1"]).is_ok());
    }

    #[test]
    fn a_link_local_address_needs_its_interface() {
        assert_eq!(
            settings(&["[fe80::1]:6600"]).unwrap_err(),
            [
                "\"[fe80::1]:6600\" lacks the number of its interface, which `ip link` tells; \
                 write it like \"[fe80::1%2]:6600\""
            ]
        );
        assert_eq!(settings(&["[febf::1%0]:1"]).unwrap_err().len(), 1);
        assert!(settings(&["[fe80::1%2]:6600", "[fec0::1]:1"]).is_ok());
    }

    #[test]
    fn an_address_of_no_machine_is_a_fault() {
        for (text, what) in [
            ("224.0.0.1:1", "a multicast address"),
            ("239.255.255.250:1", "a multicast address"),
            ("[ff02::1]:1", "a multicast address"),
            ("[::ffff:224.0.0.1]:1", "a multicast address"),
            ("255.255.255.255:1", "the broadcast address"),
            ("0.0.0.1:1", "an address that no machine can have"),
        ] {
            let faults = settings(&[text]).unwrap_err();
            assert!(faults[0].contains(what), "{faults:?}");
        }
    }
}
