//! Programs, compared with a description of what is to be redirected, in an interpreter and,
//! as root, in the kernel.

use std::os::fd::AsRawFd;

use super::interpreter::{self, XDP_REDIRECT};
use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Rules with some targets of each family, or of one.
fn rules(random: &mut fastrand::Rng) -> Rules {
    let pool = ADDRESSES.map(|address| address.parse::<IpAddr>().unwrap());
    let families = random.u8(0..3);
    let mut targets = Vec::new();
    while targets.is_empty() {
        for _ in 0..random.usize(1..9) {
            let address = pool[random.usize(..pool.len())];
            let wanted = families == 2 || address.is_ipv4() == (families == 0);
            if wanted {
                targets.push(SocketAddr::new(address, PORTS[random.usize(..PORTS.len())]));
            }
        }
    }
    let vlan = random.bool().then(|| random.u16(1..=4094));
    Rules::new(MAC, vlan, &targets).unwrap()
}

/// Addresses that differ in one word only, or one bit, are among them.
const ADDRESSES: [&str; 8] = [
    "192.0.2.1",
    "192.0.2.2",
    "255.0.0.128",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:0:1::1",
    "2001:db8::1:0:1",
    "fd77:8000::1",
];

const PORTS: [u16; 4] = [3000, 3001, 47115, 65535];

/// What the program is to redirect, in the words of the formats.
fn is_redirected(rules: &Rules, frame: &[u8]) -> bool {
    let whole = || -> Option<bool> {
        let (link, tag) = match rules.vlan {
            None => (frame.get(..14)?, true),
            Some(vlan) => {
                let link = frame.get(..18)?;
                let tag = u16::from_be_bytes([link[14], link[15]]) & 0x0fff;
                (link, link[12..14] == [0x81, 0x00] && tag == vlan)
            }
        };
        let kind = u16::from_be_bytes(*link.last_chunk()?);
        let network = &frame[link.len()..];
        let (address, transport): (IpAddr, _) = match kind {
            0x0800 => {
                let (header, transport) = network.split_first_chunk::<20>()?;
                let is_fragment = header[6] & 0x20 != 0 || header[6] & 0x1f != 0 || header[7] != 0;
                if header[0] != 0x45 || is_fragment || header[9] != 17 {
                    return None;
                }
                (<[u8; 4]>::try_from(&header[16..]).ok()?.into(), transport)
            }
            0x86dd => {
                let (header, transport) = network.split_first_chunk::<40>()?;
                if header[0] >> 4 != 6 || header[6] != 17 {
                    return None;
                }
                (<[u8; 16]>::try_from(&header[24..]).ok()?.into(), transport)
            }
            _ => return None,
        };
        let port = u16::from_be_bytes([*transport.get(2)?, *transport.get(3)?]);
        let is_target = rules.targets.contains(&SocketAddr::new(address, port));
        let fits = transport.len() >= 8 && frame.len() <= MAX_REDIRECTED_LENGTH;
        Some(fits && tag && is_target && link[..6] == rules.mac)
    };
    whole().unwrap_or(false)
}

/// A frame that the rules redirect.
fn good_frame(rules: &Rules, random: &mut fastrand::Rng) -> Vec<u8> {
    let target = rules.targets[random.usize(..rules.targets.len())];
    let mut frame = MAC.to_vec();
    frame.extend([2, 0, 0, 0, 0, 9]);
    if let Some(vlan) = rules.vlan {
        frame.extend([0x81, 0x00]);
        let priority = random.u16(0..16) << 12;
        frame.extend((vlan | priority).to_be_bytes());
    }
    match target.ip() {
        IpAddr::V4(address) => {
            frame.extend([
                8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 198, 51, 100, 7,
            ]);
            frame.extend(address.octets());
        }
        IpAddr::V6(address) => {
            frame.extend([0x86, 0xdd, 0x60, random.u8(..), 0, 0, 0, 0, 17, 64]);
            frame.extend([random.u8(..); 16]);
            frame.extend(address.octets());
        }
    }
    frame.extend(random.u16(..).to_be_bytes());
    frame.extend(target.port().to_be_bytes());
    frame.extend([0; 4]);
    let payload = random.usize(..64);
    frame.extend((0..payload).map(|_| random.u8(..)));
    frame
}

/// A frame that is good but for something.
fn hostile_frame(rules: &Rules, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut frame = good_frame(rules, random);
    let headers = frame.len().min(70);
    for _ in 0..random.usize(..3) {
        match random.u8(..10) {
            0 => frame.truncate(random.usize(..=frame.len())),
            1 => {
                // Around the length from which on frames are passed.
                let length = MAX_REDIRECTED_LENGTH - 2 + random.usize(..5);
                frame.resize(length, 0);
            }
            2 if frame.len() > 6 => frame[..6].copy_from_slice(&OTHER_MAC),
            3 if frame.len() > 24 => frame[random.usize(12..24)] ^= 1 << random.u8(..8),
            4 if frame.len() > 18 => {
                // A tag more, or of another kind.
                let kind = [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]][random.usize(..3)];
                let tag = [kind[0], kind[1], 0, random.u8(..)];
                frame.splice(12..12, tag);
            }
            5 if frame.len() > 18 => drop(frame.drain(12..16)),
            6 => frame[..].iter_mut().take(6).for_each(|byte| *byte = 0xff),
            _ if !frame.is_empty() => {
                let place = random.usize(..headers.min(frame.len()));
                frame[place] ^= 1 << random.u8(..8);
            }
            _ => {}
        }
    }
    frame
}

#[test]
fn what_is_redirected_is_what_is_described() {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut redirected, mut passed) = (0, 0);
    for _ in 0..500 {
        let rules = rules(&mut random);
        let program = emit(&rules, 77);
        for _ in 0..200 {
            let frame = hostile_frame(&rules, &mut random);
            let expected = is_redirected(&rules, &frame);
            let queue = random.u32(..4);
            let code = interpreter::run(&program, 77, &frame, queue, 2);
            let has_socket = queue < 2;
            assert_eq!(
                code == XDP_REDIRECT,
                expected && has_socket,
                "{rules:?} {frame:x?}"
            );
            assert!(code == XDP_REDIRECT || code == XDP_PASS as u64);
            *(if expected {
                &mut redirected
            } else {
                &mut passed
            }) += 1;
        }
    }
    assert!(
        redirected > 10_000 && passed > 10_000,
        "{redirected} {passed}"
    );
}

#[test]
fn each_bit_of_the_headers_counts_as_described() {
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..50 {
        let rules = rules(&mut random);
        let program = emit(&rules, 3);
        let frame = good_frame(&rules, &mut random);
        assert!(is_redirected(&rules, &frame));
        for length in 0..frame.len() {
            let code = interpreter::run(&program, 3, &frame[..length], 0, 1);
            assert_eq!(
                code == XDP_REDIRECT,
                is_redirected(&rules, &frame[..length])
            );
        }
        for bit in 0..frame.len() * 8 {
            let mut frame = frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            let code = interpreter::run(&program, 3, &frame, 0, 1);
            assert_eq!(
                code == XDP_REDIRECT,
                is_redirected(&rules, &frame),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn the_kernel_redirects_what_is_described() {
    if !aquatic_test_harness::tools::needs_root() {
        return;
    }
    let mut random = fastrand::Rng::with_seed(7);
    let (mut redirected, mut passed) = (0, 0);
    for _ in 0..40 {
        let rules = rules(&mut random);
        let map = crate::bpf::create_socket_map(1).unwrap();
        let socket = crate::system::xdp_socket().unwrap();
        crate::bpf::set(&map, 0, &socket).unwrap();
        let program = crate::bpf::load(&emit(&rules, map.as_raw_fd())).unwrap();
        for _ in 0..200 {
            let frame = hostile_frame(&rules, &mut random);
            // The kernel runs a program on nothing shorter.
            if frame.len() < 14 {
                continue;
            }
            let expected = is_redirected(&rules, &frame);
            let code = crate::bpf::test_run(&program, &frame).unwrap();
            assert_eq!(
                u64::from(code) == XDP_REDIRECT,
                expected,
                "{rules:?} {frame:x?}"
            );
            *(if expected {
                &mut redirected
            } else {
                &mut passed
            }) += 1;
        }
        crate::bpf::clear(&map, 0).unwrap();
        let frame = good_frame(&rules, &mut random);
        let code = crate::bpf::test_run(&program, &frame).unwrap();
        assert_eq!(code, XDP_PASS as u32, "no socket");
    }
    assert!(redirected > 500 && passed > 500, "{redirected} {passed}");
}

#[test]
fn the_kernel_takes_a_program_of_as_many_addresses_as_there_may_be() {
    let targets: Vec<SocketAddr> = (0..MAX_TARGETS as u16)
        .map(|number| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, number], 3000)))
        .collect();
    let rules = Rules::new(MAC, Some(4094), &targets).unwrap();
    let frame = good_frame(&rules, &mut fastrand::Rng::with_seed(1));
    assert_eq!(
        interpreter::run(&emit(&rules, 9), 9, &frame, 0, 1),
        XDP_REDIRECT
    );
    if !aquatic_test_harness::tools::needs_root() {
        return;
    }
    let map = crate::bpf::create_socket_map(1).unwrap();
    crate::bpf::load(&emit(&rules, map.as_raw_fd())).unwrap();
}

#[test]
fn rules_are_checked() {
    let make = |vlan, targets: &[&str]| {
        let targets: Vec<SocketAddr> = targets.iter().map(|text| text.parse().unwrap()).collect();
        Rules::new(MAC, vlan, &targets).unwrap_err()
    };
    assert_eq!(make(None, &[]), RulesError::NoTarget);
    assert_eq!(make(None, &["192.0.2.1:1"; 65]), RulesError::TooManyTargets);
    for address in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
        let address: IpAddr = address.parse().unwrap();
        let target = SocketAddr::new(address, 1).to_string();
        assert_eq!(make(None, &[&target]), RulesError::NotOfHost(address));
    }
    assert_eq!(make(None, &["192.0.2.1:0"]), RulesError::PortZero);
    for vlan in [0, 4095, u16::MAX] {
        assert_eq!(make(Some(vlan), &["192.0.2.1:1"]), RulesError::Vlan(vlan));
    }
}
