//! How offers and answers reach other connections, of the same worker or of
//! another.

use std::collections::VecDeque;
use std::sync::Arc;

use aquatic_stream::{Bell, ConnectionId, Inbox, Mail, Outputs, Unreachable};

use crate::counters::{Counters, Fate, Forgotten};
use crate::tracker::{Address, NoSuchOffer, OfferName, PendingOffer, Post};

/// Offers that one connection can answer at the same time. Of more, the oldest
/// are forgotten.
pub(crate) const MAX_PENDING_OFFERS: usize = 256;

/// What may wait for a worker to fetch it.
const INBOX_ITEMS: usize = 1 << 16;
const INBOX_BYTES: usize = 32 << 20;

/// Bits of an address that say which worker it is of.
const WORKER_BITS: u32 = u64::BITS - ConnectionId::BITS;

/// The most workers that addresses tell apart.
pub(crate) const MAX_WORKERS: usize = 1 << WORKER_BITS;

/// What one worker has for a connection of another. Its frame goes with it.
pub(crate) struct Parcel {
    to: ConnectionId,
    /// `None` for an answer.
    offer: Option<PendingOffer>,
}

/// Where workers leave each other what they relay.
pub(crate) type Inboxes = Arc<[Inbox<Parcel>]>;

/// An inbox for each bell.
pub(crate) fn inboxes(bells: &[Bell]) -> Inboxes {
    bells
        .iter()
        .map(|bell| Inbox::new(bell.clone(), INBOX_ITEMS, INBOX_BYTES))
        .collect()
}

/// What one worker relays.
pub(crate) struct Office {
    number: usize,
    inboxes: Inboxes,
    mail: Mail<Parcel>,
    /// What connections can answer, by their places.
    pending: Vec<Pending>,
    counters: Arc<[Counters]>,
}

/// The offers that one connection can answer, the oldest first.
#[derive(Default)]
struct Pending {
    owner: Option<ConnectionId>,
    offers: VecDeque<PendingOffer>,
}

impl Office {
    /// That of the worker with this number.
    pub(crate) fn new(number: usize, inboxes: Inboxes, counters: Arc<[Counters]>) -> Self {
        Self {
            number,
            inboxes,
            mail: Mail::new(),
            pending: Vec::new(),
            counters,
        }
    }

    /// Where a connection of this worker is.
    pub(crate) fn address(&self, id: ConnectionId) -> Address {
        Address((self.number as u64) << ConnectionId::BITS | id.to_bits())
    }

    /// The connection can be sent offers from now on.
    pub(crate) fn opened(&mut self, id: ConnectionId) {
        if self.pending.len() <= id.slot() {
            self.pending.resize_with(id.slot() + 1, Pending::default);
        }
        self.pending[id.slot()].owner = Some(id);
    }

    /// The connection is gone.
    pub(crate) fn closed(&mut self, id: ConnectionId) {
        if let Some(pending) = self.pending.get_mut(id.slot())
            && pending.owner == Some(id)
        {
            *pending = Pending::default();
        }
    }

    /// Forgets offers to a connection that are too old.
    pub(crate) fn forget_old_offers(&mut self, id: ConnectionId, now: u32) {
        let counters = &self.counters[self.number];
        if let Some(pending) = self.pending.get_mut(id.slot()) {
            pending.forget_old(now, counters);
        }
    }

    /// Has the worker look at once whether there is something to deliver or to
    /// forget.
    pub(crate) fn ring(&self) {
        self.inboxes[self.number].bell().ring();
    }

    /// Delivers what other workers have left.
    pub(crate) fn deliver(&mut self, outputs: &mut Outputs, now: u32) {
        let mut mail = std::mem::take(&mut self.mail);
        self.inboxes[self.number].take(&mut mail);
        for (parcel, frame) in mail.iter() {
            self.hand_over(parcel.to, parcel.offer, outputs, now, |out| {
                out.extend_from_slice(frame);
            });
        }
        self.mail = mail;
    }

    /// Gives a frame to a connection of this worker.
    fn hand_over(
        &mut self,
        to: ConnectionId,
        offer: Option<PendingOffer>,
        outputs: &mut Outputs,
        now: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let counters = &self.counters[self.number];
        let fate = match outputs.of(to) {
            Ok(output) => {
                write(output);
                if let (Some(offer), Some(pending)) = (offer, self.pending.get_mut(to.slot())) {
                    pending.add(offer, now, counters);
                }
                Fate::Relayed
            }
            Err(Unreachable::Gone) => Fate::Gone,
            Err(Unreachable::Full) => Fate::FullOutput,
        };
        counters.count_relayed(offer.is_some(), fate);
    }
}

impl Pending {
    fn add(&mut self, offer: PendingOffer, now: u32, counters: &Counters) {
        self.forget_old(now, counters);
        if self.offers.len() >= MAX_PENDING_OFFERS {
            self.offers.pop_front();
            counters.count_forgotten(Forgotten::TooMany, 1);
        }
        self.offers.push_back(offer);
    }

    /// All offers are kept for the same time, so the oldest are the first.
    fn forget_old(&mut self, now: u32, counters: &Counters) {
        let before = self.offers.len();
        while self.offers.front().is_some_and(|it| it.valid_until <= now) {
            self.offers.pop_front();
        }
        let forgotten = before - self.offers.len();
        if forgotten > 0 {
            counters.count_forgotten(Forgotten::Expired, forgotten as u64);
            if self.offers.len() < self.offers.capacity() / 4 {
                self.offers.shrink_to(self.offers.len() * 2);
            }
        }
    }

    fn take(&mut self, name: OfferName, now: u32) -> Result<Address, NoSuchOffer> {
        // Who answers does so soon, so the newest are looked at first.
        let place = self
            .offers
            .iter()
            .rposition(|offer| offer.name == name)
            .ok_or(NoSuchOffer::Unknown)?;
        let offer = self.offers.remove(place).ok_or(NoSuchOffer::Unknown)?;
        if offer.valid_until <= now {
            return Err(NoSuchOffer::Expired);
        }
        Ok(offer.sender)
    }
}

/// What a connection relays while its message is handled.
pub(crate) struct Window<'a> {
    pub(crate) office: &'a mut Office,
    pub(crate) outputs: &'a mut Outputs,
    /// The connection.
    pub(crate) id: ConnectionId,
    pub(crate) now: u32,
}

impl Window<'_> {
    fn send(&mut self, to: Address, offer: Option<PendingOffer>, write: impl FnOnce(&mut Vec<u8>)) {
        let worker = (to.0 >> ConnectionId::BITS) as usize;
        let id = ConnectionId::from_bits(to.0);
        let office = &mut *self.office;
        if worker == office.number {
            return office.hand_over(id, offer, self.outputs, self.now, write);
        }
        let is_offer = offer.is_some();
        let Some(inbox) = office.inboxes.get(worker) else {
            return;
        };
        if inbox.put(Parcel { to: id, offer }, write).is_err() {
            office.counters[office.number].count_relayed(is_offer, Fate::FullInbox);
        }
    }
}

impl Post for Window<'_> {
    fn offer(&mut self, to: Address, offer: PendingOffer, write: impl FnOnce(&mut Vec<u8>)) {
        self.send(to, Some(offer), write);
    }

    fn take_offer(&mut self, name: OfferName, now: u32) -> Result<Address, NoSuchOffer> {
        let pending = self.office.pending.get_mut(self.id.slot());
        pending.ok_or(NoSuchOffer::Unknown)?.take(name, now)
    }

    fn answer(&mut self, to: Address, write: impl FnOnce(&mut Vec<u8>)) {
        self.send(to, None, write);
    }
}
