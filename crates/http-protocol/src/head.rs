//! Requests among the bytes of a connection (RFC 9112).

use httparse::{EMPTY_HEADER, Status};
use memchr::{memchr, memchr2};

mod headers;
mod target;

use headers::Headers;
use target::Target;
pub use target::{Purpose, Resource};

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
    /// What is asked for.
    pub resource: Resource<'a>,
    /// Whether only the headers of the answer are wanted.
    pub is_head: bool,
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
    /// The scheme that the target names, or the header `X-Forwarded-Proto`,
    /// which anybody can send; `None` for another one or none.
    pub scheme: Option<Scheme>,
    /// The value of the header that the caller asked for; of several, the last.
    pub wanted_header: Option<&'a [u8]>,
}

/// How a URL begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| name.eq_ignore_ascii_case(scheme.name().as_bytes()))
    }
}

/// What a client can be expected to understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Connections end with the answer, unless both sides say otherwise.
    Http10,
    /// Connections stay open, unless one side says otherwise.
    Http11,
}

/// Why bytes are no request. The texts are meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    /// Something else than a method, a target and a version.
    #[error("this is not a request of HTTP/1.0 or HTTP/1.1")]
    NotHttp,
    /// The start of a TLS handshake.
    #[error("TLS is not spoken here; use http:// instead of https://")]
    Tls,
    /// A line that is no header.
    #[error("a header of the request is malformed")]
    Header,
    /// No `Host`, or several, or one that is none (RFC 9112, 3.2).
    #[error("a request of HTTP/1.1 must have one header Host")]
    Host,
    /// A length of the body that is no number, several that differ, or a
    /// transfer coding that does not say where the body ends (RFC 9112, 6.3).
    #[error("the request does not say how long its body is")]
    Length,
    /// More than [`MAX_HEADERS`].
    #[error("the request has more than 64 headers")]
    TooManyHeaders,
    /// Longer than [`MAX_REQUEST_LENGTH`].
    #[error("the request is longer than 16384 bytes")]
    TooLong,
}

impl<'a> Reading<'a> {
    /// Looks for a request at the start of `bytes`.
    ///
    /// `wanted_header` is the name of the header whose value is wanted; which
    /// letters are capitals is all the same.
    ///
    /// A request that arrives in pieces is read from its start each time. That
    /// costs a few microseconds at most, because its length is bounded, and
    /// makes sure that the pieces don't matter.
    #[inline]
    #[must_use]
    pub fn of(bytes: &'a [u8], wanted_header: Option<&str>) -> Self {
        let within = &bytes[..bytes.len().min(MAX_REQUEST_LENGTH)];
        match parse(within, wanted_header) {
            Ok(Some((head, length))) => Self::Complete { head, length },
            Ok(None) if within.len() == MAX_REQUEST_LENGTH => Self::Fault(HttpFault::TooLong),
            Ok(None) => Self::Incomplete,
            Err(fault) => Self::Fault(fault),
        }
    }
}

/// Reads a request from its first byte on; `None` if it is not complete.
#[inline]
fn parse<'a>(
    bytes: &'a [u8],
    wanted_header: Option<&str>,
) -> Result<Option<(Head<'a>, usize)>, HttpFault> {
    let Some(start) = Start::find(bytes)? else {
        return Ok(None);
    };
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let (length, headers) = match httparse::parse_headers(&bytes[start.length..], &mut headers) {
        Ok(Status::Complete(complete)) => complete,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpFault::TooManyHeaders),
        Err(_) => return Err(HttpFault::Header),
    };
    let headers = Headers::collect(headers, wanted_header, start.version)?;
    let target = Target::split(start.target);
    let head = Head {
        resource: Resource::find(start.method, &target),
        is_head: start.method == b"HEAD",
        version: start.version,
        keeps_alive: headers.keeps_alive(start.version),
        has_body: headers.has_body,
        // "MUST ignore the received Host header field and instead use the host
        // information of the request-target".
        host: match target.origin {
            Some(origin) => headers::host(origin.host).filter(|host| !host.is_empty()),
            None => headers.host.filter(|host| !host.is_empty()),
        },
        scheme: match target.origin {
            Some(origin) => Some(origin.scheme),
            None => headers.forwarded_scheme,
        },
        wanted_header: headers.wanted,
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
