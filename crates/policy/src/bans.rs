//! Bans by address: ranges of addresses, and the lines of the usual blocklists.
//!
//! * [`Bans`]: which addresses are banned. [`BansBuilder`]: what they are made of.
//! * [`BanLine`]: a line of a list.
//!
//! A range takes 8 bytes for IPv4, 16 bytes for networks of IPv6 up to /64, and 32 bytes for
//! other ranges of IPv6; the index of each of these at most 1.3 MB. A look-up reads the index,
//! and searches the few ranges to which it leads.

use std::fmt;
use std::net::IpAddr;

use crate::AddressRanges;

mod line;
mod ranges;
#[cfg(test)]
mod tests;

pub use line::{BanLine, BanLineError, BannedRange, Excerpt};
use ranges::{Ranges, combined};

/// Maximum number of ranges before those that overlap are merged: 128 MB of memory if all of
/// them are of IPv6.
pub const MAX_BANS: usize = 4 << 20;

/// Which addresses are banned.
#[derive(Default, PartialEq, Eq)]
pub struct Bans {
    ipv4: Ranges<u32>,
    /// Ranges of IPv6 that begin and end with a network of 64 bits, as nearly all do: the
    /// first halves of their addresses. They need half of the memory, which is what a
    /// look-up waits for.
    ipv6_networks: Ranges<u64>,
    /// All other ranges of IPv6.
    ipv6: Ranges<u128>,
}

impl Bans {
    /// Whether the address is banned. An IPv4-mapped IPv6 address counts as IPv4.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.ipv4.contains(address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                self.ipv6_networks.contains((bits >> 64) as u64) || self.ipv6.contains(bits)
            }
        }
    }

    /// Number of ranges, after those that overlap or adjoin were merged.
    pub fn len(&self) -> usize {
        self.ipv4.len() + self.ipv6_networks.len() + self.ipv6.len()
    }

    /// Whether no address is banned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that the ranges take, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.ipv4.memory_bytes() + self.ipv6_networks.memory_bytes() + self.ipv6.memory_bytes()
    }
}

impl fmt::Debug for Bans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bans({} ranges)", self.len())
    }
}

/// Ranges as they are read, in any order.
#[derive(Debug, Default)]
pub struct BansBuilder {
    ipv4: Vec<[u32; 2]>,
    ipv6: Vec<[u128; 2]>,
}

impl BansBuilder {
    /// Adds a range.
    pub fn add(&mut self, range: BannedRange) {
        match range {
            BannedRange::Ipv4(range) => self.ipv4.push(range),
            BannedRange::Ipv6(range) => self.ipv6.push(range),
        }
    }

    /// Number of ranges that were added.
    pub fn len(&self) -> usize {
        self.ipv4.len() + self.ipv6.len()
    }

    /// Number of ranges that were added before.
    pub fn duplicates(&self) -> usize {
        repeated(self.ipv4.clone()) + repeated(self.ipv6.clone())
    }

    /// Whether no range was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Merges the ranges, and takes the addresses of `except` out of them.
    pub fn build(self, except: &AddressRanges) -> Bans {
        let mut kept = Self::default();
        for range in except.iter() {
            kept.add(BannedRange::from(*range));
        }
        let mut networks = Vec::new();
        let mut ipv6 = combined(self.ipv6, kept.ipv6);
        ipv6.retain(|[first, last]| {
            let is_whole = *first as u64 == 0 && *last as u64 == u64::MAX;
            if is_whole {
                networks.push([first, last].map(|it| (it >> 64) as u64));
            }
            !is_whole
        });
        Bans {
            ipv4: Ranges::new(combined(self.ipv4, kept.ipv4)),
            ipv6_networks: Ranges::new(networks),
            ipv6: Ranges::new(ipv6),
        }
    }
}

fn repeated<T: Ord>(mut ranges: Vec<T>) -> usize {
    let all = ranges.len();
    ranges.sort_unstable();
    ranges.dedup();
    all - ranges.len()
}
