//! What workers count.

use std::net::IpAddr;

use aquatic_datagrams::SendReport;
use aquatic_service::metrics::{Counter, Figures};

use crate::tracker::{Outcome, RequestKind, Unserved};

/// Counts of one worker, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    families: [FamilyCounters; 2],
    send_failures: Counter,
}

/// Counts for one address family.
#[derive(Default)]
struct FamilyCounters {
    requests: [Counter; RequestKind::ALL.len()],
    replies: [Counter; RequestKind::ALL.len()],
    unserved: [Counter; Unserved::ALL.len()],
    received_bytes: Counter,
    sent_bytes: Counter,
}

impl Counters {
    /// Counts one datagram and what became of it.
    #[inline]
    pub(crate) fn count(&self, source: IpAddr, length: usize, outcome: &Outcome) {
        let family = &self.families[usize::from(source.is_ipv6())];
        family.requests[outcome.kind as usize].add(1);
        family.received_bytes.add(length as u64);
        if let Some(reply_length) = outcome.reply_length {
            let kind = match outcome.unserved {
                None => outcome.kind,
                // Replies of no kind are errors.
                Some(_) => RequestKind::Other,
            };
            family.replies[kind as usize].add(1);
            family.sent_bytes.add(reply_length.get() as u64);
        }
        if let Some(reason) = outcome.unserved {
            family.unserved[reason as usize].add(1);
        }
    }

    /// Counts replies that the system did not take.
    #[inline]
    pub(crate) fn count_sent(&self, report: SendReport) {
        if report.failed > 0 {
            self.send_failures.add(report.failed as u64);
        }
    }
}

/// Adds the counts of all workers.
pub(crate) fn add_figures(workers: &[Counters], kernel_drops: u64, figures: &mut Figures) {
    let sum = |counter: &dyn Fn(&Counters) -> &Counter| -> u64 {
        workers.iter().map(|worker| counter(worker).value()).sum()
    };
    for (index, family) in ["ipv4", "ipv6"].into_iter().enumerate() {
        for kind in RequestKind::ALL {
            figures.counter(
                "requests_total",
                "Datagrams that were read, by what they asked for",
                &[("family", family), ("kind", kind.name())],
                sum(&|worker| &worker.families[index].requests[kind as usize]),
            );
        }
        for kind in RequestKind::ALL {
            let name = match kind {
                RequestKind::Other => "error",
                kind => kind.name(),
            };
            figures.counter(
                "replies_total",
                "Replies, by what they are",
                &[("family", family), ("kind", name)],
                sum(&|worker| &worker.families[index].replies[kind as usize]),
            );
        }
        figures.counter(
            "received_bytes_total",
            "Bytes of the datagrams that were read, without headers",
            &[("family", family)],
            sum(&|worker| &worker.families[index].received_bytes),
        );
        figures.counter(
            "sent_bytes_total",
            "Bytes of the replies, without headers",
            &[("family", family)],
            sum(&|worker| &worker.families[index].sent_bytes),
        );
        for reason in Unserved::ALL {
            figures.counter(
                "unserved_requests_total",
                "Requests that were not served, by the reason",
                &[("family", family), ("reason", reason.name())],
                sum(&|worker| &worker.families[index].unserved[reason as usize]),
            );
        }
    }
    figures.counter(
        "send_failures_total",
        "Replies that the system did not send",
        &[],
        sum(&|worker| &worker.send_failures),
    );
    figures.counter(
        "receive_buffer_drops_total",
        "Datagrams that the kernel dropped because a receive buffer was full",
        &[],
        kernel_drops,
    );
}

impl RequestKind {
    /// All kinds, in the order of their numbers.
    const ALL: [Self; 4] = [Self::Connect, Self::Announce, Self::Scrape, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Announce => "announce",
            Self::Scrape => "scrape",
            Self::Other => "other",
        }
    }
}

impl Unserved {
    /// All reasons, in the order of their numbers.
    const ALL: [Self; 8] = [
        Self::Malformed,
        Self::BadConnectionId,
        Self::SourcePortZero,
        Self::PortZero,
        Self::Forbidden,
        Self::MaxTorrents,
        Self::MaxPeersPerTorrent,
        Self::MaxPeersPerIp,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadConnectionId => "bad_connection_id",
            Self::SourcePortZero => "source_port_zero",
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
    use std::num::NonZeroUsize;

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
            reply_length: NonZeroUsize::new(26),
        };
        let refused = Outcome {
            unserved: Some(Unserved::PortZero),
            ..served
        };
        workers[0].count(Ipv4Addr::LOCALHOST.into(), 98, &served);
        workers[1].count(Ipv4Addr::LOCALHOST.into(), 100, &served);
        workers[1].count(Ipv6Addr::LOCALHOST.into(), 98, &refused);
        workers[1].count_sent(SendReport { sent: 1, failed: 2 });

        let mut figures = Figures::new("aquatic-udp");
        add_figures(&workers, 7, &mut figures);
        let text = figures.to_prometheus();
        for line in [
            r#"requests_total{family="ipv4",kind="announce"} 2"#,
            r#"requests_total{family="ipv6",kind="announce"} 1"#,
            r#"replies_total{family="ipv4",kind="announce"} 2"#,
            r#"replies_total{family="ipv6",kind="announce"} 0"#,
            r#"replies_total{family="ipv6",kind="error"} 1"#,
            r#"unserved_requests_total{family="ipv6",reason="port_zero"} 1"#,
            r#"received_bytes_total{family="ipv4"} 198"#,
            r#"sent_bytes_total{family="ipv4"} 52"#,
            "send_failures_total 2",
            "receive_buffer_drops_total 7",
        ] {
            let line = format!("aquatic_udp_{line}");
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
