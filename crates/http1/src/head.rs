//! The head of a request among the bytes of a connection (RFC 9112).

use httparse::{EMPTY_HEADER, Header, Status};
use memchr::{memchr, memchr2};

use crate::{HttpFault, Scheme, Target};

mod essentials;

use essentials::Essentials;

/// The most bytes of a request, from its method to the end of its headers.
pub const MAX_REQUEST_LENGTH: usize = 16 * 1024;

/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;

/// The most bytes of a method; the longest that is registered has 17.
const MAX_METHOD_LENGTH: usize = 20;

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading<'a> {
    /// The start of a request. It fits into [`MAX_REQUEST_LENGTH`], so that
    /// there is room for more.
    Incomplete,
    /// A request.
    Complete {
        /// What it says.
        head: Head<'a>,
        /// Its bytes, with empty lines before it.
        length: usize,
    },
    /// No request. What comes after it makes no sense either.
    Fault(HttpFault),
}

/// A request without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub target: Target<'a>,
    /// How the client speaks.
    pub version: Version,
    /// Whether the client may send another request over this connection. It
    /// may not if this one has a body, because bodies are not read.
    pub keeps_alive: bool,
    /// Whether a body comes behind the headers. It is not read.
    pub has_body: bool,
    /// The server that is asked: what the target names, else the header `Host`
    /// (RFC 9112, 3.2.2). Only characters that stand in a host and its port;
    /// `None` if nothing is named.
    pub host: Option<&'a str>,
    headers: &'a [Header<'a>],
}

/// What is to be done, of the methods that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Answer.
    Get,
    /// Answer with the headers only.
    Head,
    /// Any other one.
    Other,
}

/// What a client can be expected to understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Connections end with the answer, unless both sides say otherwise.
    Http10,
    /// Connections stay open, unless one side says otherwise.
    Http11,
}

/// Room for the headers of a request, which [`Head`] borrows.
pub struct HeaderBuffer<'a>([Header<'a>; MAX_HEADERS]);

impl HeaderBuffer<'_> {
    /// For one call of [`Reading::of`].
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self([EMPTY_HEADER; MAX_HEADERS])
    }
}

impl Default for HeaderBuffer<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Reading<'a> {
    /// Looks for a request at the start of `bytes`.
    ///
    /// A request that arrives in pieces is read from its start each time. That
    /// costs a few microseconds at most, because its length is bounded, and
    /// makes sure that the pieces don't matter.
    #[inline]
    #[must_use]
    pub fn of<'b: 'a>(bytes: &'b [u8], headers: &'a mut HeaderBuffer<'b>) -> Self {
        let within = &bytes[..bytes.len().min(MAX_REQUEST_LENGTH)];
        match parse(within, headers) {
            Ok(Some((head, length))) => Self::Complete { head, length },
            Ok(None) if within.len() == MAX_REQUEST_LENGTH => Self::Fault(HttpFault::TooLong),
            Ok(None) => Self::Incomplete,
            Err(fault) => Self::Fault(fault),
        }
    }
}

impl<'a> Head<'a> {
    /// The value of a header; of several, the last. Names are case-insensitive.
    #[inline]
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next_back()
    }

    /// Whether a header that is a list, or several of this name, has `token` among
    /// its elements, in capitals or not.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|it| it.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The scheme that the target names, or the header `X-Forwarded-Proto`,
    /// which anybody can send; `None` for another one or none.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        match self.target.origin {
            Some(origin) => Some(origin.scheme),
            None => {
                let forwarded = self.value("x-forwarded-proto")?;
                let last = forwarded.rsplit(|&byte| byte == b',').next();
                Scheme::named(last.unwrap_or_default().trim_ascii())
            }
        }
    }

    fn values<'n>(&self, name: &'n str) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    }
}

/// Reads a request from its first byte on; `None` if it is not complete.
#[inline]
fn parse<'a, 'b: 'a>(
    bytes: &'b [u8],
    HeaderBuffer(headers): &'a mut HeaderBuffer<'b>,
) -> Result<Option<(Head<'a>, usize)>, HttpFault> {
    let Some(start) = Start::find(bytes)? else {
        return Ok(None);
    };
    let (length, headers) = match httparse::parse_headers(&bytes[start.length..], headers) {
        Ok(Status::Complete(complete)) => complete,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpFault::TooManyHeaders),
        Err(_) => return Err(HttpFault::Header),
    };
    let found = Essentials::collect(headers, start.version)?;
    let target = Target::split(start.target);
    let head = Head {
        method: match start.method {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            _ => Method::Other,
        },
        target,
        version: start.version,
        keeps_alive: found.keeps_alive(start.version),
        has_body: found.has_body,
        // "MUST ignore the received Host header field and instead use the host
        // information of the request-target".
        host: match target.origin {
            Some(origin) => essentials::host(origin.host),
            None => found.host,
        }
        .filter(|host| !host.is_empty()),
        headers,
    };
    Ok(Some((head, start.length + length)))
}

/// The first line of a request.
struct Start<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: Version,
    /// Bytes of the line, and of empty lines before it.
    length: usize,
}

impl<'a> Start<'a> {
    /// Reads the first line; `None` if it is not complete, but may become one.
    #[inline]
    fn find(bytes: &'a [u8]) -> Result<Option<Self>, HttpFault> {
        // RFC 9112, 2.2: "a server that is expecting to receive and parse a
        // request-line SHOULD ignore at least one empty line".
        let mut rest = bytes;
        while let [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] = rest {
            rest = after;
        }
        if let [] | [b'\r'] = rest {
            return Ok(None);
        }
        /// What each TLS record of a handshake starts with.
        const TLS_HANDSHAKE: u8 = 22;
        if rest[0] == TLS_HANDSHAKE {
            return Err(HttpFault::Tls);
        }
        let Some(end) = memchr(b'\n', rest) else {
            return is_method_start(rest)
                .then_some(None)
                .ok_or(HttpFault::NotHttp);
        };
        let line = &rest[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (method, target, version) = split_line(line).ok_or(HttpFault::NotHttp)?;
        Ok(Some(Self {
            method,
            target,
            version,
            length: bytes.len() - rest.len() + end + 1,
        }))
    }
}

/// Method, target and version.
///
/// A target may have any bytes but spaces and ends of lines: info hashes are
/// sent without escapes, too.
#[inline]
fn split_line(line: &[u8]) -> Option<(&[u8], &[u8], Version)> {
    let (line, &[b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor]) =
        line.split_last_chunk::<9>()?
    else {
        return None;
    };
    let version = match minor {
        b'0' => Version::Http10,
        b'1'..=b'9' => Version::Http11,
        _ => return None,
    };
    let end = line.iter().position(|&byte| byte == b' ')?;
    let (method, target) = (&line[..end], &line[end + 1..]);
    let is_good = is_method(method) && !target.is_empty() && memchr2(b' ', b'\r', target).is_none();
    is_good.then_some((method, target, version))
}

/// Whether these bytes may be the start of a request line.
fn is_method_start(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|&byte| byte == b' ');
    match end {
        Some(end) => is_method(&bytes[..end]),
        // The end of a line may be half there.
        None => is_method(bytes.strip_suffix(b"\r").unwrap_or(bytes)),
    }
}

/// RFC 9110, 5.6.2: a "token".
#[inline]
fn is_method(bytes: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (1..=MAX_METHOD_LENGTH).contains(&bytes.len()) && bytes.iter().all(is_token)
}

#[cfg(test)]
mod tests;
