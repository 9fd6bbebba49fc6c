//! Announce URLs.

use std::fmt;
use std::net::IpAddr;

/// The scheme of an announce URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// BEP 15.
    Udp,
    /// BEP 3.
    Http,
    /// BEP 3 within TLS.
    Https,
    /// WebTorrent.
    Ws,
    /// WebTorrent within TLS.
    Wss,
}

impl Scheme {
    const ALL: [(&'static str, Self); 5] = [
        ("udp", Self::Udp),
        ("http", Self::Http),
        ("https", Self::Https),
        ("ws", Self::Ws),
        ("wss", Self::Wss),
    ];

    /// As it is written in URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, scheme)| *scheme == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Wss)
    }

    /// The port if the URL has none; UDP trackers have no default.
    fn default_port(self) -> Option<u16> {
        match self {
            Self::Udp => None,
            Self::Http | Self::Ws => Some(80),
            Self::Https | Self::Wss => Some(443),
        }
    }
}

/// An announce URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The scheme.
    pub scheme: Scheme,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port, whether it was written or not.
    pub port: u16,
    /// Path and query, from the slash on.
    pub path: String,
}

impl Url {
    /// Parses a URL; the error says what would be right.
    ///
    /// # Errors
    ///
    /// If it is not an announce URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let faulty = |reason: &str| {
            let start = text.find("://").map_or(0, |at| at + 3);
            let path = text[start..]
                .find(['/', '?', '#'])
                .map_or(text.len(), |at| start + at);
            let shown = format!("{}{}", &text[..path], without_keys(&text[path..]));
            format!(
                "{shown} is not an announce URL: {reason}; expected one like udp://HOST:3000 or https://HOST/announce"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| faulty("no scheme"))?;
        let lower = scheme.to_ascii_lowercase();
        let scheme = Scheme::ALL.iter().find(|(name, _)| *name == lower);
        let (_, scheme) = *scheme.ok_or_else(|| faulty("unknown scheme"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(faulty("it contains a user name"));
        }
        // Hosts and paths are sent as they are.
        if text.bytes().any(|byte| byte <= b' ' || byte >= 0x7f) {
            return Err(faulty("it contains characters that must be escaped"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| faulty("no ]"))?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(faulty("no host"));
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => scheme.default_port(),
        };
        let path = path.split('#').next().unwrap_or_default();
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port: port.ok_or_else(|| faulty("no port"))?,
            path: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
        })
    }

    /// The address, if the host is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Host and port as in the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let port = if self.scheme.default_port() == Some(self.port) {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        if self.host.contains(':') {
            format!("[{}]{port}", self.host)
        } else {
            format!("{}{port}", self.host)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.name(),
            self.authority(),
            without_keys(&self.path)
        )
    }
}

/// Minimum length of what may be the key of a client.
const MIN_KEY_LENGTH: usize = 16;

/// A path and query with `KEY` in place of everything that may be the key of a client:
/// findings are shown to others.
fn without_keys(path: &str) -> String {
    let mut shown = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let is_of_key = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == '_';
        let end = rest.find(|one| is_of_key(one) != is_of_key(first));
        let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
        let is_key = is_of_key(first) && run.len() >= MIN_KEY_LENGTH;
        shown.push_str(if is_key { "KEY" } else { run });
        rest = after;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announce_urls_are_parsed() {
        for (text, scheme, host, port, path, shown) in [
            (
                "udp://t.example:3000",
                Scheme::Udp,
                "t.example",
                3000,
                "/",
                "udp://t.example:3000/",
            ),
            (
                "https://t.example/announce",
                Scheme::Https,
                "t.example",
                443,
                "/announce",
                "https://t.example/announce",
            ),
            (
                "HTTP://[::1]:80/a?b#c",
                Scheme::Http,
                "::1",
                80,
                "/a?b",
                "http://[::1]/a?b",
            ),
            (
                "wss://t.example?key",
                Scheme::Wss,
                "t.example",
                443,
                "/?key",
                "wss://t.example/?key",
            ),
            (
                "ws://192.0.2.1:8000/",
                Scheme::Ws,
                "192.0.2.1",
                8000,
                "/",
                "ws://192.0.2.1:8000/",
            ),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.scheme, &*url.host, url.port, &*url.path),
                (scheme, host, port, path)
            );
            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let key = "0123456789abcdef0123456789abcdef";
        for (url, shown) in [
            (
                "https://t.example/KEY/announce",
                "https://t.example/KEY/announce",
            ),
            (
                "udp://t.example:1/announce/KEY",
                "udp://t.example:1/announce/KEY",
            ),
            (
                "wss://t.example?passkey=KEY&x=1",
                "wss://t.example/?passkey=KEY&x=1",
            ),
        ] {
            let url = url.replace("KEY", key);
            assert_eq!(Url::parse(&url).unwrap().to_string(), shown);
            let faulty = url.replace("://t.example", "://a@t.example");
            let reason = Url::parse(&faulty).unwrap_err();
            assert!(!reason.contains(key), "{reason}");
        }
        let reason = Url::parse(&format!("t.example/{key}/announce")).unwrap_err();
        assert!(!reason.contains(key), "{reason}");
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "t.example:3000",
            "ftp://t.example/",
            "udp://t.example",
            "udp://t.example:0",
            "udp://t.example:99999",
            "udp://:3000",
            "https:///announce",
            "http://[::1/",
            "http://user@t.example/",
            "http://t.example/a b",
            "http://t.example/\r\nX: y",
        ] {
            let reason = Url::parse(text).unwrap_err();
            assert!(reason.contains("expected one like"), "{reason}");
        }
    }
}
