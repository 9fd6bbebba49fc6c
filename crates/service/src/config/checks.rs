//! Collects everything that is wrong with the values of a configuration.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::faults;

/// One value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The key as it stands in the file, with its section:
    /// `protocol.max_response_peers`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The faults found so far while a configuration becomes settings.
///
/// The checking methods return a value even when they find a fault, so that the
/// rest can be checked too; [`Checks::finish`] then refuses the whole.
#[derive(Debug, Default)]
pub struct Checks {
    invalid: Vec<Invalid>,
    advice: Vec<String>,
}

impl Checks {
    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that the value of `key` cannot be used.
    pub fn fail(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.invalid.push(Invalid {
            key: key.into(),
            message: message.into(),
        });
    }

    /// Notes that the value of `key` can be used, but is probably not meant.
    pub fn advise(&mut self, key: &str, message: impl fmt::Display) {
        let message = message.to_string();
        self.advice
            .push(format!("{key}: {}", faults::told(&message)));
    }

    /// Takes what was noted with [`Checks::advise`], a line each.
    pub fn take_advice(&mut self) -> Vec<String> {
        std::mem::take(&mut self.advice)
    }

    /// Returns `value`, or the nearest value in `range` after noting the fault.
    pub fn within<T>(&mut self, key: &str, value: T, range: RangeInclusive<T>) -> T
    where
        T: Copy + Ord + fmt::Display,
    {
        let (least, most) = (*range.start(), *range.end());
        if !range.contains(&value) {
            self.fail(
                key,
                format!("{value} is out of range: it must be from {least} to {most}"),
            );
        }
        value.clamp(least, most)
    }

    /// Like [`Checks::within`], for a number of seconds.
    pub fn seconds(&mut self, key: &str, value: u32, range: RangeInclusive<u32>) -> Duration {
        Duration::from_secs(self.within(key, value, range).into())
    }

    /// Like [`Checks::within`], for a number that is never 0.
    pub fn at_least_one(
        &mut self,
        key: &str,
        value: usize,
        range: RangeInclusive<usize>,
    ) -> NonZeroUsize {
        let value = self.within(key, value, range);
        NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN)
    }

    /// Returns the value of a number that may be 0 for "off" or "automatic".
    pub fn optional(
        &mut self,
        key: &str,
        value: usize,
        range: RangeInclusive<usize>,
    ) -> Option<NonZeroUsize> {
        let value = NonZeroUsize::new(value)?;
        let (least, most) = (*range.start(), *range.end());
        if !range.contains(&value.get()) {
            self.fail(
                key,
                format!("{value} is out of range: it must be 0, or from {least} to {most}"),
            );
        }
        Some(value)
    }

    /// Returns `settings` when nothing was wrong.
    ///
    /// # Errors
    ///
    /// Everything that was noted, in the order in which it was found.
    pub fn finish<T>(self, settings: T) -> Result<T, Vec<Invalid>> {
        if self.invalid.is_empty() {
            Ok(settings)
        } else {
            Err(self.invalid)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collects_all_faults_in_order() {
        let mut checks = Checks::new();
        assert_eq!(checks.within("a", 0, 1..=5), 1);
        assert_eq!(checks.within("b", 3, 1..=5), 3);
        assert_eq!(checks.seconds("c", 9, 1..=5), Duration::from_secs(5));
        let invalid = checks.finish(()).unwrap_err();
        let keys: Vec<_> = invalid.iter().map(|invalid| invalid.key.as_str()).collect();
        assert_eq!(keys, ["a", "c"]);
        assert_eq!(
            invalid[0].message,
            "0 is out of range: it must be from 1 to 5"
        );
    }

    #[test]
    fn zero_is_off_where_it_may_be() {
        let mut checks = Checks::new();
        assert_eq!(checks.optional("a", 0, 1..=5), None);
        assert_eq!(checks.optional("a", 5, 1..=5), NonZeroUsize::new(5));
        assert!(checks.finish(()).is_ok());

        let mut checks = Checks::new();
        checks.optional("a", 6, 1..=5);
        assert_eq!(
            checks.finish(()).unwrap_err()[0].message,
            "6 is out of range: it must be 0, or from 1 to 5"
        );
    }
}
