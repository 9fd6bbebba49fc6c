//! Counters of workers, and their metrics.

use aquatic_service::metrics::{Counter, Metric, Metrics};
use aquatic_tracker::{RejectReason, RequestCounters, RequestKind, RequestMetrics};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use crate::tracker::ForgottenOffers;

/// The request metrics of this daemon.
const REQUESTS: RequestMetrics = RequestMetrics {
    kinds: &[
        RequestKind::Announce,
        RequestKind::Answer,
        RequestKind::Scrape,
        RequestKind::Page,
        RequestKind::Other,
    ],
    reasons: &[
        RejectReason::NotHttp,
        RejectReason::Tls,
        RejectReason::TooLong,
        RejectReason::TooSlow,
        RejectReason::Upgrade,
        RejectReason::Origin,
        RejectReason::ProxyHeader,
        RejectReason::MaxConnectionsPerIp,
        RejectReason::RateLimit,
        RejectReason::UnknownPath,
        RejectReason::OtherMethod,
        RejectReason::NotWebSocket,
        RejectReason::Frame,
        RejectReason::NotJson,
        RejectReason::Malformed,
        RejectReason::FullScrape,
        RejectReason::MissingKey,
        RejectReason::UnknownKey,
        RejectReason::ExpiredKey,
        RejectReason::Forbidden,
        RejectReason::Banned,
        RejectReason::Client,
        RejectReason::OtherPeerId,
        RejectReason::NotAnnounced,
        RejectReason::UnknownOffer,
        RejectReason::ExpiredOffer,
        RejectReason::OffererGone,
        RejectReason::MaxTorrents,
        RejectReason::MaxPeersPerTorrent,
        RejectReason::MaxPeersPerIp,
        RejectReason::MaxTorrentsPerConnection,
    ],
};

const OFFERS: Metric = Metric::counter(
    "offers_total",
    "Offers to relay, by result, which for peers of other nodes is sent_to_node or \
     node_unreachable",
)
.labelled(&["result"]);
const ANSWERS: Metric =
    Metric::counter("answers_total", "Answers to relay, by result, as of offers")
        .labelled(&["result"]);
const FORGOTTEN: Metric = Metric::counter(
    "forgotten_offers_total",
    "Relayed offers that can no longer be answered, by reason",
)
.labelled(&["reason"]);
const UPGRADES: Metric = Metric::counter("upgrades_total", "Connections upgraded to WebSocket");

/// The metrics of messages.
pub(crate) const METRICS: &[Metric] = &[OFFERS, ANSWERS, FORGOTTEN, UPGRADES];

/// Counters of one worker, aligned so that they share no cache line with another's.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) requests: RequestCounters,
    offers: [Counter; RelayResult::COUNT],
    answers: [Counter; RelayResult::COUNT],
    forgotten: [Counter; Forgotten::COUNT],
    /// Connections that were upgraded to WebSocket.
    upgrades: Counter,
}

/// The result of relaying an offer or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum RelayResult {
    /// It was added to the output of its receiver.
    Relayed,
    /// The receiver's connection was closed.
    ReceiverGone,
    /// The receiver has too much unsent output already.
    FullOutput,
    /// The inbox of the receiver's worker is full.
    FullInbox,
    /// It was queued for the node to which its receiver is connected.
    SentToNode,
    /// That node, or the engine, cannot be reached, or too many are queued.
    NodeUnreachable,
    /// An answer from another node, to an offer that was not sent there, was answered
    /// before, or has expired.
    UnknownOffer,
}

/// Why an offer cannot be answered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Forgotten {
    /// It was not answered in time.
    Expired,
    /// Its receiver had too many newer offers.
    TooMany,
}

impl Counters {
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

    /// Counts offers that can no longer be answered.
    pub(crate) fn count_forgotten(&self, forgotten: ForgottenOffers) {
        if forgotten != ForgottenOffers::default() {
            self.forgotten[Forgotten::Expired as usize].add(forgotten.expired);
            self.forgotten[Forgotten::TooMany as usize].add(forgotten.too_many);
        }
    }

    /// Counts a connection that was upgraded to WebSocket.
    pub(crate) fn count_upgrade(&self) {
        self.upgrades.add(1);
    }
}

/// Adds the metrics of all workers.
pub(crate) fn add_metrics(workers: &[Counters], metrics: &mut Metrics) {
    REQUESTS.add(workers.iter().map(|worker| &worker.requests), metrics);
    let sum = |counter: &dyn Fn(&Counters) -> &Counter| -> u64 {
        workers.iter().map(|worker| counter(worker).value()).sum()
    };
    for &result in RelayResult::VARIANTS {
        let count = sum(&|worker| &worker.offers[result as usize]);
        metrics.add(&OFFERS, &[result.into()], count);
    }
    for &result in RelayResult::VARIANTS {
        let count = sum(&|worker| &worker.answers[result as usize]);
        metrics.add(&ANSWERS, &[result.into()], count);
    }
    for &why in Forgotten::VARIANTS {
        let count = sum(&|worker| &worker.forgotten[why as usize]);
        metrics.add(&FORGOTTEN, &[why.into()], count);
    }
    metrics.add(&UPGRADES, &[], sum(&|worker| &worker.upgrades));
}

#[cfg(test)]
mod tests {
    use aquatic_service::metrics::TextFormat;

    use super::*;

    /// Dashboards of operators depend on these labels.
    #[test]
    fn labels_stay_as_they_are() {
        let results: Vec<&str> = RelayResult::VARIANTS.iter().map(Into::into).collect();
        let expected = [
            "relayed",
            "receiver_gone",
            "full_output",
            "full_inbox",
            "sent_to_node",
            "node_unreachable",
            "unknown_offer",
        ];
        assert_eq!(results, expected);
        let reasons: Vec<&str> = Forgotten::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(reasons, ["expired", "too_many"]);
    }

    #[test]
    fn sums_up_all_workers() {
        let workers = [Counters::default(), Counters::default()];
        workers[0].count_relayed(true, RelayResult::Relayed);
        workers[1].count_relayed(false, RelayResult::FullInbox);
        workers[1].count_forgotten(ForgottenOffers {
            expired: 3,
            too_many: 0,
        });

        let mut metrics = Metrics::new("aquatic-ws");
        add_metrics(&workers, &mut metrics);
        let text = metrics.to_text(TextFormat::Prometheus);
        for line in [
            r#"offers_total{result="relayed"} 1"#,
            r#"answers_total{result="full_inbox"} 1"#,
            r#"forgotten_offers_total{reason="expired"} 3"#,
        ] {
            let line = format!("aquatic_ws_{line}");
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
