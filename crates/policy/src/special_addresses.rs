//! Addresses that have no place on the public Internet.
//!
//! The lists are the registries of RFC 6890: the IANA IPv4 and IPv6 Special-Purpose Address
//! Registries (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>), as of October 2025, and
//! multicast addresses (RFC 5771, RFC 4291). An address is special if the registry says that
//! it is not globally reachable; where it says nothing ("N/A": 6to4, Teredo and ORCHID), it
//! is not.

use std::net::IpAddr;

use Reach::{Global, Local};

/// What the registry says in the column "Globally Reachable".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Global,
    Local,
}

/// A block of IPv4: its first address, its prefix length, its reach and its name. More
/// specific blocks come first.
type Ipv4Block = ([u8; 4], u32, Reach, &'static str);

const IPV4: &[Ipv4Block] = &[
    ([192, 0, 0, 9], 32, Global, "Port Control Protocol anycast"),
    ([192, 0, 0, 10], 32, Global, "TURN anycast"),
    ([255, 255, 255, 255], 32, Local, "limited broadcast"),
    ([192, 0, 0, 0], 24, Local, "IETF protocol assignments"),
    ([192, 0, 2, 0], 24, Local, "documentation"),
    ([198, 51, 100, 0], 24, Local, "documentation"),
    ([203, 0, 113, 0], 24, Local, "documentation"),
    ([169, 254, 0, 0], 16, Local, "link-local"),
    ([192, 168, 0, 0], 16, Local, "private use"),
    ([198, 18, 0, 0], 15, Local, "benchmarking"),
    ([172, 16, 0, 0], 12, Local, "private use"),
    ([100, 64, 0, 0], 10, Local, "shared address space"),
    ([0, 0, 0, 0], 8, Local, "this network"),
    ([10, 0, 0, 0], 8, Local, "private use"),
    ([127, 0, 0, 0], 8, Local, "loopback"),
    ([224, 0, 0, 0], 4, Local, "multicast"),
    ([240, 0, 0, 0], 4, Local, "reserved"),
];

/// The same for IPv6.
type Ipv6Block = ([u16; 8], u32, Reach, &'static str);

const IPV6: &[Ipv6Block] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Local, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Local, "loopback"),
    (
        [0x2001, 1, 0, 0, 0, 0, 0, 1],
        128,
        Global,
        "Port Control Protocol anycast",
    ),
    ([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, Global, "TURN anycast"),
    ([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, Global, "DNS-SD anycast"),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Local, "IPv4-mapped"),
    (
        [0x64, 0xff9b, 0, 0, 0, 0, 0, 0],
        96,
        Global,
        "IPv4-IPv6 translation",
    ),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Local, "discard-only"),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Local, "dummy prefix"),
    (
        [0x64, 0xff9b, 1, 0, 0, 0, 0, 0],
        48,
        Local,
        "IPv4-IPv6 translation",
    ),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Local, "benchmarking"),
    ([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, Global, "AS112"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Global, "Teredo"),
    ([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, Global, "AMT"),
    (
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
        32,
        Local,
        "documentation",
    ),
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, Global, "ORCHID"),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, Global, "ORCHIDv2"),
    (
        [0x2001, 0x30, 0, 0, 0, 0, 0, 0],
        28,
        Global,
        "drone remote identification",
    ),
    (
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        23,
        Local,
        "IETF protocol assignments",
    ),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Local, "documentation"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Local, "segment routing"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Local, "link-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Local, "multicast"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Local, "unique-local"),
];

/// The purpose of the address, if nobody reaches it over the public Internet. An
/// IPv4-mapped IPv6 address counts as IPv4.
pub fn special_purpose(address: IpAddr) -> Option<&'static str> {
    let (reach, name) = match address.to_canonical() {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            let mut blocks = IPV4.iter();
            let (_, _, reach, name) = blocks.find(|(first, length, ..)| {
                let first = u32::from_be_bytes(*first);
                (bits ^ first).leading_zeros() >= *length
            })?;
            (*reach, *name)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let mut blocks = IPV6.iter();
            let (_, _, reach, name) = blocks.find(|(first, length, ..)| {
                let first = std::net::Ipv6Addr::from(*first).to_bits();
                (bits ^ first).leading_zeros() >= *length
            })?;
            (*reach, *name)
        }
    };
    (reach == Local).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(text: &str) -> Option<&'static str> {
        special_purpose(text.parse().unwrap())
    }

    #[test]
    fn what_nobody_outside_reaches_is_special_to_the_last_address() {
        for (inside, outside, name) in [
            (
                &["0.0.0.0", "0.255.255.255"][..],
                &["1.0.0.0"][..],
                "this network",
            ),
            (
                &["10.0.0.0", "10.255.255.255"],
                &["9.255.255.255", "11.0.0.0"],
                "private use",
            ),
            (
                &["172.16.0.0", "172.31.255.255"],
                &["172.15.255.255", "172.32.0.0"],
                "private use",
            ),
            (
                &["192.168.0.0", "192.168.255.255"],
                &["192.167.255.255", "192.169.0.0"],
                "private use",
            ),
            (
                &["100.64.0.0", "100.127.255.255"],
                &["100.63.255.255", "100.128.0.0"],
                "shared address space",
            ),
            (
                &["127.0.0.0", "127.255.255.255"],
                &["126.255.255.255", "128.0.0.0"],
                "loopback",
            ),
            (
                &["169.254.0.0", "169.254.255.255"],
                &["169.253.255.255", "169.255.0.0"],
                "link-local",
            ),
            (
                &["192.0.0.0", "192.0.0.8", "192.0.0.170", "192.0.0.255"],
                &["191.255.255.255", "192.0.1.0", "192.0.0.9", "192.0.0.10"],
                "IETF protocol assignments",
            ),
            (
                &["192.0.2.0", "198.51.100.255", "203.0.113.7"],
                &["192.0.3.0", "198.51.101.0", "203.0.112.255"],
                "documentation",
            ),
            (
                &["198.18.0.0", "198.19.255.255"],
                &["198.17.255.255", "198.20.0.0"],
                "benchmarking",
            ),
            (
                &["224.0.0.0", "239.255.255.255"],
                &["223.255.255.255"],
                "multicast",
            ),
            (&["240.0.0.0", "255.255.255.254"], &[], "reserved"),
            (&["255.255.255.255"], &[], "limited broadcast"),
            (&["::"], &["::2"], "unspecified"),
            (&["::1"], &[], "loopback"),
            (
                &["100::", "100::ffff:ffff:ffff:ffff"],
                &["101::", "100:0:0:2::"],
                "discard-only",
            ),
            (&["100:0:0:1::"], &[], "dummy prefix"),
            (
                &["64:ff9b:1::"],
                &["64:ff9b::c000:1", "64:ff9b:2::"],
                "IPv4-IPv6 translation",
            ),
            (
                &["2001:5::", "2001:1ff:ffff::", "2001:1::4"],
                &["2001:200::", "2000:ffff::"],
                "IETF protocol assignments",
            ),
            (
                &["2001:2::"],
                &[
                    "2001::1",
                    "2001:1::1",
                    "2001:3::",
                    "2001:4:112::",
                    "2001:10::",
                    "2001:20::",
                    "2001:3f:ffff::",
                ],
                "benchmarking",
            ),
            (
                &["2001:db8::", "2001:db8:ffff::", "3fff::", "3fff:fff::"],
                &["2001:db9::", "3fff:1000::", "3ffe::"],
                "documentation",
            ),
            (&["5f00::"], &["5eff::", "5f01::"], "segment routing"),
            (
                &["fc00::", "fdff::1"],
                &["fbff::", "fe00::"],
                "unique-local",
            ),
            (&["fe80::", "febf::1"], &["fec0::"], "link-local"),
            (&["ff02::1", "ffff::"], &[], "multicast"),
        ] {
            for address in inside {
                assert_eq!(purpose(address), Some(name), "{address}");
            }
            for address in outside {
                assert_eq!(purpose(address), None, "{address}");
            }
        }
        // 6to4 and IPv4-mapped addresses, and some of the world.
        for address in [
            "2002:c000:201::",
            "2a00:1450::1",
            "2620:4f:8000::",
            "192.88.99.1",
            "8.8.8.8",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(purpose(address), None, "{address}");
        }
        assert_eq!(purpose("::ffff:10.1.2.3"), Some("private use"));
    }

    #[test]
    fn more_specific_blocks_come_first() {
        assert!(IPV4.is_sorted_by_key(|(_, length, ..)| std::cmp::Reverse(*length)));
        assert!(IPV6.is_sorted_by_key(|(_, length, ..)| std::cmp::Reverse(*length)));
        for (first, length, _, name) in IPV4 {
            let host = u32::MAX.checked_shr(*length).unwrap_or(0);
            assert_eq!(u32::from_be_bytes(*first) & host, 0, "{name}");
        }
        for (first, length, _, name) in IPV6 {
            let host = u128::MAX.checked_shr(*length).unwrap_or(0);
            assert_eq!(
                std::net::Ipv6Addr::from(*first).to_bits() & host,
                0,
                "{name}"
            );
        }
    }
}
