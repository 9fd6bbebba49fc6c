//! The checksum of the Internet protocols: the complement of a sum in one's complement.
//!
//! RFC 1071: the sum is the same for either order of bytes, as long as what is read and what
//! is written have the same, and it can be computed from longer words, which are folded at
//! the end.

/// The sum of some bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds bytes; those before have to be even in number. A packet has less than 2¹⁶ bytes,
    /// so the sum does not overflow.
    #[inline]
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        let words = words
            .iter()
            .map(|word| u64::from(u32::from_ne_bytes(*word)));
        Self(self.0 + words.sum::<u64>() + u64::from(u32::from_ne_bytes(last)))
    }

    /// The sum, as bytes of a packet.
    #[inline]
    pub(super) fn folded(self) -> [u8; 2] {
        // Each step adds what is above the lower half, which may carry once more.
        let mut sum = self.0;
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        (sum as u16).to_ne_bytes()
    }

    /// The checksum that makes the sum of everything valid.
    #[inline]
    pub(super) fn checksum(self) -> [u8; 2] {
        self.folded().map(|byte| !byte)
    }

    /// Whether this is the sum of bytes with a valid checksum.
    #[inline]
    pub(super) fn is_valid(self) -> bool {
        self.folded() == [0xff, 0xff]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the RFC describes it: 16 bits at a time, in network order.
    fn plain(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (sum as u16).to_be_bytes()
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        // RFC 1071, section 3.
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().add(&example).folded(), [0xdd, 0xf2]);
        let mut random = fastrand::Rng::with_seed(1);
        for length in (0..2000).chain([65_535]) {
            let bias = random.u8(..);
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..) | bias).collect();
            let cut = random.usize(..=length) & !1;
            let sum = Sum::default().add(&bytes[..cut]).add(&bytes[cut..]);
            assert_eq!(sum.folded(), plain(&bytes));
        }
        let ones = [0xff; 65_535];
        assert_eq!(Sum::default().add(&ones).folded(), plain(&ones));
    }
}
