//! The key in the URL of a tracker.

use super::KeyText;

/// Maximum length of a path and query in BEP 41 options that are searched for a key.
/// libtorrent sends at most 255 bytes.
pub const MAX_URL_DATA_BYTES: usize = 512;

/// The parameter of a query.
const PARAMETER: &[u8] = b"passkey";

/// The key in a URL: `/KEY/announce`, `/announce/KEY` or `/announce?passkey=KEY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlKey {
    /// There is none.
    Missing,
    /// Where a key belongs is something that no key can be.
    Invalid,
    /// There is a key.
    Given(KeyText),
}

impl UrlKey {
    /// The key in the URL of a request for `action`, such as `announce`. `None` if the path
    /// is another one.
    #[must_use]
    pub fn of_action(path: &[u8], query: &[u8], action: &[u8]) -> Option<Self> {
        let mut segments = path.strip_prefix(b"/")?.split(|&byte| byte == b'/');
        let segments = (segments.next()?, segments.next(), segments.next());
        match segments {
            (one, None, None) if one == action => Some(Self::in_query(query)),
            (one, Some(key), None) if one == action => Some(Self::written(key)),
            (key, Some(other), None) if other == action => Some(Self::written(key)),
            _ => None,
        }
    }

    /// The key in a URL with any path: that of an announce, or `/KEY`, or another path with
    /// `?passkey=KEY`.
    #[must_use]
    pub fn of(path: &[u8], query: &[u8]) -> Self {
        if let Some(key) = Self::of_action(path, query, b"announce") {
            return key;
        }
        match (
            Self::in_query(query),
            path.strip_prefix(b"/").unwrap_or(path),
        ) {
            (Self::Missing, b"") => Self::Missing,
            (Self::Missing, key) => Self::written(key),
            (in_query, _) => in_query,
        }
    }

    /// The key in the path and query of a URL, as in BEP 41.
    #[must_use]
    pub fn of_path_and_query(url: &[u8]) -> Self {
        let end = url.iter().position(|&byte| byte == b'?');
        let (path, query) = url.split_at(end.unwrap_or(url.len()));
        Self::of(path, query.strip_prefix(b"?").unwrap_or(query))
    }

    /// The key in BEP 41's options, which may be split into pieces: the path and query are
    /// those of all pieces, without a separator.
    #[must_use]
    pub fn of_pieces<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(first) = pieces.next() else {
            return Self::Missing;
        };
        let Some(mut piece) = pieces.next() else {
            return Self::of_path_and_query(&first[..first.len().min(MAX_URL_DATA_BYTES)]);
        };
        let mut joined = [0; MAX_URL_DATA_BYTES];
        // A piece has at most 255 bytes.
        let mut length = first.len().min(MAX_URL_DATA_BYTES);
        joined[..length].copy_from_slice(&first[..length]);
        loop {
            let room = &mut joined[length..];
            let added = piece.len().min(room.len());
            room[..added].copy_from_slice(&piece[..added]);
            length += added;
            match pieces.next() {
                Some(next) if length < MAX_URL_DATA_BYTES => piece = next,
                _ => return Self::of_path_and_query(&joined[..length]),
            }
        }
    }

    /// The last `passkey` of a query.
    fn in_query(query: &[u8]) -> Self {
        let mut found = Self::Missing;
        for parameter in query.split(|&byte| byte == b'&') {
            let value = parameter.strip_prefix(PARAMETER);
            if let Some(value) = value.and_then(|value| value.strip_prefix(b"=")) {
                found = match value {
                    b"" => Self::Missing,
                    value => Self::written(value),
                };
            }
        }
        found
    }

    fn written(text: &[u8]) -> Self {
        KeyText::unescape(text).map_or(Self::Invalid, Self::Given)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn given() -> UrlKey {
        UrlKey::Given(KeyText::new(KEY.as_bytes()).unwrap())
    }

    fn of(url: &str) -> UrlKey {
        UrlKey::of_path_and_query(url.replace("KEY", KEY).as_bytes())
    }

    #[test]
    fn keys_are_found_where_sites_put_them() {
        for url in [
            "/KEY/announce",
            "/announce/KEY",
            "/announce?passkey=KEY",
            "/announce?a=b&passkey=KEY&c",
            "/announce?passkey=x&passkey=KEY",
            "/announce?passkey=%30123456789abcdef0123456789abcdef",
            "/?passkey=KEY",
            "/other?passkey=KEY",
            "?passkey=KEY",
            "/KEY",
            "/KEY?x=y",
            "/KEY/announce?passkey=ignored",
        ] {
            assert_eq!(of(url), given(), "{url}");
        }
        for url in [
            "",
            "/",
            "/announce",
            "/announce?",
            "/announce?passkey=",
            "/?Passkey=KEY",
        ] {
            assert_eq!(of(url), UrlKey::Missing, "{url}");
        }
        for url in [
            "/x/announce",
            "/announce/",
            "//announce",
            "/announce/KEY/",
            "/KEY/scrape",
            "/a/KEY/announce",
            "/announce.php",
            "/announce?passkey=KEY.",
            "/announce?passkey=%",
        ] {
            assert_eq!(of(url), UrlKey::Invalid, "{url}");
        }
    }

    #[test]
    fn a_scrape_has_its_own_path() {
        let scrape = |path: &str, query: &str| {
            let [path, query] = [path, query].map(|text| text.replace("KEY", KEY));
            UrlKey::of_action(path.as_bytes(), query.as_bytes(), b"scrape")
        };
        for (path, query) in [
            ("/KEY/scrape", ""),
            ("/scrape/KEY", ""),
            ("/scrape", "passkey=KEY"),
        ] {
            assert_eq!(scrape(path, query), Some(given()), "{path}");
        }
        assert_eq!(scrape("/scrape", "info_hash=x"), Some(UrlKey::Missing));
        for path in [
            "/announce",
            "/KEY/announce",
            "/",
            "",
            "scrape",
            "/scrape/a/b",
            "/a/b/scrape",
        ] {
            assert_eq!(scrape(path, "passkey=KEY"), None, "{path}");
        }
    }

    #[test]
    fn pieces_are_joined() {
        let url = format!("/announce?{}&passkey={KEY}", "x".repeat(300));
        for size in [1, 7, 32, 255] {
            assert_eq!(
                UrlKey::of_pieces(url.as_bytes().chunks(size)),
                given(),
                "{size}"
            );
        }
        assert_eq!(UrlKey::of_pieces(std::iter::empty()), UrlKey::Missing);
        let path = format!("/{KEY}/announce");
        assert_eq!(UrlKey::of_pieces([path.as_bytes()].into_iter()), given());
        // What is too long is cut off.
        let long = format!("/announce?{}&passkey={KEY}", "x".repeat(500));
        assert_eq!(
            UrlKey::of_pieces(long.as_bytes().chunks(255)),
            UrlKey::Missing
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end(url: Vec<u8>, size in 1_usize..300) {
            let whole = UrlKey::of_path_and_query(&url[..url.len().min(MAX_URL_DATA_BYTES)]);
            prop_assert_eq!(UrlKey::of_pieces(url.chunks(size)), if url.is_empty() { UrlKey::Missing } else { whole });
        }

        #[test]
        fn any_key_is_found(key in "[A-Za-z0-9_-]{16,64}", form in 0..4) {
            let url = match form {
                0 => format!("/{key}/announce"),
                1 => format!("/announce/{key}"),
                2 => format!("/announce?passkey={key}"),
                _ => format!("/{key}"),
            };
            let expected = UrlKey::Given(KeyText::new(key.as_bytes()).unwrap());
            prop_assert_eq!(UrlKey::of_path_and_query(url.as_bytes()), expected);
        }
    }
}
