//! Thousands of simulated connections with TLS and random events, from fixed seeds; the
//! fuzzer searches for more of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

#[path = "../../fuzz/checks/stream_tls.rs"]
mod stream_tls;

/// The number of runs in each of the tests below.
const RUNS: u64 = 1_500;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn of(&mut self, steps: &[u8]) -> u8 {
        steps[self.next() as usize % steps.len()]
    }
}

/// Runs scripts of these steps, which follow `flights` complete flights.
fn run(seed: u64, flights: usize, steps: &[u8]) {
    for run in 0..RUNS {
        let mut random = Random(seed << 32 | run);
        let mut script = vec![random.byte()];
        script.extend([2, 0].repeat(flights));
        for _ in 0..random.next() % 40 {
            script.extend([random.of(steps), random.byte()]);
        }
        // Shown when the check fails.
        println!("{script:?}");
        stream_tls::check(&script);
    }
}

#[test]
fn what_is_said_is_heard_however_it_is_cut() {
    run(1, 0, &[0, 2, 3, 4, 13, 14]);
}

#[test]
fn handshakes_may_be_damaged() {
    run(2, 0, &[2, 3, 3, 4, 5, 6, 7, 8, 9, 12, 13]);
}

#[test]
fn connections_may_be_damaged() {
    run(3, 3, &[0, 0, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15]);
}

#[test]
fn clients_may_send_any_record() {
    run(4, 3, &[0, 2, 2, 3, 10, 10, 11, 12, 13, 15]);
}
