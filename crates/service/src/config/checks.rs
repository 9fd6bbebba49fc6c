//! Collects everything that is wrong with the values of a configuration.

use std::fmt;

use super::{Diagnostic, Severity};

/// What was found so far while a configuration becomes settings.
///
/// A fault does not end the checks, so that the rest is checked too;
/// [`Checks::finish`] then refuses the whole.
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
        checks.fail("a", "wrong");
        checks.advise("b", "odd");
        checks.fail("c", 9);
        let invalid = checks.finish(()).unwrap_err();
        let keys: Vec<_> = invalid
            .iter()
            .filter_map(|one| one.key.as_deref())
            .collect();
        assert_eq!(keys, ["a", "c"]);
        assert_eq!(invalid[1].message, "9");
    }
}
