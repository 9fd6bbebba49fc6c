//! Replies whose length is not known when they begin.

use std::io::Write as _;

use crate::{Framing, Head, Status, Version};

/// How a reply of unknown length is framed: in chunks (RFC 9112, 7.1), or until the end of
/// the connection, for clients of HTTP/1.0, which know no chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streamed {
    /// The framing. The connection is closed after the reply if it has no chunks.
    pub framing: Framing,
    is_chunked: bool,
}

impl Streamed {
    /// The framing of the reply to a request. The connection stays open if `stays`, and the
    /// client and its version allow it.
    #[must_use]
    pub fn of(head: &Head<'_>, stays: bool) -> Self {
        let is_chunked = head.version == Version::Http11;
        Self {
            framing: Framing::of(head, stays && is_chunked),
            is_chunked,
        }
    }

    /// Appends the status line and headers: `headers`, each with its line end, and those that
    /// depend on the framing.
    pub fn begin(self, out: &mut Vec<u8>, status: Status, headers: &str) {
        self.framing.write_head(out, status, headers);
        if self.is_chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends what `write` appends as a part of the body. It may be nothing.
    pub fn append(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        /// Digits of a length, which may begin with zeros.
        const LENGTH: &[u8] = b"00000000\r\n";

        let start = out.len();
        if self.is_chunked {
            out.extend_from_slice(LENGTH);
        }
        let body_at = out.len();
        write(out);
        let length = out.len() - body_at;
        if length == 0 || self.framing.is_head {
            // An empty chunk would be the last one.
            out.truncate(start);
        } else if self.is_chunked {
            // Writing to a slice that is long enough cannot fail.
            let _ = write!(&mut out[start..], "{length:08x}");
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Completes the reply.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.is_chunked && !self.framing.is_head {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeaderBuffer, Reading};

    fn reply(request: &str, parts: &[&str]) -> (Framing, String) {
        let mut headers = HeaderBuffer::new();
        let Reading::Complete { head, .. } = Reading::of(request.as_bytes(), &mut headers) else {
            panic!("{request}");
        };
        let streamed = Streamed::of(&head, true);
        let mut out = b"before".to_vec();
        streamed.begin(&mut out, Status::Ok, "A: b\r\n");
        for part in parts {
            streamed.append(&mut out, |out| out.extend_from_slice(part.as_bytes()));
        }
        streamed.finish(&mut out);
        (streamed.framing, String::from_utf8(out).unwrap())
    }

    #[test]
    fn http_1_1_gets_chunks() {
        let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let long = "x".repeat(300);
        let (framing, text) = reply(request, &["ab", "", &long]);
        assert!(!framing.closes);
        let expected = format!(
            "beforeHTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n\
             00000002\r\nab\r\n0000012c\r\n{long}\r\n0\r\n\r\n"
        );
        assert_eq!(text, expected);
        let (framing, text) = reply(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            &[],
        );
        assert!(framing.closes);
        assert!(text.contains("Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
    }

    #[test]
    fn http_1_0_gets_everything_until_the_end() {
        let (framing, text) = reply(
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            &["ab", "c"],
        );
        assert!(framing.closes);
        let expected = "beforeHTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nabc";
        assert_eq!(text, expected);
    }

    #[test]
    fn head_gets_no_body() {
        let (framing, text) = reply("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", &["ab"]);
        assert!(!framing.closes);
        assert!(
            text.ends_with("Transfer-Encoding: chunked\r\n\r\n"),
            "{text}"
        );
    }
}
