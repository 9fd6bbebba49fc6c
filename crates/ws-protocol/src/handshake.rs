//! How a connection begins: with a request of HTTP, which asks for WebSocket
//! (RFC 6455, 4) or for a page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use httparse::{EMPTY_HEADER, Header};
use sha1_smol::Sha1;

mod answer;

pub use answer::{Status, write_fault, write_page, write_upgrade, write_upgrade_fault};

/// The most bytes of a request, from its method to the end of its headers.
pub const MAX_REQUEST_LENGTH: usize = 16 * 1024;

/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading<'a> {
    /// The start of a request. It fits into [`MAX_REQUEST_LENGTH`], so that
    /// there is room for more.
    Incomplete,
    /// A request.
    Complete {
        /// What is asked for.
        resource: Resource<'a>,
        /// Its bytes, with empty lines before it.
        length: usize,
    },
    /// No request. What comes after it makes no sense either.
    Fault(HttpFault),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// WebSocket, at whatever path. To be answered by [`write_upgrade`], if the
    /// origin may.
    Upgrade(Upgrade<'a>),
    /// WebSocket, in a way that cannot be. To be answered by
    /// [`write_upgrade_fault`].
    BadUpgrade(UpgradeFault),
    /// Something else. To be answered by [`write_page`], and no other request
    /// comes after it.
    Page {
        /// Which page.
        page: Page,
        /// Whether only the headers of the answer are wanted.
        is_head: bool,
    },
}

/// A request for WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// To be sent back as `Sec-WebSocket-Accept`.
    pub accept: [u8; 28],
    /// What a browser says of the page that asks, such as
    /// `https://example.org`. Programs say what they like, or nothing.
    pub origin: Option<&'a [u8]>,
    /// The value of the header that the caller asked for; of several, the last.
    pub wanted_header: Option<&'a [u8]>,
    /// Path and query.
    pub target: &'a str,
}

/// What people and other programs look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/`, a page for people.
    Index,
    /// `/health`, a page for programs that watch the tracker.
    Health,
    /// `/announce` or `/scrape`, as if the tracker spoke HTTP.
    Tracker,
    /// Another path.
    Unknown,
    /// Another method than GET and HEAD.
    OtherMethod,
}

/// Why bytes are no request. The texts are meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    /// Something else than a method, a target and a version.
    #[error("this is not a request of HTTP/1.0 or HTTP/1.1")]
    NotHttp,
    /// The start of a TLS handshake.
    #[error("TLS is not spoken here; use ws:// instead of wss://")]
    Tls,
    /// A line that is no header.
    #[error("a header of the request is malformed")]
    Header,
    /// No `Host`, or several (RFC 9112, 3.2).
    #[error("a request of HTTP/1.1 must have one header Host")]
    Host,
    /// More than [`MAX_HEADERS`].
    #[error("the request has more than 64 headers")]
    TooManyHeaders,
    /// Longer than [`MAX_REQUEST_LENGTH`].
    #[error("the request is longer than 16384 bytes")]
    TooLong,
}

/// Why a request for WebSocket is refused. The texts are meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeFault {
    /// Before HTTP/1.1, connections could not be upgraded.
    #[error("WebSocket needs HTTP/1.1")]
    Version10,
    /// Only `Upgrade` says so, which concerns the next server only.
    #[error(
        "the header Connection does not say Upgrade; a proxy in between may have to be told to \
         pass it on"
    )]
    Connection,
    /// Another version of the protocol than RFC 6455.
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    /// No key, or one that does not stand for 16 bytes.
    #[error("the header Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// A body, whose bytes would be taken for frames.
    #[error("a request for WebSocket must not have a body")]
    Body,
}

impl<'a> Reading<'a> {
    /// Looks for a request at the start of `bytes`.
    ///
    /// `wanted_header` is the name of the header whose value is wanted; which
    /// letters are capitals is all the same.
    ///
    /// A request that arrives in pieces is read from its start each time, so
    /// the pieces don't matter.
    #[must_use]
    pub fn of(bytes: &'a [u8], wanted_header: Option<&str>) -> Self {
        /// What each TLS record of a handshake starts with.
        const TLS_HANDSHAKE: u8 = 22;
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            return Self::Fault(HttpFault::Tls);
        }
        let within = &bytes[..bytes.len().min(MAX_REQUEST_LENGTH)];
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(within) {
            Ok(httparse::Status::Complete(_)) if !has_one_host(&request) => {
                Self::Fault(HttpFault::Host)
            }
            Ok(httparse::Status::Complete(length)) => Self::Complete {
                resource: Resource::find(&request, wanted_header),
                length,
            },
            Ok(httparse::Status::Partial) if within.len() == MAX_REQUEST_LENGTH => {
                Self::Fault(HttpFault::TooLong)
            }
            Ok(httparse::Status::Partial) => Self::Incomplete,
            Err(error) => Self::Fault(match error {
                httparse::Error::TooManyHeaders => HttpFault::TooManyHeaders,
                httparse::Error::HeaderName | httparse::Error::HeaderValue => HttpFault::Header,
                _ => HttpFault::NotHttp,
            }),
        }
    }
}

impl<'a> Resource<'a> {
    fn find(request: &httparse::Request<'_, 'a>, wanted_header: Option<&str>) -> Self {
        // A request that is complete has all of these.
        let method = request.method.unwrap_or_default();
        let target = request.path.unwrap_or_default();
        let headers = Headers::collect(request.headers, wanted_header);
        if method == "GET" && headers.upgrades_to_websocket {
            let is_version_11 = request.version == Some(1);
            return match headers.check(is_version_11) {
                Ok(accept) => Self::Upgrade(Upgrade {
                    accept,
                    origin: headers.origin,
                    wanted_header: headers.wanted,
                    target,
                }),
                Err(fault) => Self::BadUpgrade(fault),
            };
        }
        let is_head = method == "HEAD";
        let page = if method == "GET" || is_head {
            Page::at(target)
        } else {
            Page::OtherMethod
        };
        Self::Page { page, is_head }
    }
}

/// RFC 9112, 3.2: a server must refuse "any HTTP/1.1 request message that lacks
/// a Host header field and any request message that contains more than one".
fn has_one_host(request: &httparse::Request<'_, '_>) -> bool {
    let is_host = |header: &&Header<'_>| header.name.eq_ignore_ascii_case("host");
    match request.headers.iter().filter(is_host).count() {
        0 => request.version == Some(0),
        count => count == 1,
    }
}

impl Page {
    fn at(target: &str) -> Self {
        let target = without_origin(target);
        let (path, _query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/" | "" => Self::Index,
            "/health" => Self::Health,
            "/announce" | "/scrape" => Self::Tracker,
            _ => Self::Unknown,
        }
    }
}

/// RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests".
fn without_origin(target: &str) -> &str {
    for scheme in ["http://", "https://", "ws://", "wss://"] {
        if let Some((start, rest)) = target.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return &rest[rest.find(['/', '?']).unwrap_or(rest.len())..];
        }
    }
    target
}

/// What headers say that matters here.
#[derive(Default)]
struct Headers<'a> {
    upgrades_to_websocket: bool,
    connection_upgrades: bool,
    is_version_13: bool,
    key: Option<&'a [u8]>,
    has_body: bool,
    origin: Option<&'a [u8]>,
    wanted: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    fn collect(headers: &[Header<'a>], wanted: Option<&str>) -> Self {
        let mut found = Self::default();
        for &Header { name, value } in headers {
            if name.eq_ignore_ascii_case("upgrade") {
                found.upgrades_to_websocket |= has_token(value, "websocket");
            } else if name.eq_ignore_ascii_case("connection") {
                found.connection_upgrades |= has_token(value, "upgrade");
            } else if name.eq_ignore_ascii_case("sec-websocket-version") {
                found.is_version_13 |= has_token(value, "13");
            } else if name.eq_ignore_ascii_case("sec-websocket-key") {
                found.key = Some(value.trim_ascii());
            } else if name.eq_ignore_ascii_case("content-length") {
                // Of whatever is not plainly nothing, it is not known where it ends.
                let value = value.trim_ascii();
                found.has_body |= value.is_empty() || value.iter().any(|&digit| digit != b'0');
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                found.has_body = true;
            } else if name.eq_ignore_ascii_case("origin") {
                found.origin = Some(value.trim_ascii());
            }
            if wanted.is_some_and(|wanted| name.eq_ignore_ascii_case(wanted)) {
                found.wanted = Some(value);
            }
        }
        found
    }

    /// What the key is to be answered with (RFC 6455, 4.2.1).
    fn check(&self, is_version_11: bool) -> Result<[u8; 28], UpgradeFault> {
        if !is_version_11 {
            return Err(UpgradeFault::Version10);
        }
        // RFC 9110, 7.8: "A client cannot begin using an upgraded protocol on the
        // connection until it has completely sent the request message". Bodies are
        // not read here.
        if self.has_body {
            return Err(UpgradeFault::Body);
        }
        if !self.connection_upgrades {
            return Err(UpgradeFault::Connection);
        }
        if !self.is_version_13 {
            return Err(UpgradeFault::Version);
        }
        let key = self.key.ok_or(UpgradeFault::Key)?;
        // Room for the padding as well, as the decoder estimates.
        let mut decoded = [0; 18];
        match BASE64.decode_slice(key, &mut decoded) {
            Ok(16) => Ok(accept_key(key)),
            _ => Err(UpgradeFault::Key),
        }
    }
}

fn has_token(value: &[u8], token: &str) -> bool {
    let mut tokens = value.split(|&byte| byte == b',');
    tokens.any(|it| it.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// What a server makes of a key, in base64 (RFC 6455, 4.2.2): that it has read
/// it as one of WebSocket.
#[must_use]
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    let written = BASE64.encode_slice(hash.digest().bytes(), &mut accept);
    debug_assert_eq!(written.ok(), Some(accept.len()));
    accept
}

#[cfg(test)]
mod tests;
