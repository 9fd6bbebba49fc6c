//! Scrape requests.

use aquatic_bittorrent::InfoHash;

use crate::query::{Parameters, QueryFault, is_escaped_name, unescape_20};

/// Requests the number of peers of torrents (BEP 48).
#[derive(Debug, Clone, Copy)]
pub struct ScrapeRequest<'a> {
    query: &'a [u8],
}

/// An iterator over the torrents of a [`ScrapeRequest`].
#[derive(Debug, Clone)]
pub struct InfoHashes<'a> {
    parameters: Parameters<'a>,
}

impl<'a> ScrapeRequest<'a> {
    /// Parses the query of a URL.
    ///
    /// # Errors
    ///
    /// If there is no info hash, or one is invalid.
    pub fn parse(query: &'a [u8]) -> Result<Self, QueryFault> {
        let mut is_empty = true;
        for value in info_hash_values(Parameters::of(query)) {
            match unescape_20("info_hash", value) {
                Err(QueryFault::Missing(_)) => return Err(QueryFault::FullScrape),
                result => result?,
            };
            is_empty = false;
        }
        if is_empty {
            return Err(QueryFault::FullScrape);
        }
        Ok(Self { query })
    }

    /// Whether a query has no info hash, and so is about all torrents.
    #[must_use]
    pub fn is_full(query: &'a [u8]) -> bool {
        matches!(Self::parse(query), Err(QueryFault::FullScrape))
    }

    /// The torrents in the order of the query; at least one.
    pub fn info_hashes(&self) -> InfoHashes<'a> {
        InfoHashes {
            parameters: Parameters::of(self.query),
        }
    }
}

impl Iterator for InfoHashes<'_> {
    type Item = InfoHash;

    fn next(&mut self) -> Option<InfoHash> {
        // All info hashes were validated before, so none is skipped here.
        info_hash_values(&mut self.parameters)
            .find_map(|value| unescape_20("info_hash", value).ok())
            .map(InfoHash)
    }
}

fn info_hash_values<'a>(
    parameters: impl Iterator<Item = crate::query::Parameter<'a>>,
) -> impl Iterator<Item = &'a [u8]> {
    parameters.filter_map(|parameter| {
        let name = parameter.name;
        let is_info_hash =
            name == b"info_hash" || name.contains(&b'%') && is_escaped_name(name, b"info_hash");
        is_info_hash.then_some(parameter.value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::write_escaped;

    fn fault(query: &[u8]) -> String {
        ScrapeRequest::parse(query).unwrap_err().to_string()
    }

    #[test]
    fn full_scrapes_and_bad_hashes_are_refused() {
        let full = "full scrapes are not served: info_hash is missing";
        assert_eq!(fault(b""), full);
        assert_eq!(fault(b"foo=bar"), full);
        assert_eq!(fault(b"info_hash"), full);
        assert_eq!(fault(b"info_hash="), full);
        assert_eq!(
            fault(b"info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=a"),
            "info_hash has 1 bytes instead of 20"
        );
    }

    #[test]
    fn names_may_be_escaped() {
        let scrape = ScrapeRequest::parse(b"info%5Fhash=aaaaaaaaaaaaaaaaaaaa").unwrap();
        assert!(scrape.info_hashes().eq([InfoHash([b'a'; 20])]));
    }

    proptest! {
        #[test]
        fn any_bytes_end(query: Vec<u8>) {
            if let Ok(scrape) = ScrapeRequest::parse(&query) {
                prop_assert!(scrape.info_hashes().next().is_some());
            }
        }

        #[test]
        fn any_hashes_come_back(hashes in prop::collection::vec(any::<[u8; 20]>(), 1..100)) {
            let mut query = b"passkey=x".to_vec();
            for hash in &hashes {
                query.extend(b"&info_hash=");
                write_escaped(&mut query, hash);
            }
            let scrape = ScrapeRequest::parse(&query).unwrap();
            prop_assert!(scrape.info_hashes().eq(hashes.into_iter().map(InfoHash)));
        }
    }
}
