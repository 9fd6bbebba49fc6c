//! Metrics of links.

use std::sync::atomic::Ordering::Relaxed;

use aquatic_cluster::LinkCounts;
use aquatic_cluster::local::LocalStatus;
use aquatic_service::metrics::{Metric, Metrics};

use super::members::LeftOut;

const RECORDS_RECEIVED: Metric = Metric::counter(
    "cluster_records_received_total",
    "Changes of peers that were received from other daemons",
);
const RECORDS_SENT: Metric = Metric::counter(
    "cluster_records_sent_total",
    "Changes of peers that were sent to other daemons",
);
const BATCHES_RECEIVED: Metric = Metric::counter(
    "cluster_batches_received_total",
    "Batches of changes that were received from other daemons",
);
const BATCHES_SENT: Metric = Metric::counter(
    "cluster_batches_sent_total",
    "Batches of changes that were sent to other daemons",
);
const REPEATS: Metric = Metric::counter(
    "cluster_repeats_total",
    "Batches that were received more than once, and ignored",
);
const GAPS: Metric = Metric::counter(
    "cluster_gaps_total",
    "Batches of other daemons that were never received",
);
const DROPPED_RECORDS: Metric = Metric::counter(
    "cluster_dropped_records_total",
    "Changes of peers that could not be sent because the outbox was full",
);
const RECONNECTS: Metric = Metric::counter(
    "cluster_reconnects_total",
    "Connections to other daemons or to the engine after the first one",
);
const REJECTED: Metric = Metric::counter(
    "cluster_rejected_total",
    "Connections or entries that were rejected because of what they contained",
);
const REJECTED_PEERS: Metric = Metric::counter(
    "cluster_rejected_peers_total",
    "Peers of other daemons that were not stored, because of the access list or a \
     limit of this one",
)
.labelled(&["reason"]);
pub(super) const NODES: Metric =
    Metric::gauge("cluster_nodes", "Other daemons with the same swarm");
const READERS: Metric = Metric::gauge(
    "cluster_readers",
    "Daemons of this host that receive the changes of this one",
);
pub(super) const CONNECTED: Metric = Metric::gauge(
    "cluster_connected",
    "1 if changes can be sent to and received from the engine, else 0",
);
pub(super) const DUPLICATE_NAMES: Metric = Metric::gauge(
    "cluster_duplicate_names",
    "1 if another daemon of the cluster has the same name, else 0",
);
pub(super) const STREAM_BYTES: Metric = Metric::gauge(
    "cluster_stream_bytes",
    "Memory that the shared data takes in the engine",
);
pub(crate) const LAG: Metric = Metric::gauge(
    "cluster_lag_seconds",
    "Age of the last change that was received, 0 if there are no more",
);
pub(super) const LOST_STREAMS: Metric = Metric::counter(
    "cluster_lost_streams_total",
    "Times that the engine had lost shared data, which was then sent again",
);

/// The metrics of links.
pub const CLUSTER_METRICS: &[Metric] = &[
    CONNECTED,
    NODES,
    DUPLICATE_NAMES,
    READERS,
    STREAM_BYTES,
    LAG,
    LOST_STREAMS,
    RECORDS_RECEIVED,
    RECORDS_SENT,
    BATCHES_RECEIVED,
    BATCHES_SENT,
    REPEATS,
    GAPS,
    DROPPED_RECORDS,
    RECONNECTS,
    REJECTED,
    REJECTED_PEERS,
];

const SIGNALS_SENT: Metric = Metric::counter(
    "cluster_signal_batches_sent_total",
    "Messages with offers and answers that other daemons have received",
);
const SIGNALS_LOST: Metric = Metric::counter(
    "cluster_signal_batches_lost_total",
    "Messages with offers and answers that could not be sent, or that nobody received",
);

/// The metrics of offers and answers for other nodes.
pub const SIGNAL_METRICS: &[Metric] = &[SIGNALS_SENT, SIGNALS_LOST];

#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "there is no such link")
)]
pub(super) fn add_signals(sent: u64, lost: u64, metrics: &mut Metrics) {
    metrics.add(&SIGNALS_SENT, &[], sent);
    metrics.add(&SIGNALS_LOST, &[], lost);
}

pub(super) fn add_counts(counts: &LinkCounts, metrics: &mut Metrics) {
    for (metric, value) in [
        (RECORDS_RECEIVED, counts.records_in()),
        (RECORDS_SENT, counts.records_out()),
        (BATCHES_RECEIVED, counts.batches_in()),
        (BATCHES_SENT, counts.batches_out()),
        (REPEATS, counts.repeats()),
        (GAPS, counts.gaps()),
        (DROPPED_RECORDS, counts.dropped()),
        (RECONNECTS, counts.reconnects()),
        (REJECTED, counts.refused()),
    ] {
        metrics.add(&metric, &[], value);
    }
}

pub(super) fn add_local(status: &LocalStatus, metrics: &mut Metrics) {
    metrics.add(&NODES, &[], u64::from(status.linked()));
    metrics.add(&READERS, &[], status.readers());
    add_counts(status.counts(), metrics);
}

pub(super) fn add_left_out(left_out: &LeftOut, metrics: &mut Metrics) {
    for (reason, value) in [
        ("forbidden", &left_out.forbidden),
        ("limit", &left_out.limited),
    ] {
        metrics.add(&REJECTED_PEERS, &[reason], value.load(Relaxed));
    }
}
