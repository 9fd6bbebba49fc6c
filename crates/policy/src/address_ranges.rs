//! Ranges of IP addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Ranges of IP addresses. IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRanges(Vec<AddressRange>);

impl AddressRanges {
    /// Whether a range contains this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// Whether there is no range.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &AddressRange> {
        self.0.iter()
    }
}

impl FromIterator<AddressRange> for AddressRanges {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        Self(ranges.into_iter().collect())
    }
}

/// An address and a prefix length: `192.0.2.0/24`, `2001:db8::/32`; without a length, one
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Whether it contains this address. `::/0` contains no IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    pub(crate) fn network(&self) -> IpNet {
        self.0
    }

    /// How many bits all of its addresses share.
    pub fn prefix_length(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether it is a single address.
    pub fn is_single(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// Whether its addresses are of IPv4.
    pub(crate) fn is_ipv4(&self) -> bool {
        matches!(self.0, IpNet::V4(_))
    }

    /// The first of its addresses.
    pub fn first(&self) -> IpAddr {
        self.0.network()
    }

    /// The first and the last of its addresses.
    pub(crate) fn bounds(&self) -> (IpAddr, IpAddr) {
        (self.0.network(), self.0.broadcast())
    }

    /// The range with these bounds.
    pub(crate) fn between(first: IpAddr, last: IpAddr) -> Self {
        let length = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (first.to_bits() ^ last.to_bits()).leading_zeros()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                (first.to_bits() ^ last.to_bits()).leading_zeros()
            }
            _ => 0,
        };
        // A length is at most that of the address.
        let whole = IpNet::from(first);
        let length = u8::try_from(length).unwrap_or(whole.prefix_len());
        Self(IpNet::new(first, length).unwrap_or(whole))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

/// Why a text is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRangeError {
    /// The text before the `/` is not an address.
    #[error("\"{0}\" is no IP address; expected one such as 192.0.2.1, 192.0.2.0/24 or fd00::/8")]
    Address(String),
    /// The text after the `/` is not a prefix length.
    #[error("\"/{length}\" is no prefix length; expected /0 to /{longest}")]
    Length {
        /// The text after the `/`.
        length: String,
        /// How many bits the address has.
        longest: u8,
    },
    /// Bits after the prefix are set.
    #[error("{address}/{length} has bits beyond the prefix; expected {network}/{length}")]
    Beyond {
        /// The address as written.
        address: IpAddr,
        /// The length as written.
        length: u8,
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
        let whole = IpNet::from(address);
        let range = match length {
            None => whole,
            Some(text) => {
                // The standard library would accept a sign.
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let length = text.parse().ok().filter(|_| digits);
                let range = length.and_then(|length| IpNet::new(address, length).ok());
                range.ok_or_else(|| ParseRangeError::Length {
                    length: text.to_owned(),
                    longest: whole.max_prefix_len(),
                })?
            }
        };
        if range != range.trunc() {
            return Err(ParseRangeError::Beyond {
                address,
                length: range.prefix_len(),
                network: range.network(),
            });
        }
        Ok(Self(canonical(range)))
    }
}

/// A range of IPv4-mapped IPv6 addresses as one of IPv4.
fn canonical(range: IpNet) -> IpNet {
    /// The bits that all mapped addresses share (RFC 4291, 2.5.5.2).
    const MAPPED: u8 = 96;

    let length = range.prefix_len();
    match (range.network().to_canonical(), length.checked_sub(MAPPED)) {
        (IpAddr::V4(address), Some(length)) if range.max_prefix_len() > 32 => {
            Ipv4Net::new(address, length).map_or(range, IpNet::V4)
        }
        _ => range,
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
        let mapped = ranges(&["::ffff:0:0/96"]);
        assert!(mapped.contains("203.0.113.9".parse().unwrap()));
        assert!(mapped.contains("::ffff:203.0.113.9".parse().unwrap()));
        assert!(!mapped.contains("::1".parse().unwrap()));
        let half = ranges(&["::ffff:192.0.2.0/120"]);
        assert!(half.contains("192.0.2.255".parse().unwrap()));
        assert!(!half.contains("192.0.3.0".parse().unwrap()));
        // Shorter prefixes contain other addresses too, so they are not ranges of IPv4.
        assert!(!ranges(&["::/64"]).contains("203.0.113.9".parse().unwrap()));
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
        assert!(error("10.0.0.0/").contains("no prefix length"));
        assert!(error("::/129").contains("/0 to /128"));
        assert!(error("::/384").contains("/0 to /128"));
        assert_eq!(
            error("10.1.2.3/8"),
            "10.1.2.3/8 has bits beyond the prefix; expected 10.0.0.0/8"
        );
        assert_eq!(
            error("::ffff:10.1.2.3/104"),
            "::ffff:10.1.2.3/104 has bits beyond the prefix; expected ::ffff:10.0.0.0/104"
        );
    }
}
