//! Kinds and outcomes of requests, and their counts.

use std::net::IpAddr;

use aquatic_service::metrics::{Counter, DurationHistogram, Durations, Metric, Metrics};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use crate::RejectReason;

/// The kind of a request, in any of the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RequestKind {
    /// A connection id (BEP 15).
    Connect,
    /// Peers of a torrent.
    Announce,
    /// To have the answer to an offer relayed (WebTorrent).
    Answer,
    /// Counts of torrents.
    Scrape,
    /// A page for people, or for programs that watch the tracker.
    Page,
    /// An unknown request.
    Other,
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The kind of the request.
    pub kind: RequestKind,
    /// Why it was rejected, if it was.
    pub rejected: Option<RejectReason>,
}

/// Counts of the requests that one worker has handled.
#[derive(Default)]
pub struct RequestCounters {
    /// Of IPv4 and of IPv6.
    families: [FamilyCounters; 2],
    /// How long it took to handle them.
    pub durations: DurationHistogram,
}

struct FamilyCounters {
    requests: [Counter; RequestKind::COUNT],
    rejected: [Counter; RejectReason::COUNT],
}

impl Default for FamilyCounters {
    fn default() -> Self {
        // `Default` of arrays ends at 32 elements.
        Self {
            requests: std::array::from_fn(|_| Counter::default()),
            rejected: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// How a daemon's [`RequestCounters`] appear on the metrics page.
#[derive(Debug, Clone, Copy)]
pub struct RequestMetrics {
    /// The kinds of requests in the protocol.
    pub kinds: &'static [RequestKind],
    /// The reject reasons of the protocol. Any other reason appears on the page once it
    /// has occurred.
    pub reasons: &'static [RejectReason],
}

pub(crate) const REQUESTS: Metric = Metric::counter(
    "requests_total",
    "Requests, and messages over WebSocket, by address family and kind",
)
.labelled(&["family", "kind"]);
pub(crate) const REJECTED: Metric = Metric::counter(
    "rejected_requests_total",
    "Requests that were answered with an error or not at all, by address family and reason",
)
.labelled(&["family", "reason"]);
const DURATION: Metric = Metric::histogram(
    "request_duration_seconds",
    "Time to handle a request, of one in sixteen: until its reply is ready to be sent, over \
     UDP until the replies to all datagrams that were read with it are sent",
);

/// The metrics of requests.
pub const REQUEST_METRICS: &[Metric] = &[REQUESTS, REJECTED, DURATION];

/// The labels of the address families.
pub const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

impl RequestKind {
    /// How many kinds there are.
    pub const COUNT: usize = <Self as EnumCount>::COUNT;

    /// The label of metrics.
    pub fn label(self) -> &'static str {
        self.into()
    }
}

impl Outcome {
    /// The request was served.
    #[inline]
    pub const fn served(kind: RequestKind) -> Self {
        Self {
            kind,
            rejected: None,
        }
    }

    /// The request was answered with an error, or not at all.
    #[inline]
    pub const fn rejected(kind: RequestKind, reason: RejectReason) -> Self {
        Self {
            kind,
            rejected: Some(reason),
        }
    }
}

impl RequestCounters {
    /// Counts one request. `source` is the address that it was received from, a proxy's if
    /// there is one.
    #[inline]
    pub fn count(&self, source: IpAddr, outcome: Outcome) {
        let family = &self.families[usize::from(source.is_ipv6())];
        family.requests[outcome.kind as usize].add(1);
        if let Some(reason) = outcome.rejected {
            family.rejected[reason as usize].add(1);
        }
    }
}

impl RequestMetrics {
    /// Adds the counts of all workers.
    pub fn add<'a>(
        &self,
        workers: impl Iterator<Item = &'a RequestCounters> + Clone,
        metrics: &mut Metrics,
    ) {
        let sum = |counter: &dyn Fn(&FamilyCounters) -> &Counter, family: usize| -> u64 {
            workers
                .clone()
                .map(|worker| counter(&worker.families[family]).value())
                .sum()
        };
        for (family, name) in FAMILIES.into_iter().enumerate() {
            for kind in self.kinds {
                let count = sum(&|counters| &counters.requests[*kind as usize], family);
                metrics.add(&REQUESTS, &[name, kind.label()], count);
            }
            for reason in RejectReason::VARIANTS {
                let count = sum(&|counters| &counters.rejected[*reason as usize], family);
                if count > 0 || self.reasons.contains(reason) {
                    metrics.add(&REJECTED, &[name, reason.label()], count);
                }
            }
        }
        let mut durations = Durations::default();
        for worker in workers {
            durations.add(&worker.durations);
        }
        metrics.add(&DURATION, &[], durations);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use aquatic_service::metrics::TextFormat;

    use super::*;

    const METRICS: RequestMetrics = RequestMetrics {
        kinds: &[RequestKind::Announce, RequestKind::Other],
        reasons: &[RejectReason::PortZero],
    };

    #[test]
    fn sums_up_all_workers() {
        let workers = [RequestCounters::default(), RequestCounters::default()];
        let served = Outcome::served(RequestKind::Announce);
        workers[0].count(Ipv4Addr::LOCALHOST.into(), served);
        workers[1].count(Ipv4Addr::LOCALHOST.into(), served);
        let rejected = Outcome::rejected(RequestKind::Announce, RejectReason::PortZero);
        workers[1].count(Ipv6Addr::LOCALHOST.into(), rejected);
        // The list does not contain this reason.
        let rejected = Outcome::rejected(RequestKind::Other, RejectReason::TooSlow);
        workers[0].count(Ipv6Addr::LOCALHOST.into(), rejected);

        let mut metrics = Metrics::new("aquatic-test");
        METRICS.add(workers.iter(), &mut metrics);
        let text = metrics.to_text(TextFormat::Prometheus);
        let lines: Vec<&str> = text
            .lines()
            .filter(|it| !it.starts_with('#') && !it.contains("_duration_"))
            .collect();
        assert_eq!(
            lines,
            [
                r#"aquatic_test_requests_total{family="ipv4",kind="announce"} 2"#,
                r#"aquatic_test_requests_total{family="ipv4",kind="other"} 0"#,
                r#"aquatic_test_requests_total{family="ipv6",kind="announce"} 1"#,
                r#"aquatic_test_requests_total{family="ipv6",kind="other"} 1"#,
                r#"aquatic_test_rejected_requests_total{family="ipv4",reason="port_zero"} 0"#,
                r#"aquatic_test_rejected_requests_total{family="ipv6",reason="too_slow"} 1"#,
                r#"aquatic_test_rejected_requests_total{family="ipv6",reason="port_zero"} 1"#,
            ]
        );
    }
}
