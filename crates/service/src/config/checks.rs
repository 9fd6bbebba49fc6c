//! Collects everything that is wrong with the values of a configuration.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Diagnostic, Severity};

/// What was found so far while a configuration becomes settings.
///
/// The checking methods return a value even when they find a fault, so that the
/// rest can be checked too; [`Checks::finish`] then refuses the whole.
#[derive(Debug, Default)]
pub struct Checks {
    found: Vec<Diagnostic>,
}

impl Checks {
    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that the value of `key` cannot be used.
    pub fn fail(&mut self, key: impl Into<String>, message: impl fmt::Display) {
        self.found.push(Diagnostic::error(key, message));
    }

    /// Notes that the value of `key` can be used, but is probably not meant.
    pub fn advise(&mut self, key: impl Into<String>, message: impl fmt::Display) {
        self.found.push(Diagnostic::advice(key, message));
    }

    /// Takes what was noted with [`Checks::advise`].
    pub fn take_advice(&mut self) -> Vec<Diagnostic> {
        let is_advice = |one: &mut Diagnostic| one.severity == Severity::Advice;
        self.found.extract_if(.., is_advice).collect()
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
    /// Everything that is, in the order in which it was found.
    pub fn finish<T>(mut self, settings: T) -> Result<T, Vec<Diagnostic>> {
        self.found.retain(|one| one.severity == Severity::Error);
        if self.found.is_empty() {
            Ok(settings)
        } else {
            Err(self.found)
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
        let keys: Vec<_> = invalid
            .iter()
            .filter_map(|one| one.key.as_deref())
            .collect();
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
