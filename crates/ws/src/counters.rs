//! What workers count.

use std::net::IpAddr;

use aquatic_service::metrics::{Counter, Figures};

use crate::tracker::{ForgottenOffers, Outcome, RequestKind, Unserved};

/// Counts of one worker, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    families: [FamilyCounters; 2],
    offers: [Counter; RelayResult::ALL.len()],
    answers: [Counter; RelayResult::ALL.len()],
    forgotten: [Counter; Forgotten::ALL.len()],
    /// Connections that became WebSocket.
    upgrades: Counter,
}

/// Counts for one address family.
#[derive(Default)]
struct FamilyCounters {
    requests: [Counter; RequestKind::ALL.len()],
    unserved: [Counter; Unserved::ALL.len()],
}

/// What became of an offer or an answer that was to be relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayResult {
    /// It was added to what is sent to its receiver.
    Relayed,
    /// The receiver's connection was closed.
    Gone,
    /// Too much was unsent to its receiver already.
    FullOutput,
    /// The receiver's worker does not keep up.
    FullInbox,
}

/// Why an offer cannot be answered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgotten {
    /// It was not answered in time.
    Expired,
    /// Its receiver got too many.
    TooMany,
}

impl Counters {
    /// Counts one message and what became of it. `source` is who sent it to us,
    /// a proxy if there is one.
    #[inline]
    pub(crate) fn count(&self, source: IpAddr, outcome: &Outcome) {
        let family = &self.families[usize::from(source.is_ipv6())];
        family.requests[outcome.kind as usize].add(1);
        if let Some(reason) = outcome.unserved {
            family.unserved[reason as usize].add(1);
        }
    }

    /// Counts an offer or an answer.
    #[inline]
    pub(crate) fn count_relayed(&self, is_offer: bool, result: RelayResult) {
        let counters = if is_offer {
            &self.offers
        } else {
            &self.answers
        };
        counters[result as usize].add(1);
    }

    /// Counts offers that cannot be answered any more.
    pub(crate) fn count_forgotten(&self, forgotten: ForgottenOffers) {
        if forgotten != ForgottenOffers::default() {
            self.forgotten[Forgotten::Expired as usize].add(forgotten.expired);
            self.forgotten[Forgotten::TooMany as usize].add(forgotten.too_many);
        }
    }

    /// Counts a connection that became WebSocket.
    pub(crate) fn count_upgrade(&self) {
        self.upgrades.add(1);
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
                "Messages and HTTP requests that were answered, by what they asked for",
                &[("family", family), ("kind", kind.name())],
                sum(&|worker| &worker.families[index].requests[kind as usize]),
            );
        }
        for reason in Unserved::ALL {
            figures.counter(
                "unserved_requests_total",
                "Messages and HTTP requests that were answered with an error, by the reason",
                &[("family", family), ("reason", reason.name())],
                sum(&|worker| &worker.families[index].unserved[reason as usize]),
            );
        }
    }
    for result in RelayResult::ALL {
        figures.counter(
            "offers_total",
            "Offers that were to be relayed, by what became of them",
            &[("fate", result.name())],
            sum(&|worker| &worker.offers[result as usize]),
        );
        figures.counter(
            "answers_total",
            "Answers that were to be relayed, by what became of them",
            &[("fate", result.name())],
            sum(&|worker| &worker.answers[result as usize]),
        );
    }
    for why in Forgotten::ALL {
        figures.counter(
            "forgotten_offers_total",
            "Offers that were relayed and cannot be answered any more, by the reason",
            &[("reason", why.name())],
            sum(&|worker| &worker.forgotten[why as usize]),
        );
    }
    figures.counter(
        "upgrades_total",
        "Connections that became WebSocket",
        &[],
        sum(&|worker| &worker.upgrades),
    );
}

impl RequestKind {
    /// All kinds, in the order of their numbers.
    const ALL: [Self; 5] = [
        Self::Announce,
        Self::Answer,
        Self::Scrape,
        Self::Page,
        Self::Other,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Announce => "announce",
            Self::Answer => "answer",
            Self::Scrape => "scrape",
            Self::Page => "page",
            Self::Other => "other",
        }
    }
}

impl RelayResult {
    /// All results, in the order of their numbers.
    const ALL: [Self; 4] = [Self::Relayed, Self::Gone, Self::FullOutput, Self::FullInbox];

    fn name(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::Gone => "receiver_gone",
            Self::FullOutput => "full_output",
            Self::FullInbox => "full_inbox",
        }
    }
}

impl Forgotten {
    /// All reasons, in the order of their numbers.
    const ALL: [Self; 2] = [Self::Expired, Self::TooMany];

    fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::TooMany => "too_many",
        }
    }
}

impl Unserved {
    /// All reasons, in the order of their numbers.
    const ALL: [Self; 25] = [
        Self::NotHttp,
        Self::Tls,
        Self::TooLong,
        Self::TooSlow,
        Self::Upgrade,
        Self::Origin,
        Self::ProxyHeader,
        Self::MaxConnectionsPerIp,
        Self::UnknownPath,
        Self::OtherMethod,
        Self::NotWebSocket,
        Self::Frame,
        Self::NotJson,
        Self::Malformed,
        Self::FullScrape,
        Self::Forbidden,
        Self::OtherPeerId,
        Self::NotAnnounced,
        Self::UnknownOffer,
        Self::ExpiredOffer,
        Self::OffererGone,
        Self::MaxTorrents,
        Self::MaxPeersPerTorrent,
        Self::MaxPeersPerIp,
        Self::MaxTorrentsPerConnection,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NotHttp => "not_http",
            Self::Tls => "tls",
            Self::TooLong => "too_long",
            Self::TooSlow => "too_slow",
            Self::Upgrade => "upgrade",
            Self::Origin => "origin",
            Self::ProxyHeader => "proxy_header",
            Self::MaxConnectionsPerIp => "max_connections_per_ip",
            Self::UnknownPath => "unknown_path",
            Self::OtherMethod => "other_method",
            Self::NotWebSocket => "not_websocket",
            Self::Frame => "frame",
            Self::NotJson => "not_json",
            Self::Malformed => "malformed",
            Self::FullScrape => "full_scrape",
            Self::Forbidden => "forbidden",
            Self::OtherPeerId => "other_peer_id",
            Self::NotAnnounced => "not_announced",
            Self::UnknownOffer => "unknown_offer",
            Self::ExpiredOffer => "expired_offer",
            Self::OffererGone => "offerer_gone",
            Self::MaxTorrents => "max_torrents",
            Self::MaxPeersPerTorrent => "max_peers_per_torrent",
            Self::MaxPeersPerIp => "max_peers_per_ip",
            Self::MaxTorrentsPerConnection => "max_torrents_per_connection",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn numbers_follow_the_order() {
        let are_in_order = |numbers: &mut dyn Iterator<Item = usize>| {
            numbers.enumerate().all(|(number, it)| number == it)
        };
        assert!(are_in_order(
            &mut RequestKind::ALL.iter().map(|it| *it as usize)
        ));
        assert!(are_in_order(
            &mut Unserved::ALL.iter().map(|it| *it as usize)
        ));
        assert!(are_in_order(
            &mut RelayResult::ALL.iter().map(|it| *it as usize)
        ));
        assert!(are_in_order(
            &mut Forgotten::ALL.iter().map(|it| *it as usize)
        ));
    }

    #[test]
    fn sums_up_all_workers() {
        let workers = [Counters::default(), Counters::default()];
        let served = Outcome::served(RequestKind::Announce);
        let refused = Outcome::unserved(RequestKind::Answer, Unserved::UnknownOffer);
        workers[0].count(Ipv4Addr::LOCALHOST.into(), &served);
        workers[1].count(Ipv4Addr::LOCALHOST.into(), &served);
        workers[1].count(Ipv6Addr::LOCALHOST.into(), &refused);
        workers[0].count_relayed(true, RelayResult::Relayed);
        workers[1].count_relayed(false, RelayResult::FullInbox);
        workers[1].count_forgotten(ForgottenOffers {
            expired: 3,
            too_many: 0,
        });

        let mut figures = Figures::new("aquatic-ws");
        add_figures(&workers, &mut figures);
        let text = figures.to_prometheus();
        for line in [
            r#"requests_total{family="ipv4",kind="announce"} 2"#,
            r#"requests_total{family="ipv6",kind="answer"} 1"#,
            r#"unserved_requests_total{family="ipv6",reason="unknown_offer"} 1"#,
            r#"offers_total{fate="relayed"} 1"#,
            r#"answers_total{fate="full_inbox"} 1"#,
            r#"forgotten_offers_total{reason="expired"} 3"#,
        ] {
            let line = format!("aquatic_ws_{line}");
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
