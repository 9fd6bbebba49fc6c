//! Collects everything that is wrong with the values of a configuration.

use std::fmt;
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
}
