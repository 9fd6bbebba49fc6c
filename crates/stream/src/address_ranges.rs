//! Ranges of IP addresses, for proxies that are trusted.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Ranges of IP addresses. IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRanges(Vec<AddressRange>);

impl AddressRanges {
    /// Whether a range has this address in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// Whether there is no range.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<AddressRange> for AddressRanges {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        Self(ranges.into_iter().collect())
    }
}

/// An address and how many of its leading bits count: `192.0.2.0/24`,
/// `2001:db8::/32`; without a length, one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    /// Which family it is of: `::/0` is not IPv4's.
    is_ipv4: bool,
    /// As IPv6; IPv4 is mapped to it.
    bits: u128,
    /// The bits that count.
    mask: u128,
}

impl AddressRange {
    /// Whether it has this address in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_ipv4 && mapped(address) & self.mask == self.bits
    }
}

/// Why a text is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRangeError {
    /// What stands before the `/` is no address.
    #[error("\"{0}\" is no IP address; expected one such as 192.0.2.1, 192.0.2.0/24 or fd00::/8")]
    Address(String),
    /// What stands behind the `/` is no length.
    #[error("\"/{length}\" is no prefix length; expected /0 to /{longest}")]
    Length {
        /// What stands there.
        length: String,
        /// How many bits the address has.
        longest: u32,
    },
    /// Bits are set that do not count.
    #[error("{address}/{length} has bits beyond the prefix; expected {network}/{length}")]
    Beyond {
        /// The address as written.
        address: IpAddr,
        /// The length as written.
        length: u32,
        /// The address without these bits.
        network: IpAddr,
    },
}

impl FromStr for AddressRange {
    type Err = ParseRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| ParseRangeError::Address(address.to_owned()))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => longest,
            Some(text) => text
                .parse()
                .ok()
                .filter(|length| *length <= longest && text.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| ParseRangeError::Length {
                    length: text.to_owned(),
                    longest,
                })?,
        };
        let free = longest - length;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        let bits = mapped(address) & mask;
        if bits != mapped(address) {
            return Err(ParseRangeError::Beyond {
                address,
                length,
                network: unmapped(bits, address),
            });
        }
        Ok(Self {
            is_ipv4: free <= 32 && address.to_canonical().is_ipv4(),
            bits,
            mask,
        })
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn unmapped(bits: u128, like: IpAddr) -> IpAddr {
    let address = Ipv6Addr::from_bits(bits);
    match like {
        IpAddr::V4(_) => IpAddr::V6(address).to_canonical(),
        IpAddr::V6(_) => IpAddr::V6(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> AddressRanges {
        texts
            .iter()
            .map(|text| text.parse::<AddressRange>().unwrap())
            .collect()
    }

    #[test]
    fn addresses_are_in_their_ranges() {
        let ranges = ranges(&["192.0.2.0/24", "10.1.2.3", "2001:db8::/32", "::1"]);
        let contains = |text: &str| ranges.contains(text.parse().unwrap());
        for inside in [
            "192.0.2.0",
            "192.0.2.255",
            "::ffff:192.0.2.7",
            "10.1.2.3",
            "2001:db8:ffff::1",
            "::1",
        ] {
            assert!(contains(inside), "{inside}");
        }
        for outside in ["192.0.3.0", "10.1.2.4", "2001:db9::", "::2", "0.0.0.1"] {
            assert!(!contains(outside), "{outside}");
        }
        assert!(!AddressRanges::default().contains("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn everything_of_one_family_is_not_the_other() {
        let ipv4 = ranges(&["0.0.0.0/0"]);
        assert!(ipv4.contains("203.0.113.9".parse().unwrap()));
        assert!(!ipv4.contains("2001:db8::1".parse().unwrap()));
        let ipv6 = ranges(&["::/0"]);
        assert!(ipv6.contains("2001:db8::1".parse().unwrap()));
        assert!(!ipv6.contains("203.0.113.9".parse().unwrap()));
        assert!(ranges(&["::ffff:0:0/96"]).contains("203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let error = |text: &str| text.parse::<AddressRange>().unwrap_err().to_string();
        assert!(error("proxy/8").starts_with("\"proxy\" is no IP address"));
        assert_eq!(
            error("10.0.0.0/33"),
            "\"/33\" is no prefix length; expected /0 to /32"
        );
        assert!(error("10.0.0.0/+8").contains("no prefix length"));
        assert!(error("::/129").contains("/0 to /128"));
        assert_eq!(
            error("10.1.2.3/8"),
            "10.1.2.3/8 has bits beyond the prefix; expected 10.0.0.0/8"
        );
    }
}
