//! Origins of web pages that may use the tracker.

use std::str::FromStr;

/// An origin as browsers send it in the header `Origin`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Whether a header's value is this origin.
    pub fn is(&self, header: &[u8]) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(header)
    }
}

impl FromStr for Origin {
    type Err = String;

    /// RFC 6454, 6.1: scheme, `://`, host, and the port if it is not the usual one.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_host = |rest: &str| !rest.is_empty() && !rest.contains(['/', '?', '#', ' ', '*']);
        match text.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && is_host(rest) => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(format!(
                "{text:?} is not an origin, such as \"https://example.org\" or \
                 \"http://localhost:8080\""
            )),
        }
    }
}
