//! How offers and answers reach other connections, of the same worker or of
//! another.

use std::sync::Arc;

use aquatic_stream::{Batch, ConnectionId, Inbox, Outputs, Unreachable, WorkerWaker};

use crate::counters::{Counters, RelayResult};
use crate::tracker::{Envelope, PendingOffers, Relays};

/// Maximum size of a worker's inbox.
const INBOX_ITEMS: usize = 1 << 16;
const INBOX_BYTES: usize = 32 << 20;

/// The inboxes by which workers relay to each other: envelopes, with their frames.
pub(crate) type Inboxes = Arc<[Inbox<Envelope>]>;

/// An inbox for each worker.
pub(crate) fn inboxes(wakers: &[WorkerWaker]) -> Inboxes {
    wakers
        .iter()
        .map(|waker| Inbox::new(waker.clone(), INBOX_ITEMS, INBOX_BYTES))
        .collect()
}

/// Relays for the connections of one worker.
pub(crate) struct Relay {
    number: usize,
    inboxes: Inboxes,
    /// Envelopes from the worker's inbox; kept to reuse its memory.
    fetched: Batch<Envelope>,
    /// Offers that the worker's connections can answer.
    pub(crate) pending: PendingOffers,
    counters: Arc<[Counters]>,
}

impl Relay {
    /// The inbox of the worker with this number.
    pub(crate) fn new(number: usize, inboxes: Inboxes, counters: Arc<[Counters]>) -> Self {
        Self {
            number,
            inboxes,
            fetched: Batch::new(),
            pending: PendingOffers::new(),
            counters,
        }
    }

    /// Sends relayed messages to other connections.
    #[inline]
    pub(crate) fn send(&mut self, relays: Relays<'_, '_>, outputs: &mut Outputs, now: u32) {
        for relayed in relays {
            let envelope = relayed.envelope;
            let worker = envelope.to.worker();
            if worker == self.number {
                self.deliver(envelope, outputs, now, |out| relayed.write(out));
            } else if let Some(inbox) = self.inboxes.get(worker)
                && inbox.put(envelope, |out| relayed.write(out)).is_err()
            {
                self.counters()
                    .count_relayed(envelope.offer.is_some(), RelayResult::FullInbox);
            }
        }
    }

    /// Delivers the messages in the worker's inbox.
    pub(crate) fn fetch(&mut self, outputs: &mut Outputs, now: u32) {
        let mut fetched = std::mem::take(&mut self.fetched);
        self.inboxes[self.number].take(&mut fetched);
        for (envelope, frame) in fetched.iter() {
            self.deliver(*envelope, outputs, now, |out| out.extend_from_slice(frame));
        }
        self.fetched = fetched;
    }

    /// Appends a frame to the output of a connection of this worker.
    fn deliver(
        &mut self,
        envelope: Envelope,
        outputs: &mut Outputs,
        now: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let to = envelope.to.connection();
        let result = match outputs.of(to) {
            Ok(output) => {
                write(output);
                if let Some(offer) = envelope.offer {
                    let forgotten = self.pending.add(to, offer, now);
                    self.counters().count_forgotten(forgotten);
                }
                RelayResult::Relayed
            }
            Err(Unreachable::Gone) => RelayResult::ReceiverGone,
            Err(Unreachable::Full) => RelayResult::FullOutput,
        };
        self.counters()
            .count_relayed(envelope.offer.is_some(), result);
    }

    /// Forgets offers to a connection that are too old.
    pub(crate) fn forget_expired_offers(&mut self, id: ConnectionId, now: u32) {
        let forgotten = self.pending.forget_expired(id, now);
        self.counters().count_forgotten(forgotten);
    }

    /// Wakes this worker, even if its inbox is empty.
    pub(crate) fn wake(&self) {
        self.inboxes[self.number].waker().wake();
    }

    fn counters(&self) -> &Counters {
        &self.counters[self.number]
    }
}
