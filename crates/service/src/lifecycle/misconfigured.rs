//! What is wrong with what a key of the configuration names, found out after the
//! configuration was read: a file, a user, a directory.

use std::fmt;

/// A key whose value is well-formed, and cannot be used. [`run`](crate::run) adds
/// where in the file it stands.
#[derive(Debug)]
pub struct Misconfigured {
    key: String,
    message: String,
}

impl Misconfigured {
    /// `key` with its section: `access_list.path`.
    pub fn new(key: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            key: key.into(),
            message: message.to_string(),
        }
    }

    pub(crate) fn into_invalid(self) -> crate::config::Invalid {
        crate::config::Invalid {
            key: self.key,
            message: self.message,
        }
    }
}

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

// The message has everything that led to it, so there is no source to be printed
// once more.
impl std::error::Error for Misconfigured {}
