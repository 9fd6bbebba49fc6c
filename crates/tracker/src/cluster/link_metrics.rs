//! Metrics of links.

use std::sync::atomic::Ordering::Relaxed;

use aquatic_cluster::local::LocalStatus;
use aquatic_service::metrics::Metrics;

use super::members::LeftOut;

/// What links of every kind count.
pub(super) struct Counts {
    pub(super) records_received: u64,
    pub(super) records_sent: u64,
    pub(super) batches_received: u64,
    pub(super) batches_sent: u64,
    pub(super) repeats: u64,
    pub(super) gaps: u64,
    pub(super) dropped_records: u64,
    pub(super) reconnects: u64,
    pub(super) rejected: u64,
}

impl Counts {
    pub(super) fn add(&self, metrics: &mut Metrics) {
        for (name, help, value) in [
            (
                "cluster_records_received_total",
                "Changes of peers that were received from other daemons",
                self.records_received,
            ),
            (
                "cluster_records_sent_total",
                "Changes of peers that were sent to other daemons",
                self.records_sent,
            ),
            (
                "cluster_batches_received_total",
                "Batches of changes that were received from other daemons",
                self.batches_received,
            ),
            (
                "cluster_batches_sent_total",
                "Batches of changes that were sent to other daemons",
                self.batches_sent,
            ),
            (
                "cluster_repeats_total",
                "Batches that were received more than once, and ignored",
                self.repeats,
            ),
            (
                "cluster_gaps_total",
                "Batches of other daemons that were never received",
                self.gaps,
            ),
            (
                "cluster_dropped_records_total",
                "Changes of peers that could not be sent because the outbox was full",
                self.dropped_records,
            ),
            (
                "cluster_reconnects_total",
                "Connections to other daemons or to the engine after the first one",
                self.reconnects,
            ),
            (
                "cluster_rejected_total",
                "Connections or entries that were rejected because of what they contained",
                self.rejected,
            ),
        ] {
            metrics.counter(name, help, &[], value);
        }
    }
}

pub(super) fn add_local(status: &LocalStatus, metrics: &mut Metrics) {
    metrics.gauge(
        "cluster_nodes",
        "Other daemons with the same swarm",
        &[],
        u64::from(status.linked()),
    );
    metrics.gauge(
        "cluster_readers",
        "Daemons that receive the changes of this one",
        &[],
        status.readers(),
    );
    let counts = Counts {
        records_received: status.records_in(),
        records_sent: status.records_out(),
        batches_received: status.batches_in(),
        batches_sent: status.batches_out(),
        repeats: status.repeats(),
        gaps: status.gaps(),
        dropped_records: status.dropped(),
        reconnects: status.reconnects(),
        rejected: status.refused(),
    };
    counts.add(metrics);
}

pub(super) fn add_left_out(left_out: &LeftOut, metrics: &mut Metrics) {
    for (reason, value) in [
        ("forbidden", &left_out.forbidden),
        ("limit", &left_out.limited),
    ] {
        metrics.counter(
            "cluster_rejected_peers_total",
            "Peers of other daemons that were not stored, because of the access list or a \
             limit of this one",
            &[("reason", reason)],
            value.load(Relaxed),
        );
    }
}
