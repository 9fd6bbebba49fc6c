//! Where a daemon listens, and the URLs for its clients.

use std::fmt;
use std::net::SocketAddr;

use aquatic_service::config::PublicUrl;

/// Where a daemon listens.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The scheme of its URLs.
    pub scheme: &'static str,
    /// The path of announces, which may be empty.
    pub path: &'static str,
    /// In order, each once.
    addresses: Vec<SocketAddr>,
    workers: usize,
}

impl Endpoint {
    /// A daemon with so many workers; each may listen on the same `addresses`.
    pub fn new(
        scheme: &'static str,
        path: &'static str,
        addresses: impl Iterator<Item = SocketAddr>,
        workers: usize,
    ) -> Self {
        let mut addresses: Vec<SocketAddr> = addresses.collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            scheme,
            path,
            addresses,
            workers,
        }
    }

    /// The announce URLs, with `host` in place of all addresses of the machine, and what to
    /// know about them. `public`, if there is one, is the only one.
    pub fn urls(&self, public: &PublicUrl, host: &str) -> (Vec<String>, Option<String>) {
        if let Some(public) = public.get() {
            return (vec![public.to_owned()], None);
        }
        let Self { scheme, path, .. } = self;
        let mut urls: Vec<String> = Vec::new();
        for address in &self.addresses {
            let url = if address.ip().is_unspecified() {
                format!("{scheme}://{host}:{}{path}", address.port())
            } else {
                format!("{scheme}://{address}{path}")
            };
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        let listens_on_all = self.addresses.iter().any(|it| it.ip().is_unspecified());
        let note = listens_on_all.then(|| {
            format!(
                "The tracker listens on all addresses of this machine: any of its names and \
                 addresses can be used in place of {host}. The key network.public_url sets what \
                 is shown here."
            )
        });
        (urls, note)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Serving ")?;
        for (index, address) in self.addresses.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{}://{address}", self.scheme)?;
        }
        let plural = if self.workers == 1 { "" } else { "s" };
        write!(formatter, " with {} worker{plural}", self.workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(addresses: &[&str]) -> Endpoint {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        Endpoint::new("http", "/announce", addresses, 2)
    }

    #[test]
    fn says_where_the_daemon_listens_once_for_all_workers() {
        let all = endpoint(&["[::]:3000", "0.0.0.0:3000", "[::]:3000", "0.0.0.0:3000"]);
        assert_eq!(
            all.to_string(),
            "Serving http://0.0.0.0:3000, http://[::]:3000 with 2 workers"
        );
        let one = Endpoint::new("https", "", ["[::]:3000".parse().unwrap()].into_iter(), 1);
        assert_eq!(one.to_string(), "Serving https://[::]:3000 with 1 worker");
    }

    #[test]
    fn the_public_url_is_the_only_one() {
        let public = "https://public.test/announce".parse().unwrap();
        let (urls, note) = endpoint(&["0.0.0.0:3000", "[::]:3000"]).urls(&public, "x");
        assert_eq!(urls, ["https://public.test/announce"]);
        assert_eq!(note, None);
    }

    #[test]
    fn urls_have_a_host_that_clients_can_use() {
        let none = PublicUrl::default();
        let (urls, note) = endpoint(&["0.0.0.0:3000", "[::]:3000"]).urls(&none, "tracker.test");
        assert_eq!(urls, ["http://tracker.test:3000/announce"]);
        assert!(note.unwrap().contains("in place of tracker.test."));
        let (urls, note) = endpoint(&["192.0.2.1:80", "[2001:db8::1]:80"]).urls(&none, "x");
        assert_eq!(
            urls,
            [
                "http://192.0.2.1:80/announce",
                "http://[2001:db8::1]:80/announce"
            ]
        );
        assert_eq!(note, None);
    }
}
