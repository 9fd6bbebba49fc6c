//! Invariants for the key in every URL of a tracker, whole or in pieces.

use aquatic_policy::keys::{KeyText, MAX_URL_DATA_BYTES, UrlKey};

/// Panics if an invariant does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let Some((&size, url)) = bytes.split_first() else {
        return;
    };
    let whole = UrlKey::of_path_and_query(&url[..url.len().min(MAX_URL_DATA_BYTES)]);
    check_key(whole);
    let size = usize::from(size).max(1);
    assert_eq!(UrlKey::of_pieces(url.chunks(size)), whole);

    let end = url.iter().position(|&byte| byte == b'?');
    let (path, query) = url.split_at(end.unwrap_or(url.len()));
    let query = query.strip_prefix(b"?").unwrap_or(query);
    let of_announce = UrlKey::of_action(path, query, b"announce");
    assert!(of_announce.is_none() || of_announce == Some(UrlKey::of(path, query)));
    if UrlKey::of_action(path, query, b"scrape").is_some() {
        assert!(path.windows(6).any(|it| it == b"scrape"));
    }
}

fn check_key(key: UrlKey) {
    if let UrlKey::Given(key) = key {
        assert_eq!(KeyText::new(key.as_bytes()), Ok(key));
        assert!(!format!("{key:?}").contains(str::from_utf8(key.as_bytes()).expect("ASCII")));
    }
}
