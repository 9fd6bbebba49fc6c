//! Counters of workers, and their metrics.

use std::net::IpAddr;

use aquatic_datagrams::SendReport;
use aquatic_service::metrics::{Counter, Metric, Metrics};
use aquatic_tracker::{FAMILIES, RejectReason, RequestCounters, RequestKind, RequestMetrics};

use crate::tracker::Outcome;

/// The request metrics of this daemon.
const REQUESTS: RequestMetrics = RequestMetrics {
    kinds: &KINDS,
    reasons: &[
        RejectReason::Malformed,
        RejectReason::BadConnectionId,
        RejectReason::SourcePortZero,
        RejectReason::RateLimit,
        RejectReason::PortZero,
        RejectReason::SpecialAddress,
        RejectReason::MissingKey,
        RejectReason::UnknownKey,
        RejectReason::ExpiredKey,
        RejectReason::Forbidden,
        RejectReason::Banned,
        RejectReason::Client,
        RejectReason::MaxTorrents,
        RejectReason::MaxPeersPerTorrent,
        RejectReason::MaxPeersPerIp,
        RejectReason::ReplyTooLong,
    ],
};

/// The kinds of requests and replies.
const KINDS: [RequestKind; 4] = [
    RequestKind::Connect,
    RequestKind::Announce,
    RequestKind::Scrape,
    RequestKind::Other,
];

const REPLIES: Metric = Metric::counter("replies_total", "Replies, by address family and kind")
    .labelled(&["family", "kind"]);
const RECEIVED: Metric = Metric::counter(
    "received_bytes_total",
    "Bytes of received datagrams, without headers, by address family",
)
.labelled(&["family"]);
const SENT: Metric = Metric::counter(
    "sent_bytes_total",
    "Bytes of replies, without headers, by address family",
)
.labelled(&["family"]);
const SEND_FAILURES: Metric =
    Metric::counter("send_failures_total", "Replies that could not be sent");
const DROPS: Metric = Metric::counter(
    "receive_buffer_drops_total",
    "Datagrams that the kernel dropped because a receive buffer was full",
);

/// The metrics of datagrams.
pub(crate) const METRICS: &[Metric] = &[REPLIES, RECEIVED, SENT, SEND_FAILURES, DROPS];

/// Counters of one worker, aligned so that they share no cache line with another's.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) requests: RequestCounters,
    /// For IPv4 and IPv6.
    families: [FamilyCounters; 2],
    send_failures: Counter,
}

/// Counters of one address family.
#[derive(Default)]
struct FamilyCounters {
    replies: [Counter; RequestKind::COUNT],
    received_bytes: Counter,
    sent_bytes: Counter,
}

impl Counters {
    /// Counts a datagram and its outcome.
    #[inline]
    pub(crate) fn count(&self, source: IpAddr, length: usize, outcome: &Outcome) {
        self.requests.count(source, outcome.request());
        let family = &self.families[usize::from(source.is_ipv6())];
        family.received_bytes.add(length as u64);
        if let Some(reply_length) = outcome.reply_length {
            let kind = match outcome.rejected {
                None => outcome.kind,
                // Replies without a kind are errors.
                Some(_) => RequestKind::Other,
            };
            family.replies[kind as usize].add(1);
            family.sent_bytes.add(reply_length.get() as u64);
        }
    }

    /// Counts replies that could not be sent.
    #[inline]
    pub(crate) fn count_sent(&self, report: SendReport) {
        if report.failed > 0 {
            self.send_failures.add(report.failed as u64);
        }
    }
}

/// Adds the metrics of all workers.
pub(crate) fn add_metrics(workers: &[Counters], kernel_drops: u64, metrics: &mut Metrics) {
    REQUESTS.add(workers.iter().map(|worker| &worker.requests), metrics);
    let sum = |counter: &dyn Fn(&Counters) -> &Counter| -> u64 {
        workers.iter().map(|worker| counter(worker).value()).sum()
    };
    for (index, family) in FAMILIES.into_iter().enumerate() {
        for kind in KINDS {
            let label = match kind {
                RequestKind::Other => "error",
                kind => kind.label(),
            };
            let replies = sum(&|worker| &worker.families[index].replies[kind as usize]);
            metrics.add(&REPLIES, &[family, label], replies);
        }
        let received = sum(&|worker| &worker.families[index].received_bytes);
        metrics.add(&RECEIVED, &[family], received);
        let sent = sum(&|worker| &worker.families[index].sent_bytes);
        metrics.add(&SENT, &[family], sent);
    }
    metrics.add(&SEND_FAILURES, &[], sum(&|worker| &worker.send_failures));
    metrics.add(&DROPS, &[], kernel_drops);
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::num::NonZeroUsize;

    use aquatic_service::metrics::TextFormat;

    use super::*;

    #[test]
    fn sums_up_all_workers() {
        let workers = [Counters::default(), Counters::default()];
        let served = Outcome {
            kind: RequestKind::Announce,
            rejected: None,
            reply_length: NonZeroUsize::new(26),
        };
        let rejected = Outcome {
            rejected: Some(RejectReason::PortZero),
            ..served
        };
        workers[0].count(Ipv4Addr::LOCALHOST.into(), 98, &served);
        workers[1].count(Ipv4Addr::LOCALHOST.into(), 100, &served);
        workers[1].count(Ipv6Addr::LOCALHOST.into(), 98, &rejected);
        workers[1].count_sent(SendReport { sent: 1, failed: 2 });

        let mut metrics = Metrics::new("aquatic-udp");
        add_metrics(&workers, 7, &mut metrics);
        let text = metrics.to_text(TextFormat::Prometheus);
        for line in [
            r#"requests_total{family="ipv4",kind="announce"} 2"#,
            r#"requests_total{family="ipv6",kind="announce"} 1"#,
            r#"replies_total{family="ipv4",kind="announce"} 2"#,
            r#"replies_total{family="ipv6",kind="announce"} 0"#,
            r#"replies_total{family="ipv6",kind="error"} 1"#,
            r#"rejected_requests_total{family="ipv6",reason="port_zero"} 1"#,
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
