//! What a request is for.

use memchr::memchr;

use super::Scheme;
use crate::query::{Parameters, is_escaped_name};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `/announce`, and the query after it.
    Announce(&'a [u8]),
    /// `/scrape`, and the query after it.
    Scrape(&'a [u8]),
    /// What looks like one of these at another path, as when the URL in a torrent
    /// is mistaken: `/?info_hash=`, `/announce/`, `/KEY/announce`.
    Misplaced(Purpose),
    /// `/`, a page for people.
    Index,
    /// `/health`, a page for programs that watch the tracker.
    Health,
    /// Another path.
    Unknown,
    /// Another method than GET and HEAD.
    OtherMethod,
}

/// What a request is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An announce.
    Announce,
    /// A scrape.
    Scrape,
}

impl Purpose {
    /// The path at which it is answered.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Announce => "/announce",
            Self::Scrape => "/scrape",
        }
    }
}

/// A target of a request, in its parts.
pub(super) struct Target<'a> {
    /// Of an absolute URL.
    pub(super) origin: Option<Origin<'a>>,
    path: &'a [u8],
    query: &'a [u8],
}

/// Where a URL leads.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) scheme: Scheme,
    /// With a port, or without.
    pub(super) host: &'a [u8],
}

impl<'a> Target<'a> {
    #[inline]
    pub(super) fn split(target: &'a [u8]) -> Self {
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

    /// What a request at an unknown path, or at `/`, is meant to be.
    #[cold]
    fn purpose(&self) -> Option<Purpose> {
        // `announce`, `announce.php`; what comes behind may be a key.
        let named = |name: &str| {
            let mut segments = self.path.split(|&byte| byte == b'/');
            segments.any(|segment| {
                let stem = segment.split(|&byte| byte == b'.').next();
                stem.is_some_and(|stem| stem.eq_ignore_ascii_case(name.as_bytes()))
            })
        };
        if named("announce") {
            Some(Purpose::Announce)
        } else if named("scrape") {
            Some(Purpose::Scrape)
        } else {
            let mut parameters = Parameters::of(self.query);
            parameters
                .any(|it| it.name == b"info_hash" || is_escaped_name(it.name, b"info_hash"))
                .then_some(Purpose::Announce)
        }
    }
}

impl<'a> Resource<'a> {
    #[inline]
    pub(super) fn find(method: &[u8], target: &Target<'a>) -> Self {
        if !matches!(method, b"GET" | b"HEAD") {
            return Self::OtherMethod;
        }
        let resource = match target.path {
            b"/announce" => return Self::Announce(target.query),
            b"/scrape" => return Self::Scrape(target.query),
            b"/health" => return Self::Health,
            b"/" | b"" => Self::Index,
            _ => Self::Unknown,
        };
        target.purpose().map_or(resource, Self::Misplaced)
    }
}

/// RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests".
#[inline]
fn split_origin(target: &[u8]) -> (Option<Origin<'_>>, &[u8]) {
    if target.first() == Some(&b'/') {
        return (None, target);
    }
    for (start, scheme) in [
        (&b"http://"[..], Scheme::Http),
        (b"https://", Scheme::Https),
    ] {
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
    fn finds_what_is_asked_for() {
        for (target, resource) in [
            ("/announce?a=b?c", Resource::Announce(b"a=b?c")),
            ("/announce", Resource::Announce(b"")),
            ("/scrape?", Resource::Scrape(b"")),
            ("/", Resource::Index),
            ("/?x", Resource::Index),
            ("/health", Resource::Health),
            ("/health?x", Resource::Health),
            ("/?info_hashes=x", Resource::Index),
            ("/?info_hash=x", Resource::Misplaced(Purpose::Announce)),
            ("/?a&info%5fhash", Resource::Misplaced(Purpose::Announce)),
            (
                "/tracker?info_hash=x",
                Resource::Misplaced(Purpose::Announce),
            ),
            ("/announce/", Resource::Misplaced(Purpose::Announce)),
            ("/announce/?x", Resource::Misplaced(Purpose::Announce)),
            ("/Announce", Resource::Misplaced(Purpose::Announce)),
            ("//announce", Resource::Misplaced(Purpose::Announce)),
            ("/announce.php?x", Resource::Misplaced(Purpose::Announce)),
            ("/KEY/announce", Resource::Misplaced(Purpose::Announce)),
            ("/announce/KEY", Resource::Misplaced(Purpose::Announce)),
            ("/x/announce.php/y", Resource::Misplaced(Purpose::Announce)),
            ("announce", Resource::Misplaced(Purpose::Announce)),
            ("/scrape/", Resource::Misplaced(Purpose::Scrape)),
            (
                "/KEY/scrape?info_hash=x",
                Resource::Misplaced(Purpose::Scrape),
            ),
            ("/announcement", Resource::Unknown),
            ("/x.announce", Resource::Unknown),
            ("/x?announce", Resource::Unknown),
            ("*", Resource::Unknown),
            ("/health?info_hash=x", Resource::Health),
            ("http://tracker.test:3000/scrape?x", Resource::Scrape(b"x")),
            ("HTTPS://[::1]:3000/announce", Resource::Announce(b"")),
            ("http://tracker.test", Resource::Index),
            ("http://tracker.test?x", Resource::Index),
            ("http://", Resource::Index),
            ("ftp://tracker.test/x", Resource::Unknown),
        ] {
            let split = Target::split(target.as_bytes());
            assert_eq!(Resource::find(b"GET", &split), resource, "{target}");
            assert_eq!(Resource::find(b"HEAD", &split), resource, "{target}");
        }
        for method in [&b"POST"[..], b"OPTIONS", b"get", b"PUT", b"CONNECT"] {
            let target = Target::split(b"/announce");
            assert_eq!(Resource::find(method, &target), Resource::OtherMethod);
        }
    }
}
