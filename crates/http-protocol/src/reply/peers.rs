//! Peers of an announce reply.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::writer::Reply;

/// Runs of peers as they are sent: address and port, both big-endian.
#[derive(Debug, Clone, Copy)]
pub enum Peers<'a> {
    /// 6 bytes each (BEP 23).
    Ipv4(&'a [&'a [[u8; 6]]]),
    /// 18 bytes each (BEP 7).
    Ipv6(&'a [&'a [[u8; 18]]]),
}

impl Peers<'_> {
    /// Appends the key `peers`, and `peers6` for peers that only it can have.
    #[inline]
    pub(super) fn write(&self, is_compact: bool, reply: &mut Reply<'_>) {
        match (*self, is_compact) {
            (Self::Ipv4(slices), true) => {
                reply.out.extend_from_slice(b"5:peers");
                write_records(slices, reply);
            }
            (Self::Ipv6(slices), true) => {
                // There are clients that miss `peers` when it is not there.
                reply.out.extend_from_slice(b"5:peers0:6:peers6");
                write_records(slices, reply);
            }
            (Self::Ipv4(slices), false) => {
                let peers = slices.iter().copied().flatten().map(|record| {
                    let [a, b, c, d, high, low] = *record;
                    let address = Ipv4Addr::new(a, b, c, d);
                    (IpAddr::V4(address), u16::from_be_bytes([high, low]))
                });
                write_list(peers, reply);
            }
            (Self::Ipv6(slices), false) => {
                let peers = slices.iter().copied().flatten().map(|record| {
                    let [address @ .., high, low] = *record;
                    let address = Ipv6Addr::from(address);
                    (IpAddr::V6(address), u16::from_be_bytes([high, low]))
                });
                write_list(peers, reply);
            }
        }
    }
}

#[inline]
fn write_records<const S: usize>(slices: &[&[[u8; S]]], reply: &mut Reply<'_>) {
    let count: usize = slices.iter().map(|slice| slice.len()).sum();
    reply.text_length(count * S);
    for slice in slices {
        reply.out.extend_from_slice(slice.as_flattened());
    }
}

/// BEP 3, `peers`, without the optional `peer id`: the tracker keeps none.
fn write_list(peers: impl Iterator<Item = (IpAddr, u16)>, reply: &mut Reply<'_>) {
    /// No address is longer.
    const LONGEST_ADDRESS: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

    reply.out.extend_from_slice(b"5:peersl");
    for (address, port) in peers {
        let mut text = [0; LONGEST_ADDRESS];
        let mut rest = &mut text[..];
        // Cannot fail, for there is room for the longest.
        let _ = write!(rest, "{address}");
        let length = LONGEST_ADDRESS - rest.len();
        reply.out.extend_from_slice(b"d2:ip");
        reply.text(&text[..length]);
        reply.integer(b"4:port", port.into());
        reply.out.push(b'e');
    }
    reply.out.push(b'e');
}
