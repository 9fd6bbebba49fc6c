//! The header in which a proxy sends the address of its client: PROXY protocol, versions 1
//! (text) and 2 (binary).
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Maximum length of a header of version 2, in bytes, including all fields after the
/// addresses; version 1 has at most 107.
pub const MAX_HEADER_BYTES: usize = 4096;

/// Section 2.1: "a 108-byte buffer is always enough to store all the line and a
/// trailing zero".
const MAX_LINE_BYTES: usize = 107;

/// Section 2.2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and protocol, and a length.
const FIXED_LENGTH: usize = 16;

/// The content of a header, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The proxy's client; `None` if the connection is the proxy's own (a health check), or
    /// the client is unknown. Never an IPv4-mapped IPv6 address.
    pub source: Option<SocketAddr>,
    /// Length of the header in bytes; the client's data follows.
    pub length: usize,
}

/// Why bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The bytes do not begin like a header of either version.
    #[error("the connection does not begin with a PROXY header")]
    NoHeader,
    /// The line of version 1 is malformed.
    #[error("the header line of PROXY protocol version 1 is malformed")]
    Line,
    /// The version of the binary header is not 2, or the command is unknown.
    #[error("the PROXY header has version and command {0:#04x}; expected 0x20 or 0x21")]
    VersionOrCommand(u8),
    /// The length in the binary header is too small for its addresses.
    #[error("the PROXY header is too short for its addresses")]
    Short,
    /// The binary header is longer than the maximum.
    #[error("the PROXY header has {0} bytes; the longest that is read has {MAX_HEADER_BYTES}")]
    Long(usize),
}

/// Reads a header from the front of the input; `None` if it is not complete.
///
/// # Errors
///
/// As soon as the bytes cannot become a header any more.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    if begins_like(bytes, SIGNATURE) {
        parse_binary(bytes)
    } else if begins_like(bytes, b"PROXY ") {
        parse_line(bytes)
    } else {
        Err(HeaderError::NoHeader)
    }
}

/// Whether the bytes begin with `expected`, as far as they have arrived.
fn begins_like(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(one, other)| one == other)
}

/// Section 2.1: the human-readable header.
fn parse_line(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let window = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        if window.len() == MAX_LINE_BYTES {
            return Err(HeaderError::Line);
        }
        return Ok(None);
    };
    let length = end + 1;
    let line = window[..end]
        .strip_suffix(b"\r")
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(HeaderError::Line)?;
    let mut words = line.split(' ').skip(1);
    let source = match words.next() {
        // "the receiver must ignore anything presented before the CRLF".
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(line_source::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(line_source::<Ipv6Addr>(words)?),
        _ => return Err(HeaderError::Line),
    };
    Ok(Some(Header { source, length }))
}

/// Source address, destination address, source port and destination port.
fn line_source<'a, A: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<SocketAddr, HeaderError> {
    let mut word = || words.next().ok_or(HeaderError::Line);
    let mut address = || word()?.parse::<A>().map_err(|_| HeaderError::Line);
    let (source, _) = (address()?, address()?);
    let mut port = || parse_port(word()?);
    let (source_port, _) = (port()?, port()?);
    if words.next().is_some() {
        return Err(HeaderError::Line);
    }
    let source: IpAddr = source.into();
    Ok(SocketAddr::new(source.to_canonical(), source_port))
}

/// Section 2.1: decimal, without leading zeroes.
fn parse_port(text: &str) -> Result<u16, HeaderError> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !is_plain {
        return Err(HeaderError::Line);
    }
    text.parse().map_err(|_| HeaderError::Line)
}

/// Section 2.2: the binary header.
fn parse_binary(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_LENGTH>() else {
        return Ok(None);
    };
    let version_and_command = fixed[12];
    let is_proxied = match version_and_command {
        // LOCAL: "the connection was established on purpose by the proxy".
        0x20 => false,
        0x21 => true,
        other => return Err(HeaderError::VersionOrCommand(other)),
    };
    let rest_length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let length = FIXED_LENGTH + rest_length;
    if length > MAX_HEADER_BYTES {
        return Err(HeaderError::Long(length));
    }
    let Some(rest) = rest.get(..rest_length) else {
        return Ok(None);
    };
    let source = if is_proxied {
        binary_source(fixed[13], rest)?
    } else {
        None
    };
    Ok(Some(Header { source, length }))
}

fn binary_source(family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    /// Two addresses and two ports.
    const IPV4: usize = 12;
    const IPV6: usize = 36;

    let (address, port_at): (IpAddr, usize) = match family >> 4 {
        1 if rest.len() < IPV4 => return Err(HeaderError::Short),
        1 => {
            let octets: [u8; 4] = [rest[0], rest[1], rest[2], rest[3]];
            (Ipv4Addr::from(octets).into(), 8)
        }
        2 => {
            let octets = rest
                .get(..IPV6)
                .and_then(|rest| rest.first_chunk::<16>())
                .ok_or(HeaderError::Short)?;
            (Ipv6Addr::from(*octets).into(), 32)
        }
        // Unix sockets, and unspecified families: "the receiver should
        // ignore address information".
        _ => return Ok(None),
    };
    let port = u16::from_be_bytes([rest[port_at], rest[port_at + 1]]);
    Ok(Some(SocketAddr::new(address.to_canonical(), port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8]) -> Option<SocketAddr> {
        let header = parse(bytes).unwrap().unwrap();
        assert_eq!(header.length, bytes.len());
        header.source
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn lines_are_read() {
        let ipv4 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
        assert_eq!(source(ipv4), Some("192.0.2.1:56324".parse().unwrap()));
        let ipv6 = b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";
        assert_eq!(source(ipv6), Some("[2001:db8::1]:0".parse().unwrap()));
        let mapped = b"PROXY TCP6 ::ffff:192.0.2.1 ::1 7 8\r\n";
        assert_eq!(source(mapped), Some("192.0.2.1:7".parse().unwrap()));
        assert_eq!(source(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(source(b"PROXY UNKNOWN ffff::1 what ever\r\n"), None);
    }

    #[test]
    fn bad_lines_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(HeaderError::Line), "{line}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(MAX_LINE_BYTES));
        assert_eq!(parse(long.as_bytes()), Err(HeaderError::Line));
    }

    #[test]
    fn binary_headers_are_read() {
        let mut ipv4 = vec![192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 1, 187];
        let expected = Some("192.0.2.1:4660".parse().unwrap());
        assert_eq!(source(&binary(0x21, 0x11, &ipv4)), expected);
        // Additional fields follow the addresses.
        ipv4.extend([4, 0, 1, 0]);
        assert_eq!(source(&binary(0x21, 0x11, &ipv4)), expected);
        assert_eq!(source(&binary(0x20, 0x11, &ipv4)), None);

        let mut ipv6 = [0; 36];
        ipv6[..2].copy_from_slice(&[0xfd, 0]);
        ipv6[15] = 1;
        ipv6[32..34].copy_from_slice(&[0, 80]);
        let expected = Some("[fd00::1]:80".parse().unwrap());
        assert_eq!(source(&binary(0x21, 0x21, &ipv6)), expected);
        assert_eq!(source(&binary(0x21, 0x31, &[0; 216])), None);
        assert_eq!(source(&binary(0x21, 0x00, &[])), None);
        assert_eq!(source(&binary(0x20, 0x00, &[])), None);
    }

    #[test]
    fn bad_binary_headers_are_refused() {
        let error = |bytes: &[u8]| parse(bytes).unwrap_err();
        assert_eq!(
            error(&binary(0x11, 0x11, &[0; 12])),
            HeaderError::VersionOrCommand(0x11)
        );
        assert_eq!(
            error(&binary(0x22, 0x11, &[0; 12])),
            HeaderError::VersionOrCommand(0x22)
        );
        assert_eq!(error(&binary(0x21, 0x11, &[0; 11])), HeaderError::Short);
        assert_eq!(error(&binary(0x21, 0x21, &[0; 35])), HeaderError::Short);
        let long = binary(0x21, 0x11, &[0; MAX_HEADER_BYTES]);
        assert_eq!(error(&long), HeaderError::Long(MAX_HEADER_BYTES + 16));
        assert_eq!(error(b"GET / HTTP/1.1\r\n"), HeaderError::NoHeader);
        assert_eq!(error(b"\r\n\r\nGET"), HeaderError::NoHeader);
    }

    #[test]
    fn every_piece_is_incomplete_and_the_rest_is_left() {
        let headers: [&[u8]; 2] = [
            b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
            &binary(0x21, 0x11, &[1; 20]),
        ];
        for header in headers {
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end]), Ok(None), "{end}");
            }
            let whole = parse(header).unwrap().unwrap();
            assert_eq!(parse(&[header, b"GET"].concat()), Ok(Some(whole)));
        }
    }
}
