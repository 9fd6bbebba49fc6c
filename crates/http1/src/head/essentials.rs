//! The headers that every request is checked for: its host, and its length.

use std::str;

use httparse::Header;

use super::Version;
use crate::HttpFault;

/// Maximum length of a host with its port: a name has at most 253 bytes.
const MAX_HOST_BYTES: usize = 261;

/// The values of these headers.
#[derive(Default)]
pub(super) struct Essentials<'a> {
    has_close: bool,
    has_keep_alive: bool,
    pub(super) has_body: bool,
    /// The value of `Host`, which may be empty.
    pub(super) host: Option<&'a str>,
}

impl<'a> Essentials<'a> {
    /// Collects them from all headers, of which there are at most [`MAX_HEADERS`].
    ///
    /// # Errors
    ///
    /// If the host or the end of the request cannot be determined.
    ///
    /// [`MAX_HEADERS`]: super::MAX_HEADERS
    #[inline]
    pub(super) fn collect(headers: &[Header<'a>], version: Version) -> Result<Self, HttpFault> {
        let mut found = Self::default();
        let mut length = None;
        for header in headers {
            let (name, value) = (header.name, header.value);
            if name.eq_ignore_ascii_case("host") {
                // RFC 9112, 3.2: "more than one Host header field line or a Host
                // header field with an invalid field value".
                let is_first = found.host.is_none();
                let host = host(value.trim_ascii()).filter(|_| is_first);
                found.host = Some(host.ok_or(HttpFault::Host)?);
            } else if name.eq_ignore_ascii_case("connection") {
                for token in value.split(|&byte| byte == b',') {
                    let token = token.trim_ascii();
                    found.has_close |= token.eq_ignore_ascii_case(b"close");
                    found.has_keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case("content-length") {
                found.has_body |= add_length(value, &mut length)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                found.has_body = true;
                if !ends_with_chunked(value) {
                    return Err(HttpFault::Length);
                }
            }
        }
        // RFC 9112, 3.2: "any HTTP/1.1 request message that lacks a Host header
        // field".
        if found.host.is_none() && version == Version::Http11 {
            return Err(HttpFault::Host);
        }
        Ok(found)
    }

    #[inline]
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        let wish = match version {
            Version::Http11 => !self.has_close,
            Version::Http10 => self.has_keep_alive && !self.has_close,
        };
        wish && !self.has_body
    }
}

/// Parses a value of `Content-Length`; returns whether there is a body.
///
/// RFC 9112, 6.3: an invalid value is "an unrecoverable error, unless the field
/// value can be successfully parsed as a comma-separated list, all values in the
/// list are valid, and all values in the list are the same".
fn add_length<'a>(value: &'a [u8], before: &mut Option<&'a [u8]>) -> Result<bool, HttpFault> {
    let mut has_body = false;
    for number in value.split(|&byte| byte == b',') {
        let number = number.trim_ascii();
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return Err(HttpFault::Length);
        }
        // A length may have any number of digits, so lengths are compared as texts.
        let zeros = number.iter().take_while(|&&digit| digit == b'0').count();
        let digits = &number[zeros..];
        if before.is_some_and(|before| before != digits) {
            return Err(HttpFault::Length);
        }
        *before = Some(digits);
        has_body |= !digits.is_empty();
    }
    Ok(has_body)
}

/// RFC 9112, 6.3: "If a Transfer-Encoding header field is present in a request
/// and the chunked transfer coding is not the final encoding, the message body
/// length cannot be determined reliably".
fn ends_with_chunked(value: &[u8]) -> bool {
    let last = value.rsplit(|&byte| byte == b',').next();
    last.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// A host, with or without a port, if all characters are valid there (RFC 3986, 3.2.2):
/// none of them has a special meaning in a text or next to a URL.
pub(super) fn host(value: &[u8]) -> Option<&str> {
    let is_allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(byte);
    let is_host = value.len() <= MAX_HOST_BYTES && value.iter().all(is_allowed);
    str::from_utf8(value).ok().filter(|_| is_host)
}
