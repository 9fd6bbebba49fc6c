//! Invariants for any bytes that a proxy may send first.

use aquatic_stream::proxy_header::{MAX_HEADER_BYTES, parse};

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let whole = parse(bytes);
    match whole {
        Ok(Some(header)) => {
            assert!(0 < header.length && header.length <= bytes.len().min(MAX_HEADER_BYTES));
            if let Some(source) = header.source {
                assert_eq!(source.ip(), source.ip().to_canonical());
            }
            // Bytes after a header do not change the result.
            assert_eq!(parse(&bytes[..header.length]), whole);
            for end in 0..header.length {
                assert_eq!(parse(&bytes[..end]), Ok(None));
            }
        }
        Ok(None) => assert!(bytes.len() < MAX_HEADER_BYTES),
        Err(_) => {
            // More bytes do not make it valid.
            assert_eq!(parse(&[bytes, b"\r\n"].concat()), whole);
        }
    }
}
