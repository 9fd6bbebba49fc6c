//! The target of a request.

use memchr::memchr;
use strum::{EnumString, IntoStaticStr};

/// The parsed target of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Scheme and host of an absolute URL, which clients send to proxies.
    pub origin: Option<Origin<'a>>,
    /// The part before the first question mark. Any bytes except spaces and line ends.
    pub path: &'a [u8],
    /// The part after the question mark; empty if there is none.
    pub query: &'a [u8],
}

/// Scheme and host of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// The host, with or without a port. Any bytes.
    pub host: &'a [u8],
}

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(ascii_case_insensitive, serialize_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The scheme's name in URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        str::from_utf8(name).ok()?.parse().ok()
    }
}

impl<'a> Target<'a> {
    /// Parses a target that is not empty.
    #[inline]
    #[must_use]
    pub fn split(target: &'a [u8]) -> Self {
        let (origin, target) = split_origin(target);
        let (path, query) = match memchr(b'?', target) {
            Some(end) => (&target[..end], &target[end + 1..]),
            None => (target, &[][..]),
        };
        Self {
            origin,
            path,
            query,
        }
    }
}

/// Prefixes of absolute URLs. WebSocket URLs identify the same servers (RFC 6455, 3).
const STARTS: [(&[u8], Scheme); 4] = [
    (b"http://", Scheme::Http),
    (b"https://", Scheme::Https),
    (b"ws://", Scheme::Http),
    (b"wss://", Scheme::Https),
];

/// RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests".
#[inline]
fn split_origin(target: &[u8]) -> (Option<Origin<'_>>, &[u8]) {
    if target.first() == Some(&b'/') {
        return (None, target);
    }
    for (start, scheme) in STARTS {
        if let Some((found, rest)) = target.split_at_checked(start.len())
            && found.eq_ignore_ascii_case(start)
        {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
            let (host, rest) = rest.split_at(end.unwrap_or(rest.len()));
            return (Some(Origin { scheme, host }), rest);
        }
    }
    (None, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_targets() {
        for (target, origin, path, query) in [
            ("/announce?a=b?c", None, "/announce", "a=b?c"),
            ("/scrape?", None, "/scrape", ""),
            ("/", None, "/", ""),
            ("*", None, "*", ""),
            ("//x/y", None, "//x/y", ""),
            (
                "http://a:3000/b?c",
                Some((Scheme::Http, "a:3000")),
                "/b",
                "c",
            ),
            ("HTTPS://[::1]/b", Some((Scheme::Https, "[::1]")), "/b", ""),
            ("http://a?c", Some((Scheme::Http, "a")), "", "c"),
            ("http://", Some((Scheme::Http, "")), "", ""),
            ("ws://a/b", Some((Scheme::Http, "a")), "/b", ""),
            ("WSS://a/b", Some((Scheme::Https, "a")), "/b", ""),
            ("ftp://a/b", None, "ftp://a/b", ""),
        ] {
            let expected = Target {
                origin: origin.map(|(scheme, host)| Origin {
                    scheme,
                    host: host.as_bytes(),
                }),
                path: path.as_bytes(),
                query: query.as_bytes(),
            };
            assert_eq!(Target::split(target.as_bytes()), expected, "{target}");
        }
    }
}
