//! The page for people at `/` of the trackers over HTTP and WebSocket.
//!
//! It is made when the configuration is read, except the URL, which depends on the request,
//! and totals. So a request costs little more than copying it.

use aquatic_http1::{Framing, Reply, Status};
use aquatic_service::config::{Checks, PageConfig, PublicUrl};
use aquatic_service::html::{self, BASE_STYLE, escape};
use aquatic_swarm::Swarms;
use serde::Serialize;

/// For how many seconds totals are not counted again.
const TOTALS_SECONDS: u32 = 10;

/// Stand in the page for what is filled in later. No value can contain them, because their
/// signs would be escaped.
const URL_MARK: &str = "<url>";
const TOTALS_MARK: &str = "<totals>";

/// What the page is made of.
#[derive(Debug, Clone, Copy)]
pub struct FrontPageParts<'a> {
    /// The name of the daemon.
    pub daemon: &'static str,
    /// What it is, and what to do with the URL that follows.
    pub about: &'static str,
    /// Name, contact, and whether there are totals.
    pub config: &'a PageConfig,
    /// The URL, if it does not depend on the request.
    pub public_url: &'a PublicUrl,
}

/// The page, but for what depends on the request.
#[derive(Debug, Clone)]
pub struct FrontPage {
    headers: String,
    before_url: String,
    after_url: String,
    after_totals: Option<String>,
    /// Escaped.
    public_url: Option<String>,
}

/// Where a request for the page was sent to.
#[derive(Debug, Clone, Copy)]
pub struct RequestedAt<'a> {
    /// That of the announce URL.
    pub scheme: &'static str,
    /// The host and port of the request, if it has any.
    pub host: Option<&'a str>,
    /// The path of announces, which may be empty.
    pub path: &'static str,
}

/// The totals of a tracker in words, as one worker has counted them lately.
#[derive(Debug, Default)]
pub struct RecentTotals {
    counted_at: Option<u32>,
    text: String,
}

#[derive(Serialize)]
struct Values<'a> {
    name: &'a str,
    about: &'a str,
    url_mark: &'static str,
    contact: &'a str,
    contact_link: String,
    has_totals: bool,
    totals_mark: &'static str,
    daemon: &'a str,
    version: &'static str,
    style: &'static str,
}

impl FrontPage {
    /// Makes the page.
    pub fn new(parts: FrontPageParts<'_>, checks: &mut Checks) -> Self {
        let FrontPageParts {
            daemon,
            about,
            config,
            public_url,
        } = parts;
        let values = Values {
            name: if config.name.is_empty() {
                daemon
            } else {
                &config.name
            },
            about,
            url_mark: URL_MARK,
            contact: &config.contact,
            contact_link: link(&config.contact),
            has_totals: config.totals,
            totals_mark: TOTALS_MARK,
            daemon,
            version: env!("CARGO_PKG_VERSION"),
            style: BASE_STYLE.text,
        };
        let text = html::render(include_str!("front_page.html"), values);
        let text = text.unwrap_or_else(|error| {
            checks.fail("page", format!("the page cannot be made: {error}"));
            String::new()
        });
        let (before_url, rest) = text.split_once(URL_MARK).unwrap_or((&text, ""));
        let (after_url, after_totals) = match rest.split_once(TOTALS_MARK) {
            Some((before, after)) => (before, Some(after.to_owned())),
            None => (rest, None),
        };
        Self {
            headers: html::headers(&[BASE_STYLE], &[]),
            before_url: before_url.to_owned(),
            after_url: after_url.to_owned(),
            after_totals,
            public_url: public_url.get().map(escape),
        }
    }

    /// Appends the reply to a request. `totals` returns [`RecentTotals::text`].
    pub fn write<'t>(
        &self,
        out: &mut Vec<u8>,
        framing: Framing,
        requested_at: RequestedAt<'_>,
        totals: impl FnOnce() -> &'t str,
    ) {
        let RequestedAt { scheme, host, path } = requested_at;
        let mut reply = Reply::begin(out, framing, Status::Ok, &self.headers);
        let body = reply.body();
        body.extend_from_slice(self.before_url.as_bytes());
        match (&self.public_url, host) {
            (Some(url), _) => body.extend_from_slice(url.as_bytes()),
            (None, Some(host)) => {
                for part in [scheme, "://", &escape(host), path] {
                    body.extend_from_slice(part.as_bytes());
                }
            }
            // HTTP/1.0 permits that.
            (None, None) => {
                for part in [scheme, "://ADDRESS", path] {
                    body.extend_from_slice(part.as_bytes());
                }
            }
        }
        body.extend_from_slice(self.after_url.as_bytes());
        if let Some(after_totals) = &self.after_totals {
            body.extend_from_slice(totals().as_bytes());
            body.extend_from_slice(after_totals.as_bytes());
        }
        reply.finish();
    }
}

impl RecentTotals {
    /// The totals at a time in seconds; some seconds old, so that requests do not have them
    /// counted all the time.
    pub fn text(&mut self, swarms: &impl Swarms, now_seconds: u32) -> &str {
        let is_recent = |then: u32| now_seconds.abs_diff(then) < TOTALS_SECONDS;
        if !self.counted_at.is_some_and(is_recent) {
            let [mut torrents, mut peers, mut seeders] = [0_u64; 3];
            for (_, totals) in swarms.totals() {
                torrents += totals.torrents as u64;
                peers += totals.peers as u64;
                seeders += totals.seeders as u64;
            }
            self.text = format!("Torrents: {torrents}, peers: {peers}, seeders: {seeders}");
            self.counted_at = Some(now_seconds);
        }
        &self.text
    }
}

/// Where a link from a contact leads; nothing if it is no address.
fn link(contact: &str) -> String {
    let is_word = !contact.contains(char::is_whitespace);
    if is_word && (contact.starts_with("https://") || contact.starts_with("http://")) {
        contact.to_owned()
    } else if is_word && contact.split('@').filter(|part| !part.is_empty()).count() == 2 {
        format!("mailto:{contact}")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use aquatic_swarm::{Families, HashKey, SwarmLimits};

    use super::*;

    fn page(config: &PageConfig, host: Option<&str>) -> String {
        let mut checks = Checks::new();
        let parts = FrontPageParts {
            daemon: "aquatic-http",
            about: "A tracker:",
            config,
            public_url: &PublicUrl::default(),
        };
        let page = FrontPage::new(parts, &mut checks);
        checks.finish(()).unwrap();
        let mut out = Vec::new();
        let requested_at = RequestedAt {
            scheme: "http",
            host,
            path: "/announce",
        };
        page.write(&mut out, Framing::CLOSING, requested_at, || "7 torrents");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn has_the_url_of_the_request() {
        let text = page(&PageConfig::default(), Some("tracker.test:3000"));
        assert!(text.contains("<code class=\"url\">http://tracker.test:3000/announce</code>"));
        assert!(text.contains("<h1>aquatic-http</h1>"), "{text}");
        assert!(!text.contains("Contact"), "{text}");
        assert!(!text.contains("torrents"), "{text}");
        let length = text.split("\r\n\r\n").nth(1).unwrap().len();
        assert!(
            text.contains(&format!("Content-Length: {length}\r\n")),
            "{text}"
        );
        assert!(text.contains("Content-Security-Policy: default-src 'none'"));
        assert!(page(&PageConfig::default(), None).contains(">http://ADDRESS/announce<"));
    }

    #[test]
    fn names_a_contact_as_a_link_if_it_is_one() {
        for (contact, expected) in [
            (
                "admin@tracker.test",
                "<a href=\"mailto:admin@tracker.test\">admin@tracker.test</a>",
            ),
            (
                "https://x.test",
                "<a href=\"https:&#x2f;&#x2f;x.test\">https:&#x2f;&#x2f;x.test</a>",
            ),
            ("#aquatic on IRC", "Contact: #aquatic on IRC"),
            ("javascript:alert(1)", "Contact: javascript:alert(1)"),
            ("a@b@c", "Contact: a@b@c"),
            ("@", "Contact: @"),
        ] {
            let config = PageConfig {
                contact: contact.parse().unwrap(),
                ..PageConfig::default()
            };
            let text = page(&config, None);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn nothing_from_configuration_or_request_becomes_part_of_the_page() {
        let hostile = "<script>alert(1)</script>\"'<url><totals>";
        let config = PageConfig {
            name: hostile.parse().unwrap(),
            contact: format!("https://{hostile}").parse().unwrap(),
            totals: true,
        };
        // The request parser would refuse such a host.
        let text = page(&config, Some("<script>alert(2)</script>"));
        assert!(!text.contains("<script"), "{text}");
        assert!(!text.contains("\"'"), "{text}");
        assert!(
            !text.contains("<url>") && !text.contains("<totals>"),
            "{text}"
        );
        assert_eq!(text.matches("&lt;script&gt;alert").count(), 5, "{text}");
        assert!(text.contains("<p>7 torrents</p>"), "{text}");
    }

    #[test]
    fn the_public_url_is_preferred() {
        let parts = FrontPageParts {
            daemon: "aquatic-ws",
            about: "",
            config: &PageConfig::default(),
            public_url: &"wss://public.test/&x".parse().unwrap(),
        };
        let page = FrontPage::new(parts, &mut Checks::new());
        let mut out = Vec::new();
        let requested_at = RequestedAt {
            scheme: "ws",
            host: Some("private.test"),
            path: "",
        };
        page.write(&mut out, Framing::CLOSING, requested_at, || "");
        let text = String::from_utf8(out).unwrap();
        let url = "<code class=\"url\">wss:&#x2f;&#x2f;public.test&#x2f;&amp;x</code>";
        assert!(text.contains(url), "{text}");
        assert!(!text.contains("private.test"), "{text}");
    }

    #[test]
    fn totals_are_counted_every_ten_seconds_at_most() {
        let swarms = Families::new(HashKey::new([1; 16]), SwarmLimits::default());
        let mut totals = RecentTotals::default();
        let none = "Torrents: 0, peers: 0, seeders: 0";
        assert_eq!(totals.text(&swarms, 100), none);
        totals.text = "old".to_owned();
        assert_eq!(totals.text(&swarms, 109), "old");
        // If the clock goes back, old totals are not kept.
        assert_eq!(totals.text(&swarms, 10), none);
        totals.text = "old".to_owned();
        assert_eq!(totals.text(&swarms, 20), none);
    }
}
