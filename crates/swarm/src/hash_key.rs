//! The keyed hash by which torrents and peers are found.

/// The secret of the hash: without it, nobody can tell which info hashes or peers collide
/// in a table. It has to come from the system's random numbers.
///
/// It does not protect from attackers who can measure the times of look-ups of their
/// choice: ARCHITECTURE.md says what a hash that does would cost.
#[derive(Clone, Copy)]
pub struct HashKey {
    first: u64,
    second: u64,
}

impl HashKey {
    /// A key of 16 secret bytes.
    pub fn new(secret: [u8; 16]) -> Self {
        let halves = u128::from_ne_bytes(secret);
        Self {
            first: spread(halves as u64),
            // Odd, so that no product loses a bit of its other factor.
            second: spread((halves >> 64) as u64 ^ GOLDEN) | 1,
        }
    }

    /// Hashes the first `K` bytes of a record or an info hash.
    ///
    /// The bytes are taken as words, each multiplied to twice its width with
    /// a secret and folded: every input bit reaches every output bit.
    #[inline]
    pub(crate) fn hash<const K: usize>(&self, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes[..K].as_chunks::<8>();
        let mut state = self.first;
        for word in words {
            state = fold(state ^ u64::from_le_bytes(*word), self.second);
        }
        if !rest.is_empty() {
            let mut word = [0u8; 8];
            word[..rest.len()].copy_from_slice(rest);
            state = fold(state ^ u64::from_le_bytes(word), self.second);
        }
        fold(state, self.first | 1)
    }
}

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes the bits of half a secret (the finalizer of SplitMix64).
fn spread(half: u64) -> u64 {
    let mut mixed = half.wrapping_add(GOLDEN);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_inputs_spread_evenly() {
        let key = HashKey::new([0; 16]);
        let mut shards = [0u32; 64];
        let mut tags = [0u32; 64];
        for number in 0u32..64_000 {
            let mut bytes = [0u8; 20];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            let hash = key.hash::<20>(&bytes);
            shards[(hash >> 32) as usize & 63] += 1;
            tags[(hash >> 58) as usize] += 1;
        }
        // The expectation is 1,000 with a standard deviation of 31.
        for count in shards.into_iter().chain(tags) {
            assert!((800..1_200).contains(&count), "{count}");
        }
    }

    #[test]
    fn the_key_and_every_byte_count() {
        let key = HashKey::new([1; 16]);
        let base = [7u8; 18];
        let hash = key.hash::<18>(&base);
        assert_ne!(HashKey::new([2; 16]).hash::<18>(&base), hash);
        for index in 0..18 {
            let mut other = base;
            other[index] ^= 1;
            assert_ne!(key.hash::<18>(&other), hash, "byte {index}");
        }
        assert_eq!(key.hash::<6>(&base), key.hash::<6>(&base[..6]));
    }
}
