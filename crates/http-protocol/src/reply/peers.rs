//! Peers of an announce reply.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH};

use crate::bencode::{write_integer, write_text, write_text_length};

/// Slices of peers in wire form: address and port, both big-endian.
#[derive(Debug, Clone, Copy)]
pub enum Peers<'a> {
    /// 6 bytes each (BEP 23).
    Ipv4(&'a [&'a [[u8; IPV4_PEER_LENGTH]]]),
    /// 18 bytes each (BEP 7).
    Ipv6(&'a [&'a [[u8; IPV6_PEER_LENGTH]]]),
}

impl Peers<'_> {
    /// Appends the key `peers`, and the key `peers6` for IPv6 peers in compact form.
    #[inline]
    pub(super) fn write(&self, is_compact: bool, out: &mut Vec<u8>) {
        match (*self, is_compact) {
            (Self::Ipv4(slices), true) => {
                out.extend_from_slice(b"5:peers");
                write_records(slices, out);
            }
            (Self::Ipv6(slices), true) => {
                // Some clients fail if `peers` is missing.
                out.extend_from_slice(b"5:peers0:6:peers6");
                write_records(slices, out);
            }
            (Self::Ipv4(slices), false) => {
                let peers = slices.iter().copied().flatten().map(|record| {
                    let [a, b, c, d, high, low] = *record;
                    let address = Ipv4Addr::new(a, b, c, d);
                    (IpAddr::V4(address), u16::from_be_bytes([high, low]))
                });
                write_list(peers, out);
            }
            (Self::Ipv6(slices), false) => {
                let peers = slices.iter().copied().flatten().map(|record| {
                    let [address @ .., high, low] = *record;
                    let address = Ipv6Addr::from(address);
                    (IpAddr::V6(address), u16::from_be_bytes([high, low]))
                });
                write_list(peers, out);
            }
        }
    }
}

#[inline]
fn write_records<const S: usize>(slices: &[&[[u8; S]]], out: &mut Vec<u8>) {
    let count: usize = slices.iter().map(|slice| slice.len()).sum();
    write_text_length(out, count * S);
    for slice in slices {
        out.extend_from_slice(slice.as_flattened());
    }
}

/// BEP 3, `peers`, without the optional `peer id`, which the tracker does not store.
fn write_list(peers: impl Iterator<Item = (IpAddr, u16)>, out: &mut Vec<u8>) {
    /// The longest possible address.
    const MAX_ADDRESS_BYTES: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

    out.extend_from_slice(b"5:peersl");
    for (address, port) in peers {
        let mut text = [0; MAX_ADDRESS_BYTES];
        let mut rest = &mut text[..];
        // This cannot fail, because there is space for the longest address.
        let _ = write!(rest, "{address}");
        let length = MAX_ADDRESS_BYTES - rest.len();
        out.extend_from_slice(b"d2:ip");
        write_text(out, &text[..length]);
        write_integer(out, b"4:port", port.into());
        out.push(b'e');
    }
    out.push(b'e');
}
