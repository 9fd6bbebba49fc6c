//! Finds a reply in what a server has sent.

/// What the bytes that have come so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// The beginning of a reply.
    Part,
    /// A reply, and nothing after it.
    Whole(Reply<'a>),
    /// Something else.
    Malformed,
}

/// A reply to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// The server allows another request on the connection.
    pub(crate) keeps_open: bool,
}

/// Reads the reply to a request, which is alone because requests are not
/// pipelined. `ended`: nothing more will come.
pub(crate) fn parse(bytes: &[u8], ended: bool) -> Received<'_> {
    let Some(head_length) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if ended || bytes.len() > MAX_HEAD_BYTES {
            Received::Malformed
        } else {
            Received::Part
        };
    };
    let (head, body) = (&bytes[..head_length], &bytes[head_length + 4..]);
    let Some(head) = Head::parse(head) else {
        return Received::Malformed;
    };
    // Without a length, the body ends with the connection (RFC 9112, 6.3).
    let length = match head.content_length {
        Some(length) => length,
        None if ended => body.len(),
        None => usize::MAX,
    };
    if length > MAX_BODY_BYTES && (head.content_length.is_some() || body.len() > MAX_BODY_BYTES) {
        return Received::Malformed;
    }
    match body.len().cmp(&length) {
        std::cmp::Ordering::Less if ended => Received::Malformed,
        std::cmp::Ordering::Less => Received::Part,
        std::cmp::Ordering::Greater => Received::Malformed,
        std::cmp::Ordering::Equal => Received::Whole(Reply {
            status: head.status,
            body,
            keeps_open: head.keeps_open && head.content_length.is_some(),
        }),
    }
}

/// A reply without a body's end by then is none.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Far above any sensible number of peers.
const MAX_BODY_BYTES: usize = 4 << 20;

struct Head {
    status: u16,
    content_length: Option<usize>,
    keeps_open: bool,
}

impl Head {
    fn parse(head: &[u8]) -> Option<Self> {
        let mut lines = head.split(|byte| *byte == b'\n');
        let status_line = lines.next()?;
        let rest = status_line.strip_prefix(b"HTTP/1.")?;
        let (&minor, rest) = rest.split_first()?;
        let digits = rest.strip_prefix(b" ")?.get(..3)?;
        let mut status = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            status = status * 10 + u16::from(digit - b'0');
        }

        let mut this = Self {
            status,
            content_length: None,
            // Before HTTP/1.1, connections were for one request.
            keeps_open: minor == b'1',
        };
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let text = std::str::from_utf8(value).ok()?;
                this.content_length = Some(text.parse().ok()?);
            } else if name.eq_ignore_ascii_case(b"connection") {
                this.keeps_open = !value.eq_ignore_ascii_case(b"close")
                    && (this.keeps_open || value.eq_ignore_ascii_case(b"keep-alive"));
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                // No tracker does that, and no client of trackers has to
                // understand it.
                return None;
            }
        }
        Some(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nde";

    fn whole(bytes: &[u8], ended: bool) -> Reply<'_> {
        match parse(bytes, ended) {
            Received::Whole(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reply_may_come_in_pieces() {
        for length in 0..REPLY.len() {
            assert_eq!(parse(&REPLY[..length], false), Received::Part);
            assert_eq!(parse(&REPLY[..length], true), Received::Malformed);
        }
        let reply = whole(REPLY, false);
        assert_eq!((reply.status, reply.body), (200, &b"de"[..]));
        assert!(reply.keeps_open);
    }

    #[test]
    fn the_server_says_whether_it_keeps_the_connection() {
        let keeps = |head: &str| {
            let bytes = format!("{head}\r\nContent-Length: 0\r\n\r\n").into_bytes();
            whole(&bytes, false).keeps_open
        };
        assert!(keeps("HTTP/1.1 404 Not Found"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nconnection: Close"));
        assert!(!keeps("HTTP/1.0 200 OK"));
        assert!(keeps("HTTP/1.0 200 OK\r\nConnection: Keep-Alive"));
    }

    #[test]
    fn without_a_length_the_end_decides() {
        let bytes = b"HTTP/1.1 200 OK\r\n\r\nde";
        assert_eq!(parse(bytes, false), Received::Part);
        let reply = whole(bytes, true);
        assert_eq!(reply.body, b"de");
        assert!(!reply.keeps_open);
    }

    #[test]
    fn what_is_not_a_reply_is_refused() {
        let long = vec![b'x'; MAX_HEAD_BYTES + 1];
        let replies: [&[u8]; 8] = [
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 2x0 OK\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nde",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &long,
        ];
        for bytes in replies {
            assert_eq!(parse(bytes, false), Received::Malformed, "{bytes:?}");
        }
        let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
        assert_eq!(parse(huge, false), Received::Malformed);
    }
}
