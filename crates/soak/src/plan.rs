//! Seed and length of a run.

use std::env;
use std::thread;

use crate::calendar::DAY;

/// The environment variables that change a run.
const SEED: &str = "AQUATIC_SOAK_SEED";
const DAYS: &str = "AQUATIC_SOAK_DAYS";

/// The defaults: a month, always with the same seed.
const DEFAULT_SEED: u64 = 11;
const DEFAULT_DAYS: u64 = 30;

/// The parameters of a run.
#[derive(Debug)]
pub struct Plan {
    name: &'static str,
    seed: u64,
    days: u64,
}

impl Plan {
    /// The plan of the test with this name. Prints how to repeat it if it fails.
    ///
    /// # Panics
    /// If an environment variable is not a number.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let number = |name: &str, default| match env::var(name) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|error| panic!("{name}={text}: {error}")),
            Err(_) => default,
        };
        Self {
            name,
            seed: number(SEED, DEFAULT_SEED),
            days: number(DAYS, DEFAULT_DAYS).max(1),
        }
    }

    /// The duration in simulated seconds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.days * DAY
    }

    /// Random numbers for each of several `uses`.
    #[must_use]
    pub fn random(&self, uses: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_mul(1_000).wrapping_add(uses))
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "to repeat it: {SEED}={} {DAYS}={} cargo test -p aquatic_soak {}",
                self.seed, self.days, self.name
            );
        }
    }
}
