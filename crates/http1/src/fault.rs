//! Why a request is malformed.

use crate::Status;

/// Why a request is malformed. The messages are for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    /// The first line is not a method, a target and a version.
    #[error("this is not a request of HTTP/1.0 or HTTP/1.1")]
    NotHttp,
    /// It is the start of a TLS handshake.
    #[error("TLS is not enabled here; use http:// instead of https://, or ws:// instead of wss://")]
    Tls,
    /// A line is not a header.
    #[error("a header of the request is malformed")]
    Header,
    /// There is no `Host`, or several, or it is invalid (RFC 9112, 3.2).
    #[error("a request of HTTP/1.1 must have one header Host")]
    Host,
    /// The content length is not a number, there are several different ones, or the
    /// transfer coding does not define the end of the body (RFC 9112, 6.3).
    #[error("the request does not say how long its body is")]
    Length,
    /// It has more than [`MAX_HEADERS`](crate::MAX_HEADERS) headers.
    #[error("the request has more than 64 headers")]
    TooManyHeaders,
    /// It is longer than [`MAX_REQUEST_LENGTH`](crate::MAX_REQUEST_LENGTH).
    #[error("the request is longer than 16384 bytes")]
    TooLong,
    /// The client stopped sending before the request was complete.
    #[error("the request is not complete")]
    Incomplete,
    /// The request was not complete in time.
    #[error("the request did not arrive in time")]
    TooSlow,
}

impl HttpFault {
    /// The status of the reply.
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

    /// The fault of an incomplete request after which the client stopped sending. `None`
    /// for empty lines, which are ignored (RFC 9112, 2.2).
    #[must_use]
    pub fn at_end(bytes: &[u8]) -> Option<Self> {
        let is_blank = bytes.iter().all(|byte| b"\r\n".contains(byte));
        (!is_blank).then_some(Self::Incomplete)
    }
}
