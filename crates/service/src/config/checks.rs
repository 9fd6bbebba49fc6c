//! Collects errors in the values of a configuration.

use std::fmt;

use super::{Diagnostic, Severity};

/// Errors and advice found so far during validation.
///
/// An error does not end the validation, so that everything is checked; [`Checks::finish`]
/// then fails.
#[derive(Debug, Default)]
pub struct Checks {
    found: Vec<Diagnostic>,
}

impl Checks {
    /// Creates an empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error: the value of `key` cannot be used.
    pub fn fail(&mut self, key: impl Into<String>, message: impl fmt::Display) {
        self.found.push(Diagnostic::error(key, message));
    }

    /// Adds advice: the value of `key` can be used, but is probably a mistake.
    pub fn advise(&mut self, key: impl Into<String>, message: impl fmt::Display) {
        self.found.push(Diagnostic::advice(key, message));
    }

    /// Removes and returns everything added with [`Checks::advise`].
    pub fn take_advice(&mut self) -> Vec<Diagnostic> {
        let is_advice = |one: &mut Diagnostic| one.severity == Severity::Advice;
        self.found.extract_if(.., is_advice).collect()
    }

    /// Returns `settings` if there are no errors.
    ///
    /// # Errors
    ///
    /// All errors, in the order in which they were found.
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
