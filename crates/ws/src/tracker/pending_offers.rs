//! Offers that were relayed and can be answered.
//!
//! An offer is remembered with its receiver. If that is connected to another node, it is
//! remembered with its sender here, and with its receiver there: an answer that comes from
//! another node is for an offer that was really sent there, and is relayed once.

use std::collections::VecDeque;

use aquatic_stream::{ConnectionId, ConnectionMap};

use super::{Address, OfferName, PendingOffer};

/// Maximum number of offers that one connection can answer. When there are more, the oldest
/// are forgotten.
pub const MAX_PENDING_OFFERS: usize = 256;

/// The offers that the connections of one worker can answer. Those of a connection are in
/// the order of their arrival.
#[derive(Debug, Default)]
pub struct PendingOffers(ConnectionMap<VecDeque<PendingOffer>>);

/// Numbers of offers that can no longer be answered, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForgottenOffers {
    /// Offers that were not answered in time.
    pub expired: u64,
    /// Offers whose receiver had too many newer ones.
    pub too_many: u64,
}

/// Why an offer cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSuchOffer {
    /// There was no such offer, or it was answered before.
    Unknown,
    /// The offer is too old.
    Expired,
}

impl PendingOffers {
    /// Creates an empty collection.
    pub const fn new() -> Self {
        Self(ConnectionMap::new())
    }

    /// Adds an offer to an open connection.
    pub fn add(&mut self, id: ConnectionId, offer: PendingOffer, now: u32) -> ForgottenOffers {
        let Some(offers) = self.0.get_mut(id) else {
            self.0.insert(id, VecDeque::new()).push_back(offer);
            return ForgottenOffers::default();
        };
        let mut forgotten = forget_expired(offers, now);
        if offers.len() >= MAX_PENDING_OFFERS {
            offers.pop_front();
            forgotten.too_many = 1;
        }
        offers.push_back(offer);
        forgotten
    }

    /// Removes an offer that a connection answers. Returns the connection that sent the
    /// offer.
    ///
    /// # Errors
    ///
    /// If there is no such offer.
    pub fn take(
        &mut self,
        id: ConnectionId,
        name: OfferName,
        now: u32,
    ) -> Result<Address, NoSuchOffer> {
        let offers = self.0.get_mut(id).ok_or(NoSuchOffer::Unknown)?;
        // Most answers arrive soon, so the newest offers are compared first.
        let index = offers.iter().rposition(|offer| offer.name == name);
        let offer = index.and_then(|index| offers.remove(index));
        match offer {
            None => Err(NoSuchOffer::Unknown),
            Some(offer) if offer.valid_until <= now => Err(NoSuchOffer::Expired),
            Some(offer) => Ok(offer.sender),
        }
    }

    /// Forgets expired offers to a connection.
    pub fn forget_expired(&mut self, id: ConnectionId, now: u32) -> ForgottenOffers {
        let offers = self.0.get_mut(id);
        offers.map_or(ForgottenOffers::default(), |it| forget_expired(it, now))
    }

    /// Forgets all offers to a closed connection.
    pub fn closed(&mut self, id: ConnectionId) {
        self.0.remove(id);
    }
}

/// All offers are valid for about the same time, so the oldest are at the front.
fn forget_expired(offers: &mut VecDeque<PendingOffer>, now: u32) -> ForgottenOffers {
    let before = offers.len();
    while offers.front().is_some_and(|it| it.valid_until <= now) {
        offers.pop_front();
    }
    let expired = before - offers.len();
    if expired > 0 && offers.len() < offers.capacity() / 4 {
        offers.shrink_to(offers.len() * 2);
    }
    ForgottenOffers {
        expired: expired as u64,
        too_many: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Address = Address(9);

    fn offer(name: u64, valid_until: u32) -> PendingOffer {
        PendingOffer {
            name: OfferName(name),
            sender: SENDER,
            valid_until,
        }
    }

    fn forgotten(expired: u64, too_many: u64) -> ForgottenOffers {
        ForgottenOffers { expired, too_many }
    }

    #[test]
    fn an_offer_is_taken_once_in_time_and_by_its_receiver() {
        let id = ConnectionId::from_bits(3);
        let mut pending = PendingOffers::new();
        pending.add(id, offer(1, 100), 50);
        pending.add(id, offer(2, 101), 51);
        let unknown = Err(NoSuchOffer::Unknown);
        let other = ConnectionId::from_bits(4);
        assert_eq!(pending.take(other, OfferName(1), 60), unknown);
        assert_eq!(pending.take(id, OfferName(3), 60), unknown);
        assert_eq!(pending.take(id, OfferName(1), 99), Ok(SENDER));
        assert_eq!(pending.take(id, OfferName(1), 99), unknown);
        let expired = Err(NoSuchOffer::Expired);
        assert_eq!(pending.take(id, OfferName(2), 101), expired);
        pending.add(id, offer(3, 200), 110);
        pending.closed(id);
        assert_eq!(pending.take(id, OfferName(3), 110), unknown);
    }

    #[test]
    fn offers_of_a_connection_are_bounded_and_forgotten_in_time() {
        let id = ConnectionId::from_bits(3);
        let mut pending = PendingOffers::new();
        for number in 0..MAX_PENDING_OFFERS as u64 {
            let added = pending.add(id, offer(number, 100 + number as u32), 50);
            assert_eq!(added, forgotten(0, 0));
        }
        assert_eq!(pending.add(id, offer(999, 400), 50), forgotten(0, 1));
        let unknown = Err(NoSuchOffer::Unknown);
        assert_eq!(pending.take(id, OfferName(0), 50), unknown);
        assert_eq!(pending.add(id, offer(1_000, 400), 110), forgotten(10, 0));
        assert_eq!(pending.forget_expired(id, 399), forgotten(245, 0));
        assert_eq!(pending.forget_expired(id, 399), forgotten(0, 0));
        assert!(pending.0.get(id).is_some_and(|it| it.capacity() < 64));
        assert_eq!(pending.take(id, OfferName(999), 399), Ok(SENDER));
    }
}
