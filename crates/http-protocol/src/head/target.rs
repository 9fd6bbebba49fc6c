//! What a request is for.

use memchr::memchr;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `/announce`, and the query after it.
    Announce(&'a [u8]),
    /// `/scrape`, and the query after it.
    Scrape(&'a [u8]),
    /// `/`, a page for people.
    Index,
    /// `/health`, a page for programs that watch the tracker.
    Health,
    /// Another path.
    Unknown,
    /// Another method than GET and HEAD.
    OtherMethod,
}

impl<'a> Resource<'a> {
    #[inline]
    pub(super) fn find(method: &[u8], target: &'a [u8]) -> Self {
        if !matches!(method, b"GET" | b"HEAD") {
            return Self::OtherMethod;
        }
        let target = without_origin(target);
        let (path, query) = match memchr(b'?', target) {
            Some(end) => (&target[..end], &target[end + 1..]),
            None => (target, &[][..]),
        };
        match path {
            b"/announce" => Self::Announce(query),
            b"/scrape" => Self::Scrape(query),
            b"/" | b"" => Self::Index,
            b"/health" => Self::Health,
            _ => Self::Unknown,
        }
    }
}

/// RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests".
#[inline]
fn without_origin(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    for scheme in [&b"http://"[..], b"https://"] {
        if let Some((start, rest)) = target.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
            return &rest[end.unwrap_or(rest.len())..];
        }
    }
    target
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
            ("/announce/", Resource::Unknown),
            ("/Announce", Resource::Unknown),
            ("//announce", Resource::Unknown),
            ("*", Resource::Unknown),
            ("announce", Resource::Unknown),
            ("http://tracker.test:3000/scrape?x", Resource::Scrape(b"x")),
            ("HTTPS://[::1]:3000/announce", Resource::Announce(b"")),
            ("http://tracker.test", Resource::Index),
            ("http://tracker.test?x", Resource::Index),
            ("http://", Resource::Index),
            ("ftp://tracker.test/announce", Resource::Unknown),
        ] {
            assert_eq!(
                Resource::find(b"GET", target.as_bytes()),
                resource,
                "{target}"
            );
            assert_eq!(
                Resource::find(b"HEAD", target.as_bytes()),
                resource,
                "{target}"
            );
        }
        for method in [&b"POST"[..], b"OPTIONS", b"get", b"PUT", b"CONNECT"] {
            assert_eq!(Resource::find(method, b"/announce"), Resource::OtherMethod);
        }
    }
}
