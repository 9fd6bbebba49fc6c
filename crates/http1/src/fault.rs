//! Why bytes are no request.

use crate::Status;

/// Why bytes are no request. The texts are meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    /// Something else than a method, a target and a version.
    #[error("this is not a request of HTTP/1.0 or HTTP/1.1")]
    NotHttp,
    /// The start of a TLS handshake.
    #[error("TLS is not spoken here; use http:// instead of https://, or ws:// instead of wss://")]
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
    /// More than [`MAX_HEADERS`](crate::MAX_HEADERS).
    #[error("the request has more than 64 headers")]
    TooManyHeaders,
    /// Longer than [`MAX_REQUEST_LENGTH`](crate::MAX_REQUEST_LENGTH).
    #[error("the request is longer than 16384 bytes")]
    TooLong,
    /// The client sends no more before its request is complete.
    #[error("the request is not complete")]
    Incomplete,
    /// The client takes too long to send its request.
    #[error("the request did not arrive in time")]
    TooSlow,
}

impl HttpFault {
    /// What it is answered with.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::NotHttp
            | Self::Tls
            | Self::Header
            | Self::Host
            | Self::Length
            | Self::Incomplete => Status::BadRequest,
            Self::TooManyHeaders | Self::TooLong => Status::HeadersTooLarge,
            Self::TooSlow => Status::RequestTimeout,
        }
    }

    /// Why the bytes of a client that sends no more, in which no request was
    /// found, are none. Empty lines are nothing that wants an answer (RFC 9112,
    /// 2.2).
    #[must_use]
    pub fn at_end(bytes: &[u8]) -> Option<Self> {
        let is_blank = bytes.iter().all(|byte| b"\r\n".contains(byte));
        (!is_blank).then_some(Self::Incomplete)
    }
}
