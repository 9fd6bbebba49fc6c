//! Under which address a peer is stored.

use std::net::IpAddr;

use crate::{AddressMap, AddressRange, special_purpose};

/// What decides under which address a peer is stored.
#[derive(Debug, Clone, Copy)]
pub struct AddressRules<'a> {
    /// Where peers are that the tracker sees elsewhere.
    pub map: &'a AddressMap,
    /// Whose claims of their address are believed.
    pub believed: &'a [AddressRange],
    /// Whether peers are rejected that nobody reaches over the public Internet.
    pub reject_special: bool,
}

/// The address has a [special purpose](special_purpose), and such peers are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is reserved")]
pub struct SpecialAddress;

impl AddressRules<'_> {
    /// Whether each peer is stored under the address that its request came from.
    #[inline]
    pub fn are_off(&self) -> bool {
        self.map.is_empty() & self.believed.is_empty() & !self.reject_special
    }

    /// Whether what a client at this address says about its address is believed.
    pub fn believe(&self, source: IpAddr) -> bool {
        self.believed.iter().any(|range| range.contains(source))
    }

    /// The address under which a peer is stored that is at `address`, by what it was seen at
    /// or by a claim that is believed. It is mapped before it is checked.
    ///
    /// # Errors
    ///
    /// When peers at that address are rejected.
    pub fn stored(&self, address: IpAddr) -> Result<IpAddr, SpecialAddress> {
        let stored = self.map.apply(address.to_canonical());
        if self.reject_special && special_purpose(stored).is_some() {
            return Err(SpecialAddress);
        }
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_mapped_and_then_checked() {
        let mut map = AddressMap::default();
        let range = |text: &str| text.parse::<AddressRange>().unwrap();
        map.add(range("192.168.0.0/16"), range("8.8.8.8")).unwrap();
        map.add(range("9.9.9.9"), range("10.0.0.1")).unwrap();
        let rules = |reject_special| AddressRules {
            map: &map,
            believed: &[],
            reject_special,
        };
        for (seen, stored) in [
            ("192.168.1.1", Ok("8.8.8.8")),
            ("::ffff:192.168.1.1", Ok("8.8.8.8")),
            ("10.0.0.1", Err(SpecialAddress)),
            ("9.9.9.9", Err(SpecialAddress)),
            ("fe80::1", Err(SpecialAddress)),
            ("2a00::1", Ok("2a00::1")),
        ] {
            assert_eq!(rules(true).stored(ip(seen)), stored.map(ip), "{seen}");
        }
        assert_eq!(rules(false).stored(ip("9.9.9.9")), Ok(ip("10.0.0.1")));
        assert!(!rules(true).are_off() && !rules(false).are_off());
    }

    #[test]
    fn only_some_are_believed() {
        let believed = ["10.0.0.0/8".parse().unwrap()];
        let map = AddressMap::default();
        let mut rules = AddressRules {
            map: &map,
            believed: &believed,
            reject_special: false,
        };
        assert!(!rules.are_off());
        assert!(rules.believe(ip("10.1.2.3")) && rules.believe(ip("::ffff:10.1.2.3")));
        assert!(!rules.believe(ip("11.1.2.3")) && !rules.believe(ip("::1")));
        rules.believed = &[];
        assert!(rules.are_off() && !rules.believe(ip("10.1.2.3")));
    }
}
