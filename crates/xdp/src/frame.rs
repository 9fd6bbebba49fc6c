//! Requests in Ethernet frames, and the frames that answer them, without I/O.
//!
//! A request is a UDP datagram over IPv4 or IPv6 in one frame, with a VLAN tag or without,
//! as the [program](crate::program) redirects them. Nobody else has checked it, so it is
//! checked here as the kernel would: lengths, checksums, and sources that no host has. Its
//! answer goes back the same way, to the MAC address from which it came: it needs no
//! neighbour and no route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

mod checksum;
#[cfg(test)]
mod tests;

use checksum::Sum;

/// Length of the longest headers before the payload: Ethernet with a tag, IPv6, UDP.
pub const MAX_HEADERS_LENGTH: usize = TAGGED_LENGTH + IPV6_LENGTH + UDP_LENGTH;

const LINK_LENGTH: usize = 14;
const TAGGED_LENGTH: usize = 18;
const IPV4_LENGTH: usize = 20;
const IPV6_LENGTH: usize = 40;
const UDP_LENGTH: usize = 8;

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ETHERTYPE_VLAN: [u8; 2] = [0x81, 0x00];
const UDP: u8 = 17;

/// Version 4, and a header without options.
const IPV4_WITHOUT_OPTIONS: u8 = 0x45;

/// "Don't fragment": a datagram with this needs no identification (RFC 6864, section 4.1).
const DONT_FRAGMENT: u8 = 0x40;

/// The default of the kernel.
const HOP_LIMIT: u8 = 64;

/// A request in a frame: who asks whom, and where the payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The sender. Its port may be 0, to which nothing can be sent.
    pub source: SocketAddr,
    /// The address that was asked.
    pub destination: SocketAddr,
    /// Length of the Ethernet header.
    link_length: u8,
    payload_length: u16,
}

/// Why a frame is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is no whole UDP datagram, or its lengths contradict each other.
    Malformed,
    /// A checksum is wrong.
    Checksum,
    /// Its source is not the address of another host.
    Source,
}

impl Request {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// See [`Fault`].
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, Fault> {
        let (link, network) = split_link(frame).ok_or(Fault::Malformed)?;
        // A reply to a group would be multiplied by every switch.
        if link[6] & 1 != 0 {
            return Err(Fault::Source);
        }
        let (source, destination, datagram) = match *link {
            [.., a, b] if [a, b] == ETHERTYPE_IPV4 => parse_ipv4(network)?,
            [.., a, b] if [a, b] == ETHERTYPE_IPV6 => parse_ipv6(network)?,
            _ => return Err(Fault::Malformed),
        };
        if !is_of_host(source) || source == destination {
            return Err(Fault::Source);
        }
        let (header, _) = datagram.split_first_chunk().ok_or(Fault::Malformed)?;
        let [s0, s1, d0, d1, _, _, c0, c1]: [u8; UDP_LENGTH] = *header;
        if !is_intact(source, destination, datagram, [c0, c1]) {
            return Err(Fault::Checksum);
        }
        Ok(Self {
            source: SocketAddr::new(source, u16::from_be_bytes([s0, s1])),
            destination: SocketAddr::new(destination, u16::from_be_bytes([d0, d1])),
            link_length: link.len() as u8,
            // It is the UDP length less a constant.
            payload_length: (datagram.len() - UDP_LENGTH) as u16,
        })
    }

    /// Length of all headers: the offset of the payload, in the request as in its answer.
    #[inline]
    #[must_use]
    pub fn headers_length(&self) -> usize {
        usize::from(self.link_length) + self.network_length() + UDP_LENGTH
    }

    /// Where the payload is in the frame.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> Range<usize> {
        let start = self.headers_length();
        start..start + usize::from(self.payload_length)
    }

    /// Length of the IP packet of an answer with a payload of this length.
    #[inline]
    #[must_use]
    pub fn packet_length(&self, payload_length: usize) -> usize {
        self.network_length() + UDP_LENGTH + payload_length
    }

    /// Writes the headers of an answer before its payload, whose `payload_length` bytes are
    /// in `answer` at the offset [`headers_length`](Self::headers_length), and returns the
    /// length of the frame. `frame` is the one that was parsed.
    ///
    /// Returns nothing if one of the frames is too short.
    #[inline]
    pub fn write_answer(
        &self,
        frame: &[u8],
        answer: &mut [u8],
        payload_length: usize,
    ) -> Option<usize> {
        let link_length = usize::from(self.link_length);
        let length = self.headers_length().checked_add(payload_length)?;
        let link = frame.get(..link_length)?;
        let answer = answer.get_mut(..length)?;
        let udp_length = u16::try_from(UDP_LENGTH + payload_length).ok()?;

        let (answer_link, packet) = answer.split_at_mut(link_length);
        answer_link[..6].copy_from_slice(&link[6..12]);
        answer_link[6..12].copy_from_slice(&link[..6]);
        answer_link[12..].copy_from_slice(&link[12..]);

        let (network, datagram) = packet.split_at_mut(self.network_length());
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                write_ipv4(network, destination, source, udp_length)?;
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                write_ipv6(network, destination, source, udp_length);
            }
            // Both come from one header.
            _ => return None,
        }
        datagram[..2].copy_from_slice(&self.destination.port().to_be_bytes());
        datagram[2..4].copy_from_slice(&self.source.port().to_be_bytes());
        datagram[4..6].copy_from_slice(&udp_length.to_be_bytes());
        datagram[6..8].fill(0);
        let sum = pseudo_header(self.destination.ip(), self.source.ip(), udp_length).add(datagram);
        // RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
        let checksum = match sum.checksum() {
            [0, 0] => [0xff, 0xff],
            checksum => checksum,
        };
        datagram[6..8].copy_from_slice(&checksum);
        Some(length)
    }

    #[inline]
    fn network_length(&self) -> usize {
        if self.source.is_ipv4() {
            IPV4_LENGTH
        } else {
            IPV6_LENGTH
        }
    }
}

/// Splits a frame into its Ethernet header, which ends with the type, and the rest.
#[inline]
fn split_link(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let kind = frame.get(12..14)?;
    let length = if kind == ETHERTYPE_VLAN {
        TAGGED_LENGTH
    } else {
        LINK_LENGTH
    };
    frame.split_at_checked(length)
}

/// The source, the destination and the datagram of a packet.
type Packet<'a> = (IpAddr, IpAddr, &'a [u8]);

#[inline]
fn parse_ipv4(packet: &[u8]) -> Result<Packet<'_>, Fault> {
    let header: &[u8; IPV4_LENGTH] = packet.first_chunk().ok_or(Fault::Malformed)?;
    let [version, _, l0, l1, _, _, f0, f1, _, protocol, _, _, ..] = *header;
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    // The highest bit is reserved, the next one "don't fragment".
    let is_fragment = f0 & 0x3f != 0 || f1 != 0;
    if version != IPV4_WITHOUT_OPTIONS || protocol != UDP || is_fragment {
        return Err(Fault::Malformed);
    }
    // Short frames are padded after the packet.
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let payload = packet.get(IPV4_LENGTH..length).ok_or(Fault::Malformed)?;
    let datagram = split_datagram(payload).ok_or(Fault::Malformed)?;
    if !Sum::default().add(header).is_valid() {
        return Err(Fault::Checksum);
    }
    Ok((
        Ipv4Addr::from([s0, s1, s2, s3]).into(),
        Ipv4Addr::from([d0, d1, d2, d3]).into(),
        datagram,
    ))
}

#[inline]
fn parse_ipv6(packet: &[u8]) -> Result<Packet<'_>, Fault> {
    let (header, rest) = packet
        .split_first_chunk::<IPV6_LENGTH>()
        .ok_or(Fault::Malformed)?;
    let [version, _, _, _, l0, l1, next_header, ..] = *header;
    if version >> 4 != 6 || next_header != UDP {
        return Err(Fault::Malformed);
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let payload = rest.get(..length).ok_or(Fault::Malformed)?;
    let datagram = split_datagram(payload).ok_or(Fault::Malformed)?;
    let (source, destination) = header[8..].split_at(16);
    let address = |bytes: &[u8]| {
        let octets: [u8; 16] = bytes.try_into().map_err(|_| Fault::Malformed)?;
        Ok(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    Ok((address(source)?, address(destination)?, datagram))
}

/// The datagram of a packet, which may end before the packet does, as for the kernel.
#[inline]
fn split_datagram(payload: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*payload.get(4)?, *payload.get(5)?]));
    payload.get(..length).filter(|_| length >= UDP_LENGTH)
}

/// Whether an address may be that of another host. These are the sources that the kernel
/// drops, too, when they come from a network.
#[inline]
fn is_of_host(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => {
            !(source.octets()[0] == 0
                || source.is_loopback()
                || source.is_multicast()
                || source.is_broadcast())
        }
        IpAddr::V6(source) => {
            !(source.is_unspecified()
                || source.is_loopback()
                || source.is_multicast()
                || source.to_ipv4_mapped().is_some())
        }
    }
}

/// Whether the checksum of a datagram is valid, or is absent, or was left to the device.
///
/// A sender on the same machine, such as a container, leaves the sum of the pseudo-header in
/// the field (`CHECKSUM_PARTIAL` in the kernel), to which a device would add the rest. Who
/// sends that from elsewhere gains what a sum of zero gives: an unchecked datagram.
#[inline]
fn is_intact(source: IpAddr, destination: IpAddr, datagram: &[u8], checksum: [u8; 2]) -> bool {
    if checksum == [0, 0] {
        // RFC 768: "An all zero transmitted checksum value means that the transmitter
        // generated no checksum". RFC 8200, section 8.1: over IPv6, "must discard".
        return source.is_ipv4();
    }
    // It is at most as long as a packet.
    let pseudo = pseudo_header(source, destination, datagram.len() as u16);
    pseudo.add(datagram).is_valid() || pseudo.folded() == checksum
}

/// The sum of what UDP adds to what it checks.
#[inline]
fn pseudo_header(source: IpAddr, destination: IpAddr, udp_length: u16) -> Sum {
    let sum = Sum::default();
    let sum = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            sum.add(&source.octets()).add(&destination.octets())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            sum.add(&source.octets()).add(&destination.octets())
        }
        // Both come from one header.
        _ => sum,
    };
    sum.add(&udp_length.to_be_bytes()).add(&[0, UDP])
}

#[inline]
fn write_ipv4(
    header: &mut [u8],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    udp_length: u16,
) -> Option<()> {
    let [l0, l1] = udp_length.checked_add(IPV4_LENGTH as u16)?.to_be_bytes();
    let fixed = [
        IPV4_WITHOUT_OPTIONS,
        0,
        l0,
        l1,
        0,
        0,
        DONT_FRAGMENT,
        0,
        HOP_LIMIT,
        UDP,
        0,
        0,
    ];
    header[..12].copy_from_slice(&fixed);
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let checksum = Sum::default().add(header).checksum();
    header[10..12].copy_from_slice(&checksum);
    Some(())
}

#[inline]
fn write_ipv6(header: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr, udp_length: u16) {
    let [l0, l1] = udp_length.to_be_bytes();
    header[..8].copy_from_slice(&[0x60, 0, 0, 0, l0, l1, UDP, HOP_LIMIT]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&destination.octets());
}
