//! The resource of a request.

use aquatic_http1::{Head, Method, Scheme, Target};

use crate::query::{Parameters, is_escaped_name};

/// The resource of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `/announce`, with its query.
    Announce(&'a [u8]),
    /// `/scrape`, with its query.
    Scrape(&'a [u8]),
    /// A request that looks like an announce or a scrape, but has another path, because the
    /// URL in a torrent is wrong: `/?info_hash=`, `/announce/`, `/KEY/announce`.
    Misplaced(Misplaced<'a>),
    /// `/`, a page for humans.
    Index(Site<'a>),
    /// `/health`, a page for health checks.
    Health,
    /// Another path.
    Unknown,
    /// A method other than GET and HEAD.
    OtherMethod,
}

/// A request with a wrong URL, and the parts of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misplaced<'a> {
    /// What the request was meant to be.
    pub purpose: Purpose,
    /// Where it was sent to.
    pub site: Site<'a>,
}

/// The server that a request was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site<'a> {
    /// See [`Head::scheme`].
    pub scheme: Option<Scheme>,
    /// See [`Head::host`].
    pub host: Option<&'a str>,
}

/// What a request was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An announce.
    Announce,
    /// A scrape.
    Scrape,
}

impl Purpose {
    /// The path of these requests.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Announce => "/announce",
            Self::Scrape => "/scrape",
        }
    }

    /// The path of these requests for clients with a key, which replaces `KEY`.
    #[must_use]
    pub fn path_with_key(self) -> &'static str {
        match self {
            Self::Announce => "/KEY/announce",
            Self::Scrape => "/KEY/scrape",
        }
    }

    /// Guesses what a request with an unknown path, or `/`, was meant to be.
    fn guess(target: &Target<'_>) -> Option<Self> {
        // `announce` or `announce.php`; a key may follow.
        let named = |name: &str| {
            let mut segments = target.path.split(|&byte| byte == b'/');
            segments.any(|segment| {
                let stem = segment.split(|&byte| byte == b'.').next();
                stem.is_some_and(|stem| stem.eq_ignore_ascii_case(name.as_bytes()))
            })
        };
        if named("announce") {
            Some(Self::Announce)
        } else if named("scrape") {
            Some(Self::Scrape)
        } else {
            let mut parameters = Parameters::of(target.query);
            parameters
                .any(|it| it.name == b"info_hash" || is_escaped_name(it.name, b"info_hash"))
                .then_some(Self::Announce)
        }
    }
}

impl<'a> Resource<'a> {
    /// Determines the resource of a request.
    #[inline]
    #[must_use]
    pub fn of(head: &Head<'a>) -> Self {
        let target = &head.target;
        match (head.method, target.path) {
            (Method::Other, _) => Self::OtherMethod,
            (_, b"/announce") => Self::Announce(target.query),
            (_, b"/scrape") => Self::Scrape(target.query),
            (_, b"/health") => Self::Health,
            (_, b"/" | b"") => Self::misplaced(head).unwrap_or_else(|| Self::Index(Site::of(head))),
            _ => Self::misplaced(head).unwrap_or(Self::Unknown),
        }
    }

    #[cold]
    fn misplaced(head: &Head<'a>) -> Option<Self> {
        let purpose = Purpose::guess(&head.target)?;
        Some(Self::Misplaced(Misplaced {
            purpose,
            site: Site::of(head),
        }))
    }
}

impl<'a> Site<'a> {
    #[cold]
    fn of(head: &Head<'a>) -> Self {
        Self {
            scheme: head.scheme(),
            host: head.host,
        }
    }
}

#[cfg(test)]
mod tests {
    use aquatic_http1::{HeaderBuffer, Reading};

    use super::*;

    fn misplaced(purpose: Purpose) -> Resource<'static> {
        Resource::Misplaced(Misplaced {
            purpose,
            site: site(None, "x"),
        })
    }

    fn site(scheme: Option<Scheme>, host: &str) -> Site<'_> {
        Site {
            scheme,
            host: Some(host),
        }
    }

    fn index() -> Resource<'static> {
        Resource::Index(site(None, "x"))
    }

    fn index_of(host: &str) -> Resource<'_> {
        Resource::Index(site(Some(Scheme::Http), host))
    }

    fn check(request: &str, resource: Resource<'_>) {
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut headers = HeaderBuffer::new();
        let Reading::Complete { head, .. } = Reading::of(request.as_bytes(), &mut headers) else {
            panic!("{request}");
        };
        assert_eq!(Resource::of(&head), resource, "{request}");
    }

    #[test]
    fn finds_what_is_asked_for() {
        for (target, resource) in [
            ("/announce?a=b?c", Resource::Announce(b"a=b?c")),
            ("/announce", Resource::Announce(b"")),
            ("/scrape?", Resource::Scrape(b"")),
            ("/", index()),
            ("/?x", index()),
            ("/health", Resource::Health),
            ("/health?x", Resource::Health),
            ("/?info_hashes=x", index()),
            ("/?info_hash=x", misplaced(Purpose::Announce)),
            ("/?a&info%5fhash", misplaced(Purpose::Announce)),
            ("/tracker?info_hash=x", misplaced(Purpose::Announce)),
            ("/announce/", misplaced(Purpose::Announce)),
            ("/announce/?x", misplaced(Purpose::Announce)),
            ("/Announce", misplaced(Purpose::Announce)),
            ("//announce", misplaced(Purpose::Announce)),
            ("/announce.php?x", misplaced(Purpose::Announce)),
            ("/KEY/announce", misplaced(Purpose::Announce)),
            ("/announce/KEY", misplaced(Purpose::Announce)),
            ("/x/announce.php/y", misplaced(Purpose::Announce)),
            ("announce", misplaced(Purpose::Announce)),
            ("/scrape/", misplaced(Purpose::Scrape)),
            ("/KEY/scrape?info_hash=x", misplaced(Purpose::Scrape)),
            ("/announcement", Resource::Unknown),
            ("/x.announce", Resource::Unknown),
            ("/x?announce", Resource::Unknown),
            ("*", Resource::Unknown),
            ("/health?info_hash=x", Resource::Health),
            ("http://tracker.test:3000/scrape?x", Resource::Scrape(b"x")),
            ("HTTPS://[::1]:3000/announce", Resource::Announce(b"")),
            ("http://tracker.test", index_of("tracker.test")),
            ("http://tracker.test?x", index_of("tracker.test")),
            (
                "http://",
                Resource::Index(Site {
                    scheme: Some(Scheme::Http),
                    host: None,
                }),
            ),
            ("ftp://tracker.test/x", Resource::Unknown),
        ] {
            for method in ["GET", "HEAD"] {
                check(&format!("{method} {target}"), resource);
            }
        }
        for method in ["POST", "OPTIONS", "get", "PUT", "CONNECT"] {
            check(&format!("{method} /announce"), Resource::OtherMethod);
        }
    }

    #[test]
    fn knows_the_server_of_a_misplaced_request() {
        check(
            "GET HTTPS://a:3000/announce.php",
            Resource::Misplaced(Misplaced {
                purpose: Purpose::Announce,
                site: site(Some(Scheme::Https), "a:3000"),
            }),
        );
    }
}
