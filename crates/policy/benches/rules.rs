//! What rules cost for one request: `cargo bench -p aquatic_policy`, on a machine that does
//! nothing else. Each line has the median of many parts.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use aquatic_policy::AddressRanges;
use aquatic_policy::bans::{BannedRange, Bans, BansBuilder};
use aquatic_policy::rates::{Limit, Limiter};

/// Look-ups of a part.
const PART: usize = 4_096;

const RANGES: usize = 500_000;

fn main() {
    let mut random = fastrand::Rng::with_seed(7);
    let ipv4: Vec<u32> = (0..RANGES).map(|_| random.u32(..) & !0xff).collect();
    let ipv6: Vec<u128> = (0..RANGES).map(|_| network(&mut random)).collect();

    let bans = bans(
        ipv4.iter()
            .map(|start| BannedRange::Ipv4([*start, start + 199])),
    );
    let bounds = ipv4.iter().map(|start| Ipv4Addr::from_bits(start + 199));
    let anywhere = (0..RANGES).map(|_| Ipv4Addr::from_bits(random.u32(..)));
    let addresses = mixed(bounds.map(IpAddr::V4), anywhere.map(IpAddr::V4));
    report("a ban of IPv4, in 500,000", &addresses, |it| {
        bans.contains(it)
    });

    let end = |start: &u128| start | ((1 << 80) - 1);
    let bans = self::bans(
        ipv6.iter()
            .map(|start| BannedRange::Ipv6([*start, end(start)])),
    );
    let bounds = ipv6.iter().map(|start| Ipv6Addr::from_bits(end(start)));
    let anywhere = (0..RANGES).map(|_| Ipv6Addr::from_bits(network(&mut random)));
    let addresses = mixed(bounds.map(IpAddr::V6), anywhere.map(IpAddr::V6));
    report("a ban of IPv6, in 500,000", &addresses, |it| {
        bans.contains(it)
    });

    let (limiter, limit) = (Limiter::new([1; 16]), Limit::new(1, 600));
    report("a request of a limited source", &addresses, |it| {
        limiter.allows(&limit, it, 0)
    });
}

fn bans(ranges: impl Iterator<Item = BannedRange>) -> Bans {
    let mut builder = BansBuilder::default();
    ranges.for_each(|range| builder.add(range));
    builder.build(&AddressRanges::default())
}

/// A network as they are assigned to providers, or a part of one.
fn network(random: &mut fastrand::Rng) -> u128 {
    let top: u128 = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c0f][random.usize(..6)];
    let second = u128::from(random.u16(..));
    let third = u128::from(random.u16(..));
    (top + u128::from(random.u8(..16))) << 112 | second << 96 | third << 80
}

fn mixed(
    bounds: impl Iterator<Item = IpAddr>,
    anywhere: impl Iterator<Item = IpAddr>,
) -> Vec<IpAddr> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut addresses: Vec<IpAddr> = bounds.chain(anywhere).collect();
    random.shuffle(&mut addresses);
    addresses
}

fn report(what: &str, addresses: &[IpAddr], mut look_up: impl FnMut(IpAddr) -> bool) {
    let mut parts: Vec<f64> = addresses
        .chunks_exact(PART)
        .map(|part| {
            let started = Instant::now();
            black_box(part.iter().filter(|it| look_up(**it)).count());
            started.elapsed().as_nanos() as f64 / PART as f64
        })
        .collect();
    parts.sort_by(f64::total_cmp);
    println!("{what}: {:.1} ns", parts[parts.len() / 2]);
}
