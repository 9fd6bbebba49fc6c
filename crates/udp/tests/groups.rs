//! Groups of datagrams, compared with a plain model: the fuzzer's corpus, and random
//! inputs from fixed seeds.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/udp_tracker.rs"]
mod udp_tracker;

/// Number of random sequences, and the maximum length of each in bytes.
const SEQUENCES: u64 = 400;
const MAX_BYTES: usize = 4_000;

#[test]
fn corpus() {
    replay("udp_tracker", udp_tracker::check);
}

#[test]
fn sequences_from_seeds() {
    for seed in 0..SEQUENCES {
        // Shown if the check fails.
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let length = random.usize(..MAX_BYTES);
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect();
        udp_tracker::check(&bytes);
    }
}
