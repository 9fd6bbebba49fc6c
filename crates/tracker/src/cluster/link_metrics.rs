//! Metrics of links.

use std::sync::atomic::Ordering::Relaxed;

use aquatic_cluster::LinkCounts;
use aquatic_cluster::local::LocalStatus;
use aquatic_service::metrics::Metrics;

use super::members::LeftOut;

pub(super) fn add_counts(counts: &LinkCounts, metrics: &mut Metrics) {
    for (name, help, value) in [
        (
            "cluster_records_received_total",
            "Changes of peers that were received from other daemons",
            counts.records_in(),
        ),
        (
            "cluster_records_sent_total",
            "Changes of peers that were sent to other daemons",
            counts.records_out(),
        ),
        (
            "cluster_batches_received_total",
            "Batches of changes that were received from other daemons",
            counts.batches_in(),
        ),
        (
            "cluster_batches_sent_total",
            "Batches of changes that were sent to other daemons",
            counts.batches_out(),
        ),
        (
            "cluster_repeats_total",
            "Batches that were received more than once, and ignored",
            counts.repeats(),
        ),
        (
            "cluster_gaps_total",
            "Batches of other daemons that were never received",
            counts.gaps(),
        ),
        (
            "cluster_dropped_records_total",
            "Changes of peers that could not be sent because the outbox was full",
            counts.dropped(),
        ),
        (
            "cluster_reconnects_total",
            "Connections to other daemons or to the engine after the first one",
            counts.reconnects(),
        ),
        (
            "cluster_rejected_total",
            "Connections or entries that were rejected because of what they contained",
            counts.refused(),
        ),
    ] {
        metrics.counter(name, help, &[], value);
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
    add_counts(status.counts(), metrics);
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
