//! Masking of payloads (RFC 6455, 5.3).

/// Masks or unmasks a payload.
#[inline]
pub(super) fn apply(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_meets_its_part_of_the_mask(
            payload in vec(any::<u8>(), 0..100),
            mask: [u8; 4],
        ) {
            let mut masked = payload.clone();
            apply(&mut masked, mask);
            for (index, (was, is)) in payload.iter().zip(&masked).enumerate() {
                prop_assert_eq!(was ^ mask[index % 4], *is);
            }
        }
    }
}
