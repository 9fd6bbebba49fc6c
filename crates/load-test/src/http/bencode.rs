//! Checks the body of a reply, which is bencoded (BEP 3).

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH};

/// The parts of a tracker's reply that are checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    /// The failure reason.
    pub(crate) failure: Option<&'a [u8]>,
    /// Required in an announce reply.
    pub(crate) has_interval: bool,
    /// Required in a scrape reply.
    pub(crate) has_files: bool,
    /// Number of peers of both families, compact or not.
    pub(crate) peers: usize,
}

/// Parses a reply: one dictionary, which may be followed by a line end, as some trackers
/// send it. `None` if it is malformed.
pub(crate) fn parse(body: &[u8]) -> Option<Reply<'_>> {
    let mut reader = Reader { rest: body };
    if reader.next()? != Token::Dictionary {
        return None;
    }
    let mut reply = Reply::default();
    loop {
        let key = match reader.next()? {
            Token::Text(key) => key,
            Token::End => break,
            _ => return None,
        };
        let value = reader.next()?;
        let elements = reader.skip(value)?;
        match (key, value) {
            (b"failure reason", Token::Text(reason)) => reply.failure = Some(reason),
            (b"interval", Token::Integer) => reply.has_interval = true,
            (b"files", Token::Dictionary) => reply.has_files = true,
            // Compact peers (BEP 23, BEP 7).
            (b"peers", Token::Text(peers)) => reply.peers += peers.len() / IPV4_PEER_LENGTH,
            (b"peers6", Token::Text(peers)) => reply.peers += peers.len() / IPV6_PEER_LENGTH,
            (b"peers", Token::List) => reply.peers += elements,
            _ => {}
        }
    }
    matches!(reader.rest, b"" | END_OF_LINE).then_some(reply)
}

const END_OF_LINE: &[u8] = b"\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Integer,
    Text(&'a [u8]),
    List,
    Dictionary,
    End,
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.rest.split_first()?;
        match first {
            b'd' => {
                self.rest = rest;
                Some(Token::Dictionary)
            }
            b'l' => {
                self.rest = rest;
                Some(Token::List)
            }
            b'e' => {
                self.rest = rest;
                Some(Token::End)
            }
            b'i' => {
                let end = rest.iter().position(|byte| *byte == b'e')?;
                let digits = rest[..end].strip_prefix(b"-").unwrap_or(&rest[..end]);
                self.rest = &rest[end + 1..];
                let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
                is_number.then_some(Token::Integer)
            }
            _ => self.text(),
        }
    }

    fn text(&mut self) -> Option<Token<'a>> {
        let mut length = 0usize;
        for (index, byte) in self.rest.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    length = length
                        .checked_mul(10)?
                        .checked_add(usize::from(byte - b'0'))?;
                }
                b':' if index > 0 => {
                    let (text, rest) = self.rest[index + 1..].split_at_checked(length)?;
                    self.rest = rest;
                    return Some(Token::Text(text));
                }
                _ => return None,
            }
        }
        None
    }

    /// Skips a value that has begun; returns the number of values directly within it.
    fn skip(&mut self, value: Token<'_>) -> Option<usize> {
        let mut depth = match value {
            Token::List | Token::Dictionary => 1usize,
            Token::End => return None,
            Token::Integer | Token::Text(_) => return Some(0),
        };
        let mut elements = 0;
        while depth > 0 {
            let token = self.next()?;
            elements += usize::from(depth == 1 && token != Token::End);
            match token {
                Token::List | Token::Dictionary => depth += 1,
                Token::End => depth -= 1,
                Token::Integer | Token::Text(_) => {}
            }
        }
        Some(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announce_replies() {
        let body =
            b"d8:completei1e8:intervali900e5:peers12:aaaaaabbbbbb6:peers618:ccccccccccccccccccE";
        assert_eq!(parse(body), None);
        let body =
            b"d8:completei1e8:intervali900e5:peers12:aaaaaabbbbbb6:peers618:cccccccccccccccccce";
        let reply = parse(body).unwrap();
        assert_eq!((reply.peers, reply.has_interval), (3, true));

        let body = b"d8:intervali-1e5:peersld2:ip9:127.0.0.14:porti1eed2:ip3:::14:porti2eeee";
        assert_eq!(parse(body).unwrap().peers, 2);
    }

    #[test]
    fn a_reply_may_end_with_the_end_of_a_line() {
        let body = b"d8:intervali900e5:peers6:aaaaaae\r\n";
        assert_eq!(parse(body).unwrap().peers, 1);
        for tail in [&b"\n"[..], b"\r", b"\r\n\r\n", b"\r\nd"] {
            assert_eq!(parse(&[&body[..32], tail].concat()), None, "{tail:?}");
        }
    }

    #[test]
    fn scrapes_and_failures() {
        let body = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1eeee";
        assert!(parse(body).unwrap().has_files);
        let reply = parse(b"d14:failure reason5:sorrye").unwrap();
        assert_eq!(reply.failure, Some(&b"sorry"[..]));
    }

    #[test]
    fn what_is_not_bencode_is_refused() {
        let good = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1eee5:otherllei1ee1:xe";
        let bodies: [&[u8]; 12] = [
            b"",
            b"de ",
            b"i1e",
            b"d",
            b"e",
            b"d1:ae",
            b"di1ei1ee",
            b"d1:ai1xee",
            b"d1:aiee",
            b"d99999999999999999999:e",
            b"d:e",
            b"d3:abe",
        ];
        for body in bodies {
            assert_eq!(parse(body), None, "{}", String::from_utf8_lossy(body));
        }
        for length in 0..good.len() {
            assert_eq!(parse(&good[..length]), None);
        }
    }
}
