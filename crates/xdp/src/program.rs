//! The program that the kernel runs for each frame that arrives, as instructions.
//!
//! It redirects whole UDP datagrams for the configured addresses and ports to the socket of
//! the queue on which they arrived, and passes everything else to the kernel's network
//! stack: frames to another MAC address, with another tag or none, fragments, IP options,
//! extension headers, and frames that are too long for a frame of the sockets' memory. When
//! a queue has no socket, `bpf_redirect_map` passes them as well: "The lower two bits of
//! *flags* are used as the return code if the map lookup fails" (bpf-helpers(7)).
//!
//! Addresses and ports are part of the instructions, so a program has no data but the map of
//! sockets. Lengths and checksums are not checked here, but where datagrams are read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;

mod assembler;
#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod tests;

use assembler::{Assembler, Label, Register, Width};

/// Maximum number of addresses, each with a port, that a program redirects.
pub const MAX_TARGETS: usize = 64;

/// Length of the longest frame that is redirected: what the kernel can copy into a frame of
/// [`FRAME_LENGTH`](crate::FRAME_LENGTH), of which it reserves 256 bytes.
pub const MAX_REDIRECTED_LENGTH: usize = crate::FRAME_LENGTH - 256;

/// The highest number of a VLAN; 0 and 4095 are reserved (IEEE 802.1Q).
const MAX_VLAN: u16 = 4094;

/// What a program redirects. Only valid rules can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    mac: [u8; 6],
    vlan: Option<u16>,
    targets: Vec<SocketAddr>,
}

/// Why rules are not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Without an address, nothing is redirected.
    #[error("there is no address")]
    NoTarget,
    /// More than [`MAX_TARGETS`] addresses.
    #[error("there are more than {MAX_TARGETS} addresses")]
    TooManyTargets,
    /// An address that no single host has: on a router, 0.0.0.0 would also mean what it is
    /// to forward.
    #[error("{0} is not the address of a host")]
    NotOfHost(IpAddr),
    /// Port 0.
    #[error("port 0 is not a port")]
    PortZero,
    /// A VLAN outside 1 to 4094.
    #[error("{0} is not the number of a VLAN, which is from 1 to {MAX_VLAN}")]
    Vlan(u16),
}

impl Rules {
    /// Rules for an interface with this MAC address, for frames with the tag of `vlan`, or
    /// without a tag.
    ///
    /// # Errors
    ///
    /// See [`RulesError`].
    pub fn new(
        mac: [u8; 6],
        vlan: Option<u16>,
        targets: &[SocketAddr],
    ) -> Result<Self, RulesError> {
        if targets.is_empty() {
            return Err(RulesError::NoTarget);
        }
        if targets.len() > MAX_TARGETS {
            return Err(RulesError::TooManyTargets);
        }
        if let Some(vlan) = vlan.filter(|vlan| !(1..=MAX_VLAN).contains(vlan)) {
            return Err(RulesError::Vlan(vlan));
        }
        for target in targets {
            let address = target.ip();
            if address.is_unspecified() || address.is_multicast() || is_broadcast(address) {
                return Err(RulesError::NotOfHost(address));
            }
            if target.port() == 0 {
                return Err(RulesError::PortZero);
            }
        }
        // In this order, all ports of an address are beside each other.
        let mut targets = targets.to_vec();
        targets.sort_unstable();
        targets.dedup();
        Ok(Self { mac, vlan, targets })
    }

    /// Length of the Ethernet header of the frames that are redirected.
    fn link_length(&self) -> i16 {
        if self.vlan.is_some() { 18 } else { 14 }
    }

    /// The ports of each IPv4 address.
    fn ipv4(&self) -> Vec<(Ipv4Addr, Vec<u16>)> {
        group(&self.targets, |address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }

    /// The ports of each IPv6 address.
    fn ipv6(&self) -> Vec<(Ipv6Addr, Vec<u16>)> {
        group(&self.targets, |address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        })
    }
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

/// The ports of each address that `select` returns, in the order of the targets.
fn group<T: PartialEq>(
    targets: &[SocketAddr],
    select: impl Fn(IpAddr) -> Option<T>,
) -> Vec<(T, Vec<u16>)> {
    let mut groups: Vec<(T, Vec<u16>)> = Vec::new();
    for target in targets {
        let Some(address) = select(target.ip()) else {
            continue;
        };
        match groups.last_mut() {
            Some((last, ports)) if *last == address => ports.push(target.port()),
            _ => groups.push((address, vec![target.port()])),
        }
    }
    groups
}

// The fields of `struct xdp_md`, by their offset.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const RX_QUEUE_INDEX: i16 = 16;

/// The return code that passes a frame to the network stack.
const XDP_PASS: i32 = 2;

/// The number of the helper `bpf_redirect_map`.
const REDIRECT_MAP: i32 = 51;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const UDP: i32 = 17;

/// Length of the headers of IPv4 without options, of IPv6, and of UDP.
const IPV4_LENGTH: i16 = 20;
const IPV6_LENGTH: i16 = 40;
const UDP_LENGTH: i16 = 8;

/// Which registers have which value.
const CONTEXT: Register = Register::R6;
const FRAME: Register = Register::R2;
const END: Register = Register::R3;
const LIMIT: Register = Register::R4;
const FIELD: Register = Register::R5;
const PORT: Register = Register::R0;
/// The four words of an IPv6 address; IPv4 uses the first one.
const ADDRESS: [Register; 4] = [Register::R5, Register::R7, Register::R8, Register::R9];

/// The instructions for these rules, with the descriptor of a map of sockets.
#[must_use]
pub fn emit(rules: &Rules, map: RawFd) -> Vec<u64> {
    let mut code = Assembler::new();
    let (pass, redirect) = (code.label(), code.label());
    emit_link(&mut code, rules, pass);
    let network = rules.link_length();
    let (ipv4, ipv6) = (rules.ipv4(), rules.ipv6());
    if !ipv4.is_empty() {
        let other = if ipv6.is_empty() { pass } else { code.label() };
        code.jump_unless_equal(FIELD, network_order(ETHERTYPE_IPV4), other);
        emit_ipv4(&mut code, network, &ipv4, pass, redirect);
        if !ipv6.is_empty() {
            code.place(other);
        }
    }
    if !ipv6.is_empty() {
        code.jump_unless_equal(FIELD, network_order(ETHERTYPE_IPV6), pass);
        emit_ipv6(&mut code, network, &ipv6, pass, redirect);
    }

    code.place(redirect);
    code.load_map(Register::R1, map);
    code.load(Width::Word, Register::R2, CONTEXT, RX_QUEUE_INDEX);
    code.set(Register::R3, XDP_PASS);
    code.call(REDIRECT_MAP);
    code.exit();
    code.place(pass);
    code.set(Register::R0, XDP_PASS);
    code.exit();
    code.finish()
}

/// Checks the length of the frame and its Ethernet header, up to the type, which `FIELD` has
/// afterwards.
fn emit_link(code: &mut Assembler, rules: &Rules, pass: Label) {
    code.copy(CONTEXT, Register::R1);
    code.load(Width::Word, FRAME, Register::R1, DATA);
    code.load(Width::Word, END, Register::R1, DATA_END);
    code.copy(LIMIT, FRAME);
    code.add(LIMIT, MAX_REDIRECTED_LENGTH as i32 + 1);
    code.jump_if_at_least(END, LIMIT, pass);
    // The shortest frame that can be redirected has IPv4.
    let shortest = rules.link_length() + IPV4_LENGTH + UDP_LENGTH;
    code.copy(LIMIT, FRAME);
    code.add(LIMIT, shortest.into());
    code.jump_if_greater(LIMIT, END, pass);

    // Halves are aligned everywhere.
    for (offset, half) in (0..).step_by(2).zip(rules.mac.chunks_exact(2)) {
        code.load(Width::Half, FIELD, FRAME, offset);
        code.jump_unless_equal(FIELD, u16::from_ne_bytes([half[0], half[1]]).into(), pass);
    }
    if let Some(vlan) = rules.vlan {
        code.load(Width::Half, FIELD, FRAME, 12);
        code.jump_unless_equal(FIELD, network_order(ETHERTYPE_VLAN), pass);
        // The other bits are priorities.
        code.load(Width::Half, FIELD, FRAME, 14);
        code.and(FIELD, network_order(0x0fff));
        code.jump_unless_equal(FIELD, network_order(vlan), pass);
    }
    code.load(Width::Half, FIELD, FRAME, rules.link_length() - 2);
}

fn emit_ipv4(
    code: &mut Assembler,
    network: i16,
    targets: &[(Ipv4Addr, Vec<u16>)],
    pass: Label,
    redirect: Label,
) {
    // Version 4, and a header of five words: no options.
    code.load(Width::Byte, FIELD, FRAME, network);
    code.jump_unless_equal(FIELD, 0x45, pass);
    // "More fragments", and the offset of the fragment.
    code.load(Width::Half, FIELD, FRAME, network + 6);
    code.and(FIELD, network_order(0x3fff));
    code.jump_unless_equal(FIELD, 0, pass);
    code.load(Width::Byte, FIELD, FRAME, network + 9);
    code.jump_unless_equal(FIELD, UDP, pass);
    code.load(Width::Word, ADDRESS[0], FRAME, network + 16);
    code.load(Width::Half, PORT, FRAME, network + IPV4_LENGTH + 2);
    for (address, ports) in targets {
        let next = code.label();
        let address = i32::from_ne_bytes(address.octets());
        code.jump_unless_equal(ADDRESS[0], address, next);
        emit_ports(code, ports, pass, redirect);
        code.place(next);
    }
    code.jump(pass);
}

fn emit_ipv6(
    code: &mut Assembler,
    network: i16,
    targets: &[(Ipv6Addr, Vec<u16>)],
    pass: Label,
    redirect: Label,
) {
    code.copy(LIMIT, FRAME);
    code.add(LIMIT, (network + IPV6_LENGTH + UDP_LENGTH).into());
    code.jump_if_greater(LIMIT, END, pass);
    code.load(Width::Byte, FIELD, FRAME, network);
    code.and(FIELD, 0xf0);
    code.jump_unless_equal(FIELD, 0x60, pass);
    // UDP follows immediately: there is no extension header, so this is no fragment.
    code.load(Width::Byte, FIELD, FRAME, network + 6);
    code.jump_unless_equal(FIELD, UDP, pass);
    for (offset, register) in (24..).step_by(4).zip(ADDRESS) {
        code.load(Width::Word, register, FRAME, network + offset);
    }
    code.load(Width::Half, PORT, FRAME, network + IPV6_LENGTH + 2);
    for (address, ports) in targets {
        let next = code.label();
        for (register, word) in ADDRESS.into_iter().zip(address.octets().chunks_exact(4)) {
            let word = i32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            code.jump_unless_equal(register, word, next);
        }
        emit_ports(code, ports, pass, redirect);
        code.place(next);
    }
    code.jump(pass);
}

fn emit_ports(code: &mut Assembler, ports: &[u16], pass: Label, redirect: Label) {
    for port in ports {
        code.jump_if_equal(PORT, network_order(*port), redirect);
    }
    code.jump(pass);
}

/// The number that a load of these two bytes from a frame returns.
fn network_order(value: u16) -> i32 {
    value.to_be().into()
}
