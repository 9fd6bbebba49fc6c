//! Invariants for all lists of banned addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aquatic_policy::AddressRanges;
use aquatic_policy::bans::{BanLine, BannedRange, BansBuilder};

/// Longer lists are compared with a plain one only so far.
const MAX_RANGES: usize = 200;

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let mut ranges = Vec::new();
    let mut builder = BansBuilder::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        match BanLine::parse(line) {
            Ok(BanLine::Banned(range)) if ranges.len() < MAX_RANGES => {
                is_in_order(range);
                ranges.push(range);
                builder.add(range);
            }
            Ok(_) => {}
            // It goes to the log.
            Err(error) => {
                let text = error.to_string();
                assert!(text.len() < 1_000, "{text}");
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
        // Comments and white space change nothing.
        let spaced = [b" \t", line, b"\r"].concat();
        assert_eq!(BanLine::parse(&spaced), BanLine::parse(line));
    }
    assert!(builder.duplicates() <= ranges.len());
    let bans = builder.build(&AddressRanges::default());
    assert!(bans.len() <= ranges.len());
    for range in &ranges {
        for probe in probes(*range) {
            let expected = ranges.iter().any(|range| has(*range, probe));
            assert_eq!(bans.contains(probe), expected, "{probe} in {ranges:?}");
        }
    }
}

fn is_in_order(range: BannedRange) {
    match range {
        BannedRange::Ipv4([first, last]) => assert!(first <= last),
        BannedRange::Ipv6([first, last]) => assert!(first <= last),
    }
}

fn has(range: BannedRange, address: IpAddr) -> bool {
    match (range, address.to_canonical()) {
        (BannedRange::Ipv4([first, last]), IpAddr::V4(address)) => {
            (first..=last).contains(&address.to_bits())
        }
        (BannedRange::Ipv6([first, last]), IpAddr::V6(address)) => {
            (first..=last).contains(&address.to_bits())
        }
        _ => false,
    }
}

/// The ends of a range, and the addresses beside them.
fn probes(range: BannedRange) -> Vec<IpAddr> {
    match range {
        BannedRange::Ipv4(ends) => {
            let near = |end: u32| [end.wrapping_sub(1), end, end.wrapping_add(1)];
            let near = ends.into_iter().flat_map(near);
            near.map(|bits| Ipv4Addr::from_bits(bits).into()).collect()
        }
        BannedRange::Ipv6(ends) => {
            let near = |end: u128| [end.wrapping_sub(1), end, end.wrapping_add(1)];
            let near = ends.into_iter().flat_map(near);
            near.map(|bits| Ipv6Addr::from_bits(bits).into()).collect()
        }
    }
}
