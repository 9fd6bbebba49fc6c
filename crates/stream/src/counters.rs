//! What workers count about connections.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aquatic_service::metrics::Figures;

/// Counts of one worker, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) closed: Counter,
    pub(crate) refused: [Counter; Refusal::ALL.len()],
    pub(crate) ended: [Counter; Ending::ALL.len()],
    pub(crate) full_handshakes: Counter,
    pub(crate) resumed_handshakes: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
}

/// A count that only one thread adds to, so that adding needs no locked
/// instruction.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed) + more, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
impl Counters {
    /// How many connections ended so.
    pub(crate) fn ended_by(&self, ending: Ending) -> u64 {
        self.ended[ending as usize].0.load(Relaxed)
    }
}

/// Why a connection was closed as soon as it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many as may be are open.
    TooMany,
    /// As many as may be are open from this address.
    TooManyFromAddress,
    /// Only proxies may connect, and this is none of them.
    NotTrusted,
    /// The process may open no further file.
    NoDescriptors,
}

impl Refusal {
    /// All reasons, in the order of their numbers.
    const ALL: [Self; 4] = [
        Self::TooMany,
        Self::TooManyFromAddress,
        Self::NotTrusted,
        Self::NoDescriptors,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::TooMany => "max_connections",
            Self::TooManyFromAddress => "max_connections_per_ip",
            Self::NotTrusted => "not_trusted",
            Self::NoDescriptors => "no_descriptors",
        }
    }
}

/// Why an accepted connection was closed, other than in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Silent for too long.
    Idle,
    /// A message did not become complete in time.
    SlowMessage,
    /// The client sent no more within a message.
    CutShort,
    /// The PROXY header or the TLS handshake did not become complete in time, or
    /// nothing came after them.
    SlowHandshake,
    /// What was written was not taken in time.
    SlowReader,
    /// More was written than may wait for a client to take it.
    FullOutput,
    /// The certificate was exchanged since.
    OldCertificate,
    /// A message is longer than the protocol allows.
    LongMessage,
    /// The PROXY header makes no sense.
    ProxyHeader,
    /// TLS was expected, and something else arrived.
    NotTls,
    /// The TLS handshake, or a later record, failed.
    Tls,
    /// The TLS library panicked, or did not come to an end.
    TlsLibrary,
    /// The network or the client broke the connection.
    Broken,
}

impl Ending {
    /// All reasons, in the order of their numbers.
    const ALL: [Self; 13] = [
        Self::Idle,
        Self::SlowMessage,
        Self::CutShort,
        Self::SlowHandshake,
        Self::SlowReader,
        Self::FullOutput,
        Self::OldCertificate,
        Self::LongMessage,
        Self::ProxyHeader,
        Self::NotTls,
        Self::Tls,
        Self::TlsLibrary,
        Self::Broken,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::SlowMessage => "slow_message",
            Self::CutShort => "cut_short",
            Self::SlowHandshake => "slow_handshake",
            Self::SlowReader => "slow_reader",
            Self::FullOutput => "full_output",
            Self::OldCertificate => "old_certificate",
            Self::LongMessage => "long_message",
            Self::ProxyHeader => "proxy_header",
            Self::NotTls => "not_tls",
            Self::Tls => "tls",
            Self::TlsLibrary => "tls_library",
            Self::Broken => "broken",
        }
    }
}

/// Adds the counts of all workers.
pub(crate) fn add_figures(workers: &[Counters], figures: &mut Figures) {
    let sum = |counter: &dyn Fn(&Counters) -> &Counter| -> u64 {
        workers
            .iter()
            .map(|worker| counter(worker).0.load(Relaxed))
            .sum()
    };
    // Read first: a connection that closes in between must not make it negative.
    let closed = sum(&|worker| &worker.closed);
    let accepted = sum(&|worker| &worker.accepted);
    figures.gauge(
        "connections",
        "Connections that are open",
        &[],
        accepted.saturating_sub(closed),
    );
    figures.counter(
        "connections_accepted_total",
        "Connections that were accepted and served",
        &[],
        accepted,
    );
    for reason in Refusal::ALL {
        figures.counter(
            "connections_refused_total",
            "Connections that were closed at once, by the reason",
            &[("reason", reason.name())],
            sum(&|worker| &worker.refused[reason as usize]),
        );
    }
    for reason in Ending::ALL {
        figures.counter(
            "connections_cut_total",
            "Connections that were closed other than in good order, by the reason",
            &[("reason", reason.name())],
            sum(&|worker| &worker.ended[reason as usize]),
        );
    }
    figures.counter(
        "tls_handshakes_total",
        "TLS handshakes that were completed, by whether they resumed a session",
        &[("resumed", "no")],
        sum(&|worker| &worker.full_handshakes),
    );
    figures.counter(
        "tls_handshakes_total",
        "TLS handshakes that were completed, by whether they resumed a session",
        &[("resumed", "yes")],
        sum(&|worker| &worker.resumed_handshakes),
    );
    figures.counter(
        "received_bytes_total",
        "Bytes that were read from connections",
        &[],
        sum(&|worker| &worker.received_bytes),
    );
    figures.counter(
        "sent_bytes_total",
        "Bytes that were written to connections",
        &[],
        sum(&|worker| &worker.sent_bytes),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_numbers() {
        assert!(
            (0..)
                .zip(Refusal::ALL)
                .all(|(number, it)| number == it as usize)
        );
        assert!(
            (0..)
                .zip(Ending::ALL)
                .all(|(number, it)| number == it as usize)
        );
    }
}
