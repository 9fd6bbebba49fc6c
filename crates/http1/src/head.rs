//! Parses the head of a request (RFC 9112).

use httparse::{EMPTY_HEADER, Header, Status};
use memchr::{memchr, memchr2};

use crate::{HttpFault, Scheme, Target};

mod essentials;

use essentials::Essentials;

/// Maximum length of a request in bytes, from its method to the end of its headers.
pub const MAX_REQUEST_LENGTH: usize = 16 * 1024;

/// Maximum number of headers in a request.
pub const MAX_HEADERS: usize = 64;

/// Maximum length of a method; the longest registered one has 17 bytes.
const MAX_METHOD_LENGTH: usize = 20;

/// The result of parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading<'a> {
    /// An incomplete request. It is shorter than [`MAX_REQUEST_LENGTH`], so that there is
    /// room for more.
    Incomplete,
    /// A complete request.
    Complete {
        /// The parsed request.
        head: Head<'a>,
        /// Its length, including empty lines before it.
        length: usize,
    },
    /// A malformed request. The bytes after it cannot be parsed either.
    Fault(HttpFault),
}

/// A parsed request without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// The target.
    pub target: Target<'a>,
    /// The HTTP version.
    pub version: Version,
    /// Whether the client may send another request over this connection. Not after a
    /// request with a body, because bodies are not read.
    pub keeps_alive: bool,
    /// Whether a body follows. It is not read.
    pub has_body: bool,
    /// The requested host, with or without a port: from the target, otherwise from the
    /// header `Host` (RFC 9112, 3.2.2). It only contains characters that are valid in hosts
    /// and ports; `None` if there is none.
    pub host: Option<&'a str>,
    headers: &'a [Header<'a>],
}

/// The method, as far as it is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: the reply has no body.
    Head,
    /// Any other method.
    Other,
}

/// The HTTP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: connections are closed after the reply, unless both sides agree to keep
    /// them.
    Http10,
    /// HTTP/1.1: connections stay open, unless one side closes them.
    Http11,
}

/// Space for the headers of a request, which [`Head`] borrows.
pub struct HeaderBuffer<'a>([Header<'a>; MAX_HEADERS]);

impl HeaderBuffer<'_> {
    /// Creates an empty buffer, for one call of [`Reading::of`].
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
    /// Parses a request at the start of `bytes`.
    ///
    /// A request that arrives in pieces is parsed from its start each time. This takes at
    /// most a few microseconds, because its length is bounded, and the result cannot depend
    /// on how it was split.
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
    /// The value of a header; if there are several, of the last one. Names are
    /// case-insensitive.
    #[inline]
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next_back()
    }

    /// Whether a header that is a list, or any of several headers with this name, contains
    /// `token`; case-insensitive.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|it| it.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether a header that is a list of media types, each with parameters, contains this
    /// type (RFC 9110, 12.5.1); case-insensitive. Weights are ignored.
    #[must_use]
    pub fn accepts(&self, media_type: &str) -> bool {
        self.values("accept")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .filter_map(|one| one.split(|&byte| byte == b';').next())
            .any(|it| it.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes()))
    }

    /// The scheme from the target, or from the header `X-Forwarded-Proto`, which any client
    /// can send; `None` if it is missing or another one.
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

/// Parses a request from its first byte; `None` if it is incomplete.
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
    /// Length of the line, including empty lines before it.
    length: usize,
}

impl<'a> Start<'a> {
    /// Parses the first line; `None` if it is incomplete.
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
        /// The first byte of each TLS record of a handshake.
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

/// Splits a line into method, target and version.
///
/// A target may contain any bytes except spaces and line ends, because some clients do not
/// escape info hashes.
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

/// Whether these bytes can be the start of a request line.
fn is_method_start(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|&byte| byte == b' ');
    match end {
        Some(end) => is_method(&bytes[..end]),
        // The line end may be incomplete.
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
