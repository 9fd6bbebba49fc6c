//! Announces of clients with keys that are accounted.

use std::net::IpAddr;

use aquatic_tracker::accounting::{LabelText, Ledger, Record, Traffic};
use aquatic_udp_protocol::AnnounceRequest;

use super::Outcomes;

/// The announces of a batch that are accounted if they are served.
#[derive(Default)]
pub(super) struct Accounts {
    /// `None` if no accounts are kept.
    ledger: Option<Ledger>,
    /// Those of the current batch, with the indexes of their datagrams; a field to reuse its
    /// memory.
    begun: Vec<(usize, Record)>,
}

impl Accounts {
    pub(super) fn new(ledger: Option<Ledger>) -> Self {
        Self {
            ledger,
            begun: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn are_kept(&self) -> bool {
        self.ledger.is_some()
    }

    /// The announce of this datagram may be served.
    pub(super) fn begin(&mut self, number: usize, record: Record) {
        self.begun.push((number, record));
    }

    /// Puts the announces into the ledger that were served.
    #[inline]
    pub(super) fn finish(&mut self, outcomes: &Outcomes) {
        let Some(ledger) = &self.ledger else {
            return;
        };
        for (number, record) in self.begun.drain(..) {
            if outcomes[number].is_some_and(|outcome| outcome.rejected.is_none()) {
                ledger.add(record);
            }
        }
    }
}

/// What is accounted of an announce.
pub(super) fn record(
    request: &AnnounceRequest<'_>,
    label: &str,
    epoch_seconds: u32,
    source: IpAddr,
) -> Record {
    // Negative numbers are none.
    let bytes = |number: i64| u64::try_from(number).ok();
    Record {
        epoch_seconds,
        label: LabelText::new(label),
        info_hash: request.info_hash,
        peer_id: request.peer_id,
        traffic: Traffic {
            uploaded: bytes(request.uploaded),
            downloaded: bytes(request.downloaded),
            left: bytes(request.left),
        },
        event: request.event,
        source,
        port: Some(request.port),
    }
}
