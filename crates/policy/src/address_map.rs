//! The map of addresses: where peers that the tracker sees at one address are outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::BitXor;

use crate::AddressRange;

/// Replaces addresses by those that peers have outside. Networks that are mapped do not
/// overlap, so at most one entry applies, whatever their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressMap {
    ipv4: Vec<Entry<u32>>,
    ipv6: Vec<Entry<u128>>,
}

/// A network, and what becomes of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<A> {
    /// The first and the last address of the network.
    first: A,
    last: A,
    to: A,
    /// The bits of an address that are kept: none if all addresses become one.
    kept: A,
}

impl<A: Copy + Default + BitXor<Output = A>> Entry<A> {
    /// All addresses from `first` to `last` become `to`, or, unless it `is_one`, the addresses
    /// of the network that begins there.
    fn new(first: A, last: A, to: A, is_one: bool) -> Self {
        let host_bits = first ^ last;
        Self {
            first,
            last,
            to,
            kept: if is_one { A::default() } else { host_bits },
        }
    }
}

/// Why two networks are no entry of a map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapFault {
    /// One is of IPv4, and the other of IPv6.
    #[error(
        "{to} is not in the address family of {from}; a map stays within a family, so that the \
         peers of both stay apart"
    )]
    Family {
        /// What is mapped.
        from: AddressRange,
        /// What it is mapped to.
        to: AddressRange,
    },
    /// They have different lengths, and the second is not a single address.
    #[error("{to} and {from} have different lengths; expected one address, or a network of /{}", from.prefix_length())]
    Length {
        /// What is mapped.
        from: AddressRange,
        /// What it is mapped to.
        to: AddressRange,
    },
    /// The second contains addresses that no peer can have.
    #[error(
        "{0} is no address of a peer; expected the address under which it is reached from outside"
    )]
    NoPeer(AddressRange),
    /// An earlier entry maps some of the addresses.
    #[error(
        "{from} overlaps {earlier}, which is mapped, too; an address can be mapped in one way only"
    )]
    Overlap {
        /// What is mapped.
        from: AddressRange,
        /// What an earlier entry maps.
        earlier: AddressRange,
    },
}

impl AddressMap {
    /// Adds an entry: addresses in `from` become `to`, if that is one address, or otherwise
    /// the address at the same place of the network `to`.
    ///
    /// # Errors
    ///
    /// When both are no entry, or an earlier one overlaps. Nothing is added then.
    pub fn add(&mut self, from: AddressRange, to: AddressRange) -> Result<(), MapFault> {
        let is_one = to.is_single();
        if !is_one && to.prefix_length() != from.prefix_length() && to.is_ipv4() == from.is_ipv4() {
            return Err(MapFault::Length { from, to });
        }
        match (from.bounds(), to.bounds()) {
            (
                (IpAddr::V4(first), IpAddr::V4(last)),
                (IpAddr::V4(to_first), IpAddr::V4(to_last)),
            ) => {
                if [to_first, to_last].into_iter().any(is_no_peer_ipv4) {
                    return Err(MapFault::NoPeer(to));
                }
                let entry = Entry::new(first.to_bits(), last.to_bits(), to_first.to_bits(), is_one);
                insert(&mut self.ipv4, entry).map_err(|other| MapFault::Overlap {
                    from,
                    earlier: AddressRange::between(
                        Ipv4Addr::from_bits(other.first).into(),
                        Ipv4Addr::from_bits(other.last).into(),
                    ),
                })
            }
            (
                (IpAddr::V6(first), IpAddr::V6(last)),
                (IpAddr::V6(to_first), IpAddr::V6(to_last)),
            ) => {
                if [to_first, to_last].into_iter().any(is_no_peer_ipv6) {
                    return Err(MapFault::NoPeer(to));
                }
                let entry = Entry::new(first.to_bits(), last.to_bits(), to_first.to_bits(), is_one);
                insert(&mut self.ipv6, entry).map_err(|other| MapFault::Overlap {
                    from,
                    earlier: AddressRange::between(
                        Ipv6Addr::from_bits(other.first).into(),
                        Ipv6Addr::from_bits(other.last).into(),
                    ),
                })
            }
            _ => Err(MapFault::Family { from, to }),
        }
    }

    /// Whether it changes no address.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    /// The address outside; the same one if it is not mapped. It has the same family.
    pub fn apply(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                let mapped =
                    find(&self.ipv4, bits).map_or(bits, |entry| entry.to | bits & entry.kept);
                Ipv4Addr::from_bits(mapped).into()
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let mapped =
                    find(&self.ipv6, bits).map_or(bits, |entry| entry.to | bits & entry.kept);
                Ipv6Addr::from_bits(mapped).into()
            }
        }
    }
}

/// The entry of an address.
fn find<A: Copy + Ord>(entries: &[Entry<A>], address: A) -> Option<&Entry<A>> {
    let next = entries.partition_point(|entry| entry.first <= address);
    let entry = entries.get(next.checked_sub(1)?)?;
    (address <= entry.last).then_some(entry)
}

/// Inserts an entry in the order of addresses; returns the one that it overlaps, if so.
fn insert<A: Copy + Ord>(entries: &mut Vec<Entry<A>>, entry: Entry<A>) -> Result<(), Entry<A>> {
    let next = entries.partition_point(|other| other.last < entry.first);
    match entries.get(next) {
        Some(other) if other.first <= entry.last => Err(*other),
        _ => {
            entries.insert(next, entry);
            Ok(())
        }
    }
}

fn is_no_peer_ipv4(address: Ipv4Addr) -> bool {
    address.is_unspecified() || address.is_multicast() || address.is_broadcast()
}

fn is_no_peer_ipv6(address: Ipv6Addr) -> bool {
    address.is_unspecified() || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    fn map(entries: &[(&str, &str)]) -> AddressMap {
        let mut map = AddressMap::default();
        for (from, to) in entries {
            map.add(range(from), range(to)).unwrap();
        }
        map
    }

    fn applied(map: &AddressMap, address: &str) -> String {
        map.apply(address.parse().unwrap()).to_string()
    }

    #[test]
    fn networks_become_one_address_or_another_network() {
        let map = map(&[
            ("192.168.0.0/16", "203.0.113.7"),
            ("10.1.0.0/24", "198.51.100.0/24"),
            ("172.17.0.1", "203.0.113.8"),
            ("fd00:1::/48", "2001:db8:7::/48"),
            ("fd00:2::/48", "2001:db8::7"),
        ]);
        for (from, to) in [
            ("192.168.0.0", "203.0.113.7"),
            ("192.168.255.255", "203.0.113.7"),
            ("192.167.255.255", "192.167.255.255"),
            ("192.169.0.0", "192.169.0.0"),
            ("10.1.0.0", "198.51.100.0"),
            ("10.1.0.200", "198.51.100.200"),
            ("10.1.1.0", "10.1.1.0"),
            ("172.17.0.1", "203.0.113.8"),
            ("172.17.0.2", "172.17.0.2"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("fd00:1::5:1", "2001:db8:7::5:1"),
            ("fd00:2:0:ffff::", "2001:db8::7"),
            ("fd00:3::", "fd00:3::"),
            ("::", "::"),
        ] {
            assert_eq!(applied(&map, from), to, "{from}");
        }
    }

    #[test]
    fn an_empty_map_changes_nothing() {
        let empty = AddressMap::default();
        assert!(empty.is_empty());
        assert_eq!(applied(&empty, "192.168.0.1"), "192.168.0.1");
        assert!(!map(&[("::/0", "2001:db8::1")]).is_empty());
        let all = map(&[("0.0.0.0/0", "203.0.113.7")]);
        assert_eq!(applied(&all, "255.255.255.255"), "203.0.113.7");
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let fault = |from: &str, to: &str| {
            let mut map = map(&[("10.0.0.0/8", "203.0.113.7"), ("fd00::/16", "2001:db8::1")]);
            let before = map.clone();
            let fault = map.add(range(from), range(to)).unwrap_err().to_string();
            assert_eq!(map, before);
            fault
        };
        for (from, earlier) in [
            ("10.1.0.0/16", "10.0.0.0/8"),
            ("10.255.255.255", "10.0.0.0/8"),
            ("0.0.0.0/0", "10.0.0.0/8"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            let message = fault(from, "203.0.113.7");
            assert!(
                message.contains(&format!("overlaps {earlier},")),
                "{message}"
            );
        }
        assert!(fault("fd00:1::1", "2001:db8::1").contains("overlaps fd00::/16,"));
        assert_eq!(
            fault("192.168.0.0/16", "203.0.113.0/24"),
            "203.0.113.0/24 and 192.168.0.0/16 have different lengths; expected one address, or \
             a network of /16"
        );
        for (from, to) in [("192.168.0.0/16", "2001:db8::/16"), ("::1", "203.0.113.7")] {
            let to = to.replace("2001:db8::/16", "2001::/16");
            assert!(
                fault(from, &to).contains("is not in the address family"),
                "{from}"
            );
        }
        for to in ["0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            assert!(
                fault("192.168.0.1", to).contains("is no address of a peer"),
                "{to}"
            );
        }
        assert!(fault("fe80::1", "ff02::1").contains("is no address of a peer"));
    }

    /// A list of entries, in the order in which they were added.
    struct Model(Vec<(AddressRange, AddressRange)>);

    impl Model {
        fn overlaps(&self, from: AddressRange) -> bool {
            let contains = |one: AddressRange, other: AddressRange| one.contains(other.bounds().0);
            let mut all = self.0.iter();
            all.any(|(other, _)| contains(*other, from) || contains(from, *other))
        }

        fn apply(&self, address: Ipv4Addr) -> Ipv4Addr {
            let mut all = self.0.iter();
            let Some((from, to)) = all.find(|(from, _)| from.contains(address.into())) else {
                return address;
            };
            let IpAddr::V4(first) = to.bounds().0 else {
                panic!("{to} is not IPv4");
            };
            if to.is_single() {
                return first;
            }
            let host = (1_u64 << (32 - from.prefix_length())) - 1;
            Ipv4Addr::from_bits(first.to_bits() | address.to_bits() & host as u32)
        }
    }

    #[test]
    fn any_map_is_as_a_list_that_is_searched() {
        // The same numbers in each run: a linear congruential generator (Knuth, MMIX).
        let mut state = 7_u64;
        let mut random = move |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32 % below
        };
        for _ in 0..300 {
            let (mut map, mut model) = (AddressMap::default(), Model(Vec::new()));
            for _ in 0..60 {
                // Within a /16, so that they often overlap.
                let length = 16 + random(17);
                let host = u32::try_from((1_u64 << (32 - length)) - 1).unwrap();
                let network = (0x0a01_0000 | random(1 << 16)) & !host;
                let from = range(&format!("{}/{length}", Ipv4Addr::from_bits(network)));
                let to = match random(2) {
                    0 => range("203.0.113.7"),
                    _ => range(&format!(
                        "{}/{length}",
                        Ipv4Addr::from_bits(0xc612_0000 & !host)
                    )),
                };
                let is_added = map.add(from, to).is_ok();
                assert_eq!(is_added, !model.overlaps(from), "{from} in {:?}", model.0);
                if is_added {
                    model.0.push((from, to));
                }
            }
            for _ in 0..500 {
                let address = Ipv4Addr::from_bits(0x0a00_ff00 + random(0x1_0200));
                assert_eq!(map.apply(address.into()), IpAddr::V4(model.apply(address)));
            }
        }
    }
}
