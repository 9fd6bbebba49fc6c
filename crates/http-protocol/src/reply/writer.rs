//! Headers, lengths and numbers.

use super::{Framing, Status};

/// A reply of which the body is being written.
#[derive(Debug)]
pub(super) struct Reply<'b> {
    pub(super) out: &'b mut Vec<u8>,
    /// Where the length of the body stands.
    length_at: usize,
    /// Where the body begins.
    body_at: usize,
    is_head: bool,
}

/// Holds the place of the length until it is known: most bodies have from 100
/// to 999 bytes.
const LENGTH: &[u8] = b"000";

impl<'b> Reply<'b> {
    /// Writes the headers.
    #[inline]
    pub(super) fn begin(out: &'b mut Vec<u8>, framing: Framing, status: Status) -> Self {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.line().as_bytes());
        out.extend_from_slice(b"\r\nContent-Type: text/plain\r\n");
        if framing.closes {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if framing.says_keep_alive {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        if status == Status::MethodNotAllowed {
            out.extend_from_slice(b"Allow: GET, HEAD\r\n");
        }
        out.extend_from_slice(b"Content-Length: ");
        let length_at = out.len();
        out.extend_from_slice(LENGTH);
        out.extend_from_slice(b"\r\n\r\n");
        Self {
            length_at,
            body_at: out.len(),
            is_head: framing.is_head,
            out,
        }
    }

    /// Writes the length of what was appended to `out`.
    #[inline]
    pub(super) fn finish(self) {
        let Self {
            out,
            length_at,
            body_at,
            is_head,
        } = self;
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(out.len() - body_at).as_bytes();
        if is_head {
            out.truncate(body_at);
        }
        let place = length_at..length_at + LENGTH.len();
        if digits.len() == LENGTH.len() {
            out[place].copy_from_slice(digits);
        } else {
            out.splice(place, digits.iter().copied());
        }
    }

    /// Appends `key`, which is bencoded, and a number after it.
    #[inline]
    pub(super) fn integer(&mut self, key: &[u8], number: u32) {
        self.out.extend_from_slice(key);
        self.out.push(b'i');
        let mut buffer = itoa::Buffer::new();
        self.out.extend_from_slice(buffer.format(number).as_bytes());
        self.out.push(b'e');
    }

    /// Appends the length of a text, and the colon before it.
    #[inline]
    pub(super) fn text_length(&mut self, length: usize) {
        let mut buffer = itoa::Buffer::new();
        self.out.extend_from_slice(buffer.format(length).as_bytes());
        self.out.push(b':');
    }

    /// Appends a text.
    #[inline]
    pub(super) fn text(&mut self, text: &[u8]) {
        self.text_length(text.len());
        self.out.extend_from_slice(text);
    }
}

impl Status {
    /// As it stands after the version.
    #[inline]
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::HeadersTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}
