//! How offers and answers reach other connections, of the same worker, of another, or of
//! another node.

use std::sync::Arc;

use aquatic_stream::{Batch, ConnectionId, Inbox, Outputs, Unreachable, WorkerWaker};

use crate::counters::{Counters, RelayResult};
use crate::nodes::Nodes;
use crate::tracker::{Envelope, PendingOffer, PendingOffers, RelayKind, Relayed, Relays};

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
    /// Offers of the worker's connections that peers of other nodes can answer.
    sent: PendingOffers,
    /// The other nodes, in a cluster.
    nodes: Option<Arc<Nodes>>,
    counters: Arc<[Counters]>,
}

impl Relay {
    /// The inbox of the worker with this number, and other nodes in a cluster.
    pub(crate) fn new(
        number: usize,
        inboxes: Inboxes,
        nodes: Option<Arc<Nodes>>,
        counters: Arc<[Counters]>,
    ) -> Self {
        Self {
            number,
            inboxes,
            fetched: Batch::new(),
            pending: PendingOffers::new(),
            sent: PendingOffers::new(),
            nodes,
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
            } else if let Some(inbox) = self.inboxes.get(worker) {
                if inbox.put(envelope, |out| relayed.write(out)).is_err() {
                    self.counters()
                        .count_relayed(envelope.kind.is_offer(), RelayResult::FullInbox);
                }
            } else {
                self.send_to_node(&relayed, now);
            }
        }
    }

    /// Sends a message to the node on which its receiver is.
    #[cold]
    fn send_to_node(&mut self, relayed: &Relayed<'_>, now: u32) {
        let Envelope { to, kind } = relayed.envelope;
        let Some((nodes, number)) = self.nodes.as_ref().zip(to.node()) else {
            return;
        };
        let result = nodes.send(number, &relayed.signal());
        if let (RelayResult::SentToNode, RelayKind::Offer(offer)) = (result, kind) {
            let connection = offer.sender.connection();
            let sent = PendingOffer {
                sender: to,
                ..offer
            };
            let forgotten = self.sent.add(connection, sent, now);
            self.counters().count_forgotten(forgotten);
        }
        self.counters().count_relayed(kind.is_offer(), result);
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
        if let RelayKind::AnswerFromNode(name, node) = envelope.kind
            && self.sent.take(to, name, now) != Ok(node)
        {
            self.counters()
                .count_relayed(false, RelayResult::UnknownOffer);
            return;
        }
        let result = match outputs.of(to) {
            Ok(output) => {
                write(output);
                if let RelayKind::Offer(offer) = envelope.kind {
                    let forgotten = self.pending.add(to, offer, now);
                    self.counters().count_forgotten(forgotten);
                }
                RelayResult::Relayed
            }
            Err(Unreachable::Gone) => RelayResult::ReceiverGone,
            Err(Unreachable::Full) => RelayResult::FullOutput,
        };
        self.counters()
            .count_relayed(envelope.kind.is_offer(), result);
    }

    /// Forgets offers to and from a connection that are too old.
    pub(crate) fn forget_expired_offers(&mut self, id: ConnectionId, now: u32) {
        for offers in [&mut self.pending, &mut self.sent] {
            let forgotten = offers.forget_expired(id, now);
            self.counters[self.number].count_forgotten(forgotten);
        }
    }

    /// Forgets the offers to and from a closed connection.
    pub(crate) fn closed(&mut self, id: ConnectionId) {
        self.pending.closed(id);
        self.sent.closed(id);
    }

    /// Wakes this worker, even if its inbox is empty.
    pub(crate) fn wake(&self) {
        self.inboxes[self.number].waker().wake();
    }

    fn counters(&self) -> &Counters {
        &self.counters[self.number]
    }
}
