//! What workers count about connections.

use aquatic_service::metrics::{Counter, Metric, Metrics};
use strum::{EnumCount, IntoStaticStr, VariantArray};

const CONNECTIONS: Metric = Metric::gauge("connections", "Open connections");
const ACCEPTED: Metric = Metric::counter("connections_accepted_total", "Accepted connections");
const REFUSED: Metric = Metric::counter(
    "connections_refused_total",
    "Connections closed as soon as they were accepted, by reason",
)
.labelled(&["reason"]);
const CUT: Metric = Metric::counter(
    "connections_cut_total",
    "Connections that were not closed cleanly, by reason",
)
.labelled(&["reason"]);
const HANDSHAKES: Metric = Metric::counter(
    "tls_handshakes_total",
    "Completed TLS handshakes, by whether a session was resumed",
)
.labelled(&["resumed"]);
const RECEIVED: Metric = Metric::counter("received_bytes_total", "Bytes received on connections");
const SENT: Metric = Metric::counter("sent_bytes_total", "Bytes sent on connections");

/// The metrics of connections.
pub const METRICS: &[Metric] = &[
    CONNECTIONS,
    ACCEPTED,
    REFUSED,
    CUT,
    HANDSHAKES,
    RECEIVED,
    SENT,
];

/// Counts of one worker, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    pub(crate) refused: [Counter; Refusal::COUNT],
    pub(crate) close_reasons: [Counter; CloseReason::COUNT],
    pub(crate) full_handshakes: Counter,
    pub(crate) resumed_handshakes: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
}

#[cfg(test)]
impl Counters {
    /// How many connections were closed for this reason.
    pub(crate) fn closed_for(&self, reason: CloseReason) -> u64 {
        self.close_reasons[reason as usize].value()
    }
}

/// Why a connection was closed as soon as it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Refusal {
    /// The maximum number of connections is open.
    #[strum(serialize = "max_connections")]
    TooMany,
    /// The maximum number of connections from this address is open.
    #[strum(serialize = "max_connections_per_ip")]
    TooManyFromAddress,
    /// The source has opened too many connections lately.
    #[strum(serialize = "rate_limit")]
    TooFast,
    /// Only trusted proxies may connect, and this is not one.
    NotTrusted,
    /// The process has no further file descriptors.
    NoDescriptors,
}

/// Why an accepted connection was not closed cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum CloseReason {
    /// It was idle for too long.
    Idle,
    /// A message did not arrive completely in time.
    SlowMessage,
    /// The client stopped sending within a message.
    CutShort,
    /// The PROXY header or the TLS handshake was not completed in time, or no data followed
    /// it.
    SlowHandshake,
    /// The client did not read the output in time.
    SlowReader,
    /// The unsent output reached its maximum.
    FullOutput,
    /// The certificate was replaced since.
    OldCertificate,
    /// Its client is no longer served.
    NoLongerServed,
    /// A message is longer than the protocol allows.
    LongMessage,
    /// The PROXY header is invalid.
    ProxyHeader,
    /// TLS was expected, and something else arrived.
    NotTls,
    /// The TLS handshake, or a later record, failed.
    Tls,
    /// The TLS library panicked, or did not terminate.
    TlsLibrary,
    /// The network or the client aborted the connection.
    Broken,
}

/// Adds the counts of all workers.
pub(crate) fn add_metrics(workers: &[Counters], metrics: &mut Metrics) {
    let sum = |counter: &dyn Fn(&Counters) -> &Counter| -> u64 {
        workers.iter().map(|worker| counter(worker).value()).sum()
    };
    // Read first: a connection that closes in between must not make it negative.
    let closed = sum(&|worker| &worker.closed);
    let accepted = sum(&|worker| &worker.accepted);
    metrics.add(&CONNECTIONS, &[], accepted.saturating_sub(closed));
    metrics.add(&ACCEPTED, &[], accepted);
    for &reason in Refusal::VARIANTS {
        let count = sum(&|worker| &worker.refused[reason as usize]);
        metrics.add(&REFUSED, &[reason.into()], count);
    }
    for &reason in CloseReason::VARIANTS {
        let count = sum(&|worker| &worker.close_reasons[reason as usize]);
        metrics.add(&CUT, &[reason.into()], count);
    }
    let full = sum(&|worker| &worker.full_handshakes);
    metrics.add(&HANDSHAKES, &["no"], full);
    let resumed = sum(&|worker| &worker.resumed_handshakes);
    metrics.add(&HANDSHAKES, &["yes"], resumed);
    metrics.add(&RECEIVED, &[], sum(&|worker| &worker.received_bytes));
    metrics.add(&SENT, &[], sum(&|worker| &worker.sent_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_the_names_that_metrics_have() {
        let refusals: Vec<&str> = Refusal::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(
            refusals,
            [
                "max_connections",
                "max_connections_per_ip",
                "rate_limit",
                "not_trusted",
                "no_descriptors",
            ]
        );
        let reasons: Vec<&str> = CloseReason::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(
            reasons,
            [
                "idle",
                "slow_message",
                "cut_short",
                "slow_handshake",
                "slow_reader",
                "full_output",
                "old_certificate",
                "no_longer_served",
                "long_message",
                "proxy_header",
                "not_tls",
                "tls",
                "tls_library",
                "broken",
            ]
        );
    }
}
