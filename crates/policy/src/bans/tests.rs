//! Bans, compared with a list that is searched from its start, and lines of lists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

fn builder(lines: &[&str]) -> BansBuilder {
    let mut builder = BansBuilder::default();
    for line in lines {
        match BanLine::parse(line.as_bytes()) {
            Ok(BanLine::Banned(range)) => builder.add(range),
            Ok(BanLine::Allowed | BanLine::Nothing) => {}
            Err(error) => panic!("{line}: {error}"),
        }
    }
    builder
}

fn bans(lines: &[&str]) -> Bans {
    builder(lines).build(&AddressRanges::default())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn each_format_means_its_addresses() {
    let cases: &[(&str, &str, &str)] = &[
        ("192.0.2.0/24", "192.0.2.0", "192.0.2.255"),
        (" 192.0.2.7\t", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.7"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("192.0.2.1-192.0.2.9", "192.0.2.1", "192.0.2.9"),
        ("192.0.2.1 - 192.0.2.9 # a remark", "192.0.2.1", "192.0.2.9"),
        ("192.0.2.0/24 ; SBL1", "192.0.2.0", "192.0.2.255"),
        ("192.000.002.010", "192.0.2.10", "192.0.2.10"),
        ("Some one:192.0.2.1-192.0.2.9", "192.0.2.1", "192.0.2.9"),
        (
            "a, b: c - d;#:192.0.2.1-192.000.002.009",
            "192.0.2.1",
            "192.0.2.9",
        ),
        (":192.0.2.1-192.0.2.9", "192.0.2.1", "192.0.2.9"),
        ("Six:2001:db8::1-2001:db8::9", "2001:db8::1", "2001:db8::9"),
        (
            "192.000.002.001 - 192.000.002.009 , 000 , Some, one: x-y",
            "192.0.2.1",
            "192.0.2.9",
        ),
        ("192.0.2.1-192.0.2.9,127", "192.0.2.1", "192.0.2.9"),
        (
            "2001:db8::1 - 2001:db8::9 , 7 , x",
            "2001:db8::1",
            "2001:db8::9",
        ),
        (
            "2001:db8::/32",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        ),
        ("::1", "::1", "::1"),
        ("::ffff:192.0.2.0/120", "192.0.2.0", "192.0.2.255"),
        ("::ffff:192.0.2.1-192.0.2.3", "192.0.2.1", "192.0.2.3"),
    ];
    for (line, first, last) in cases {
        let expected = match (ip(first), ip(last)) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                BannedRange::Ipv4([first, last].map(Ipv4Addr::to_bits))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                BannedRange::Ipv6([first, last].map(Ipv6Addr::to_bits))
            }
            _ => unreachable!("{line}"),
        };
        assert_eq!(
            BanLine::parse(line.as_bytes()),
            Ok(BanLine::Banned(expected)),
            "{line}"
        );
    }
    // Names of lists in Latin-1 and with control characters.
    let odd = BanLine::parse(b"caf\xe9 \x07:192.0.2.1-192.0.2.1").unwrap();
    assert_eq!(odd, BanLine::Banned(BannedRange::Ipv4([0xc000_0201; 2])));
    for nothing in [
        "",
        " \t ",
        "# 192.0.2.1",
        "// x:192.0.2.1-192.0.2.1",
        "; y",
        "  #",
    ] {
        assert_eq!(
            BanLine::parse(nothing.as_bytes()),
            Ok(BanLine::Nothing),
            "{nothing}"
        );
    }
    for allowed in [
        "192.0.2.1 - 192.0.2.9 , 128 , x",
        "192.0.2.1 - 192.0.2.9 , 255",
    ] {
        assert_eq!(
            BanLine::parse(allowed.as_bytes()),
            Ok(BanLine::Allowed),
            "{allowed}"
        );
    }
}

#[test]
fn mistakes_are_named() {
    let error = |line: &str| BanLine::parse(line.as_bytes()).unwrap_err().to_string();
    for unknown in [
        "hello",
        "192.0.2",
        "192.0.2.1.2",
        "192.0.2.256",
        "192.0.2.0001",
        "192.0.2.-1",
        "+1.2.3.4",
        "192.0.2.1-",
        "192.0.2.1 192.0.2.2",
        "192.0.2.1, 100, x",
        "x:192.0.2.1",
        ":",
        "fe80::1%eth0",
        "2001:db8::g",
        "\u{1f}\u{8b}",
    ] {
        assert!(
            error(unknown).starts_with("expected an address, a network"),
            "{unknown}"
        );
    }
    assert!(error("hell\u{1b}o\u{7}").ends_with(r#"not "hell\u{1b}o\u{7}""#));
    let long = error(&"x".repeat(4_000));
    assert!(long.len() < 300, "{long}");
    assert_eq!(
        error("192.0.2.0/33"),
        "\"33\" is no prefix length; expected 0 to 32"
    );
    assert_eq!(
        error("192.0.2.0/"),
        "\"\" is no prefix length; expected 0 to 32"
    );
    assert_eq!(
        error("192.0.2.0/99999999999999999999"),
        "\"99999999999999999999\" is no prefix length; expected 0 to 32"
    );
    assert_eq!(
        error("2001:db8::/129"),
        "\"129\" is no prefix length; expected 0 to 128"
    );
    assert_eq!(
        error("10.1.2.3/8"),
        "10.1.2.3/8 has bits beyond the prefix; expected 10.0.0.0/8"
    );
    assert_eq!(
        error("2001:db8::1/32"),
        "2001:db8::1/32 has bits beyond the prefix; expected 2001:db8::/32"
    );
    for reversed in [
        "192.0.2.9-192.0.2.1",
        "x:192.0.2.9-192.0.2.1",
        "192.0.2.9 - 192.0.2.1 , 0 , x",
    ] {
        assert_eq!(
            error(reversed),
            "the range from 192.0.2.9 to 192.0.2.1 ends before it begins"
        );
    }
    assert!(error("192.0.2.1-2001:db8::1").contains("are of different families"));
    for level in ["256", "", "x", "-1"] {
        let line = format!("192.0.2.1 - 192.0.2.9 , {level} , x");
        assert!(error(&line).contains("is no access level"), "{line}");
    }
}

#[test]
fn the_ends_of_the_address_space_are_like_others() {
    let all = bans(&["0.0.0.0/0"]);
    assert!(all.contains(ip("0.0.0.0")) && all.contains(ip("255.255.255.255")));
    assert!(all.contains(ip("::ffff:192.0.2.1")) && !all.contains(ip("::")));
    let ends = bans(&["0.0.0.0", "255.255.255.255", "::", "ffff::/16"]);
    assert_eq!(ends.len(), 4);
    for inside in ["0.0.0.0", "255.255.255.255", "::", "ffff::", "ffff:ffff::1"] {
        assert!(ends.contains(ip(inside)), "{inside}");
    }
    for outside in [
        "0.0.0.1",
        "255.255.255.254",
        "::1",
        "fffe:ffff::",
        "128.0.0.0",
    ] {
        assert!(!ends.contains(ip(outside)), "{outside}");
    }
    // Only the addresses of IPv6 in it, as with networks.
    let six = bans(&["::/0"]);
    assert!(six.contains(ip("::")) && six.contains(ip("ffff:ffff::1")));
    assert!(!six.contains(ip("192.0.2.1")) && !six.contains(ip("::ffff:192.0.2.1")));
    assert!(!Bans::default().contains(ip("0.0.0.0")) && !Bans::default().contains(ip("::")));
}

#[test]
fn ranges_that_overlap_or_adjoin_are_one() {
    let merged = |lines: &[&str]| bans(lines).len();
    assert_eq!(merged(&["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"]), 1);
    assert_eq!(merged(&["10.0.1.0/24", "10.0.0.0/24"]), 1);
    assert_eq!(merged(&["10.0.0.0/24", "10.0.2.0/24"]), 2);
    assert_eq!(merged(&["0.0.0.0/0", "255.255.255.255"]), 1);
    assert_eq!(merged(&["::/0", "ffff::/16"]), 1);
    assert_eq!(merged(&["0.0.0.0/1", "128.0.0.0/1", "8000::/1", "::/1"]), 2);
}

#[test]
fn exceptions_are_cut_out() {
    let except = |texts: &[&str]| -> AddressRanges {
        let ranges = texts
            .iter()
            .map(|text| text.parse::<crate::AddressRange>().unwrap());
        ranges.collect()
    };
    let lists = builder(&["10.0.0.0/8", "192.0.2.0-192.0.2.9", "2001:db8::/32"]);
    let own = except(&[
        "10.1.0.0/16",
        "192.0.2.0/31",
        "192.0.2.9",
        "2001:db8::/33",
        "::1",
    ]);
    let bans = lists.build(&own);
    for banned in [
        "10.0.255.255",
        "10.2.0.0",
        "192.0.2.2",
        "192.0.2.8",
        "2001:db8:8000::",
    ] {
        assert!(bans.contains(ip(banned)), "{banned}");
    }
    for kept in [
        "10.1.0.0",
        "10.1.255.255",
        "192.0.2.1",
        "192.0.2.9",
        "2001:db8::",
    ] {
        assert!(!bans.contains(ip(kept)), "{kept}");
    }
    assert!(
        builder(&["10.0.0.0/8"])
            .build(&except(&["0.0.0.0/0"]))
            .is_empty()
    );
    let rest = builder(&["0.0.0.0/0"]).build(&except(&["0.0.0.0/1", "255.255.255.255"]));
    assert!(rest.contains(ip("128.0.0.0")) && rest.contains(ip("255.255.255.254")));
    assert!(!rest.contains(ip("127.255.255.255")) && !rest.contains(ip("255.255.255.255")));
}

/// Random ranges of one kind: of any size, or close together, or at an end.
fn random_range(random: &mut fastrand::Rng, style: u32) -> [u32; 2] {
    let start = match style {
        0 => random.u32(..),
        1 => 0xc000_0200 + random.u32(..2_000),
        2 => u32::MAX - random.u32(..100),
        _ => random.u32(..100),
    };
    let length = match random.u32(..4) {
        0 => 0,
        1 => random.u32(..8),
        2 => random.u32(..1 << 10),
        _ => random.u32(..) >> random.u32(..32),
    };
    [start, start.saturating_add(length)]
}

#[test]
fn addresses_are_found_as_in_a_plain_list() {
    let seed = 0x5eed;
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..400 {
        let style = random.u32(..4);
        let count = random.usize(..[3, 40, 400][round % 3]);
        let lists: Vec<[u32; 2]> = (0..count)
            .map(|_| random_range(&mut random, style))
            .collect();
        let except: Vec<crate::AddressRange> = (0..random.usize(..4))
            .map(|_| {
                let length = random.u32(1..=32);
                let bits = random_range(&mut random, style)[0] >> (32 - length) << (32 - length);
                format!("{}/{length}", Ipv4Addr::from_bits(bits))
                    .parse()
                    .unwrap()
            })
            .collect();
        let own: AddressRanges = except.iter().copied().collect();
        // The same in IPv6: where both halves of an address matter, and in the last one.
        let shift = [96, 64, 48, 0][random.usize(..4)];
        let wide = |[first, last]: [u32; 2]| {
            let low = (1u128 << shift) - 1;
            [u128::from(first) << shift, u128::from(last) << shift | low]
        };
        let (mut four, mut six) = (BansBuilder::default(), BansBuilder::default());
        for range in &lists {
            four.add(BannedRange::Ipv4(*range));
            six.add(BannedRange::Ipv6(wide(*range)));
        }
        let (four, six) = (four.build(&own), six.build(&own));
        let edges = lists.iter().flatten().chain(&[0, u32::MAX]);
        let near = edges.flat_map(|edge| [edge.wrapping_sub(1), *edge, edge.wrapping_add(1)]);
        let near: Vec<u32> = near.collect();
        let probes = near.into_iter().chain((0..200).map(|_| random.u32(..)));
        for probe in probes {
            let listed = lists
                .iter()
                .any(|[first, last]| (*first..=*last).contains(&probe));
            let address = IpAddr::V4(Ipv4Addr::from_bits(probe));
            let expected = listed && !own.contains(address);
            assert_eq!(
                four.contains(address),
                expected,
                "{address} {lists:?} {except:?}"
            );
            let Some(bits) = u128::from(probe).checked_shl(shift) else {
                continue;
            };
            let address = Ipv6Addr::from_bits(bits);
            // Mapped addresses are IPv4.
            if address.to_ipv4_mapped().is_none() {
                assert_eq!(six.contains(address.into()), listed, "{address} {lists:?}");
            }
        }
        let kept = four.ipv4.all();
        let are_apart = |pair: &[[u32; 2]]| u64::from(pair[0][1]) + 1 < u64::from(pair[1][0]);
        assert!(
            kept.windows(2).all(are_apart),
            "not merged, or out of order: {kept:?}"
        );
    }
}

/// Ranges of IPv6 as blocklists have them: networks that were assigned to providers, and
/// some of their parts.
fn assigned(random: &mut fastrand::Rng) -> u128 {
    let top: u128 = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c0f][random.usize(..6)];
    let second = u128::from(random.u16(..));
    let third = u128::from(random.u16(..));
    (top + u128::from(random.u8(..16))) << 112 | second << 96 | third << 80
}

const KINDS: [&str; 5] = [
    "IPv4",
    "IPv4 in a /8",
    "IPv6",
    "IPv6 in a /29",
    "IPv6 pairs",
];

fn half_a_million(kind: &str) -> BansBuilder {
    let mut random = fastrand::Rng::with_seed(7);
    let mut builder = BansBuilder::default();
    for number in 0..500_000u32 {
        builder.add(match kind {
            "IPv4" => {
                let start = random.u32(..) & !0xff;
                BannedRange::Ipv4([start, start + random.u32(..200)])
            }
            // As many as possible in one place of a plain index of the first 16 bits.
            "IPv4 in a /8" => BannedRange::Ipv4([0x0a00_0000 + number * 32; 2]),
            "IPv6" => {
                let start = assigned(&mut random);
                BannedRange::Ipv6([start, start | ((1 << 80) - 1)])
            }
            "IPv6 in a /29" => {
                let start = 0x2a00 << 112 | u128::from(number) << 66;
                BannedRange::Ipv6([start, start | u128::from(u64::MAX)])
            }
            // Not whole networks.
            _ => {
                let start = assigned(&mut random) | 1;
                BannedRange::Ipv6([start, start + 1])
            }
        });
    }
    builder
}

#[test]
fn half_a_million_ranges_take_at_most_20_megabytes() {
    for kind in KINDS {
        let bans = half_a_million(kind).build(&AddressRanges::default());
        assert!(bans.len() > 450_000, "{kind}: {}", bans.len());
        let bytes = bans.memory_bytes();
        assert!(bytes <= 20_000_000, "{kind}: {bytes}");
    }
}
