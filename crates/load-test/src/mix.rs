//! Random choice by weight.

use std::num::NonZero;

use aquatic_service::config::Checks;

/// Chooses between alternatives in proportion to their weights.
#[derive(Debug, Clone)]
pub(crate) struct Mix<T, const N: usize> {
    choices: [Choice<T>; N],
    total: NonZero<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Choice<T> {
    value: T,
    /// The sum of the weights up to and including this one.
    below: u32,
}

impl<T: Copy, const N: usize> Mix<T, N> {
    /// None when all weights are zero, or when their sum exceeds `u32::MAX`.
    pub(crate) fn new(weights: [(T, u32); N]) -> Option<Self> {
        let mut below = Some(0u32);
        let choices = weights.map(|(value, weight)| {
            below = below.and_then(|sum| sum.checked_add(weight));
            Choice {
                value,
                below: below.unwrap_or(0),
            }
        });
        Some(Self {
            choices,
            total: NonZero::new(below?)?,
        })
    }

    /// The same weight for each.
    ///
    /// # Panics
    ///
    /// When there are no alternatives.
    pub(crate) fn even(values: [T; N]) -> Self {
        let mut below = 0;
        let choices = values.map(|value| {
            below += 1;
            Choice { value, below }
        });
        Self {
            choices,
            total: NonZero::new(below).expect("alternatives"),
        }
    }

    /// One of the alternatives.
    pub(crate) fn choose(&self, random: &mut fastrand::Rng) -> T {
        let ticket = random.u32(..self.total.get());
        // The last sum is the total, so no ticket passes all of them.
        let index = self.choices.iter().take_while(|c| c.below <= ticket);
        self.choices[index.count().min(N - 1)].value
    }
}

/// Chooses by the weights that a configuration has; when that cannot be, notes
/// the fault of `key`, which is one of the weights.
pub(crate) fn checked<T: Copy, const N: usize>(
    key: &str,
    weights: [(T, u32); N],
    checks: &mut Checks,
) -> Mix<T, N> {
    Mix::new(weights).unwrap_or_else(|| {
        checks.fail(
            key,
            "one of these weights must be above 0, and their sum below 2^32",
        );
        Mix::even(weights.map(|(value, _)| value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_weights() {
        let mix = Mix::new([('a', 10), ('b', 0), ('c', 30)]).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let drawn: Vec<char> = (0..40_000).map(|_| mix.choose(&mut random)).collect();
        let count = |wanted| drawn.iter().filter(|&&found| found == wanted).count();

        assert_eq!(count('b'), 0);
        assert!((9_500..10_500).contains(&count('a')), "{}", count('a'));
        assert_eq!(count('a') + count('c'), 40_000);
    }

    #[test]
    fn wants_a_weight_and_no_overflow() {
        assert!(Mix::new([('a', 0), ('b', 0)]).is_none());
        assert!(Mix::new([('a', u32::MAX), ('b', 1)]).is_none());
        assert!(Mix::new([('a', u32::MAX), ('b', 0)]).is_some());
    }
}
