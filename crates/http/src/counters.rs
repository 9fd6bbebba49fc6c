//! Counters of workers, and their metrics.

use aquatic_service::metrics::Metrics;
use aquatic_tracker::{RejectReason, RequestCounters, RequestKind, RequestMetrics};

/// The request metrics of this daemon.
const REQUESTS: RequestMetrics = RequestMetrics {
    kinds: &[
        RequestKind::Announce,
        RequestKind::Scrape,
        RequestKind::Page,
        RequestKind::Other,
    ],
    reasons: &[
        RejectReason::NotHttp,
        RejectReason::Tls,
        RejectReason::TooLong,
        RejectReason::TooSlow,
        RejectReason::UnknownPath,
        RejectReason::WrongUrl,
        RejectReason::OtherMethod,
        RejectReason::Malformed,
        RejectReason::FullScrape,
        RejectReason::ProxyHeader,
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
    ],
};

/// Counters of one worker, aligned so that they share no cache line with another's.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) requests: RequestCounters,
}

/// Adds the metrics of all workers.
pub(crate) fn add_metrics(workers: &[Counters], metrics: &mut Metrics) {
    REQUESTS.add(workers.iter().map(|worker| &worker.requests), metrics);
}
