//! Ids of offers that say when they were sent.

use aquatic_ws_protocol::OfferId;

/// The id of an offer that is sent now, in nanoseconds on the workers' clock.
/// What is not the time is random, so that no two are the same.
pub(crate) fn new(now: u64, random: &mut fastrand::Rng) -> OfferId {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&now.to_be_bytes());
    random.fill(&mut bytes[8..]);
    OfferId(bytes)
}

/// When an offer was sent.
pub(crate) fn sent_at(id: OfferId) -> u64 {
    let [time @ .., _, _, _, _, _, _, _, _, _, _, _, _] = id.0;
    u64::from_be_bytes(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_time_and_differ() {
        let mut random = fastrand::Rng::with_seed(1);
        let (first, second) = (new(u64::MAX - 5, &mut random), new(7, &mut random));
        assert_eq!((sent_at(first), sent_at(second)), (u64::MAX - 5, 7));
        assert_ne!(new(7, &mut random), second);
    }
}
