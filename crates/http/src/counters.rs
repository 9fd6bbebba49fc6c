//! What workers count.

use std::net::IpAddr;

use aquatic_service::metrics::{Counter, Figures};

use crate::tracker::{Outcome, RequestKind, Unserved};

/// Counts of one worker, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    families: [FamilyCounters; 2],
}

/// Counts for one address family.
#[derive(Default)]
struct FamilyCounters {
    requests: [Counter; RequestKind::ALL.len()],
    unserved: [Counter; Unserved::ALL.len()],
}

impl Counters {
    /// Counts one request and what became of it. `source` is who sent it to
    /// us, a proxy if there is one.
    #[inline]
    pub(crate) fn count(&self, source: IpAddr, outcome: &Outcome) {
        let family = &self.families[usize::from(source.is_ipv6())];
        family.requests[outcome.kind as usize].add(1);
        if let Some(reason) = outcome.unserved {
            family.unserved[reason as usize].add(1);
        }
    }
}

/// Adds the counts of all workers.
pub(crate) fn add_figures(workers: &[Counters], figures: &mut Figures) {
    let sum = |counter: &dyn Fn(&Counters) -> &Counter| -> u64 {
        workers.iter().map(|worker| counter(worker).value()).sum()
    };
    for (index, family) in ["ipv4", "ipv6"].into_iter().enumerate() {
        for kind in RequestKind::ALL {
            figures.counter(
                "requests_total",
                "Requests that were answered, by what they asked for",
                &[("family", family), ("kind", kind.name())],
                sum(&|worker| &worker.families[index].requests[kind as usize]),
            );
        }
        for reason in Unserved::ALL {
            figures.counter(
                "unserved_requests_total",
                "Requests that were answered with an error, by the reason",
                &[("family", family), ("reason", reason.name())],
                sum(&|worker| &worker.families[index].unserved[reason as usize]),
            );
        }
    }
}

impl RequestKind {
    /// All kinds, in the order of their numbers.
    const ALL: [Self; 4] = [Self::Announce, Self::Scrape, Self::Page, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Announce => "announce",
            Self::Scrape => "scrape",
            Self::Page => "page",
            Self::Other => "other",
        }
    }
}

impl Unserved {
    /// All reasons, in the order of their numbers.
    const ALL: [Self; 15] = [
        Self::NotHttp,
        Self::Tls,
        Self::TooLong,
        Self::TooSlow,
        Self::UnknownPath,
        Self::WrongUrl,
        Self::OtherMethod,
        Self::Malformed,
        Self::FullScrape,
        Self::ProxyHeader,
        Self::PortZero,
        Self::Forbidden,
        Self::MaxTorrents,
        Self::MaxPeersPerTorrent,
        Self::MaxPeersPerIp,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NotHttp => "not_http",
            Self::Tls => "tls",
            Self::TooLong => "too_long",
            Self::TooSlow => "too_slow",
            Self::UnknownPath => "unknown_path",
            Self::WrongUrl => "wrong_url",
            Self::OtherMethod => "other_method",
            Self::Malformed => "malformed",
            Self::FullScrape => "full_scrape",
            Self::ProxyHeader => "proxy_header",
            Self::PortZero => "port_zero",
            Self::Forbidden => "forbidden",
            Self::MaxTorrents => "max_torrents",
            Self::MaxPeersPerTorrent => "max_peers_per_torrent",
            Self::MaxPeersPerIp => "max_peers_per_ip",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn numbers_follow_the_order() {
        for (number, kind) in RequestKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
        for (number, reason) in Unserved::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }

    #[test]
    fn sums_up_all_workers() {
        let workers = [Counters::default(), Counters::default()];
        let served = Outcome {
            kind: RequestKind::Announce,
            unserved: None,
        };
        let refused = Outcome::unserved(RequestKind::Announce, Unserved::PortZero);
        workers[0].count(Ipv4Addr::LOCALHOST.into(), &served);
        workers[1].count(Ipv4Addr::LOCALHOST.into(), &served);
        workers[1].count(Ipv6Addr::LOCALHOST.into(), &refused);

        let mut figures = Figures::new("aquatic-http");
        add_figures(&workers, &mut figures);
        let text = figures.to_prometheus();
        for line in [
            r#"requests_total{family="ipv4",kind="announce"} 2"#,
            r#"requests_total{family="ipv6",kind="announce"} 1"#,
            r#"unserved_requests_total{family="ipv6",reason="port_zero"} 1"#,
            r#"unserved_requests_total{family="ipv4",reason="port_zero"} 0"#,
        ] {
            let line = format!("aquatic_http_{line}");
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
