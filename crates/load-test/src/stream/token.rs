//! Events name a slot and which of its connections they are for.

/// Which slot and which of its connections an event is for.
pub(crate) fn token(slot: usize, generation: u32) -> mio::Token {
    // Slots are bounded far below 2^32.
    mio::Token(slot | (generation as usize) << 32)
}

/// The reverse of [`token`].
pub(crate) fn slot_and_generation(token: mio::Token) -> (usize, u32) {
    // The lower and the upper half.
    (token.0 & 0xffff_ffff, (token.0 >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_carry_both_numbers() {
        for pair in [(0, 0), (7, 1), (999_999, u32::MAX)] {
            assert_eq!(slot_and_generation(token(pair.0, pair.1)), pair);
        }
    }
}
