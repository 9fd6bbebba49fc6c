//! Arbitrary clients: the fuzzer's corpus, and random inputs from fixed seeds.

use aquatic_test_harness::corpora::replay;

#[path = "../../fuzz/checks/ws_dialogue.rs"]
mod ws_dialogue;

/// Number of random histories, and of the steps of each.
const HISTORIES: u64 = 150;
const STEPS: usize = 250;

#[test]
fn what_was_found() {
    replay("ws_dialogue", ws_dialogue::check);
}

#[test]
fn what_chance_finds() {
    for seed in 0..HISTORIES {
        // Shown if the check fails.
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut steps = Vec::new();
        for _ in 0..STEPS {
            // Few steps open or close connections or let time pass; most send messages.
            let step = match random.u8(..20) {
                0 => [0, random.u8(..), random.u8(..)],
                1 => [1, 0, random.u8(..30)],
                2 => [random.u8(2..5), random.u8(..), random.u8(..)],
                _ => [random.u8(5..16), random.u8(..), random.u8(..)],
            };
            steps.extend(step);
        }
        ws_dialogue::check(&steps);
    }
}
