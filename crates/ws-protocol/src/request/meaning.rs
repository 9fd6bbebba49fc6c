//! Conversion of the fields of a message.

use aquatic_bittorrent::{AnnounceEvent, InfoHash};
use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::loose::{Any, Loose, Meaning, skip_list};
use super::name::Name;
use super::{Action, Offer, OfferId, SessionDescription};
use crate::text;

/// A string that encodes 20 bytes.
pub(super) struct Bytes;

impl Meaning<'_> for Bytes {
    type Value = [u8; 20];

    #[inline]
    fn of_text(self, text: &str) -> Option<[u8; 20]> {
        text::bytes_of(text)
    }
}

/// The action of a request.
pub(super) struct ActionName;

impl Meaning<'_> for ActionName {
    type Value = Action;

    #[inline]
    fn of_text(self, text: &str) -> Option<Action> {
        match text {
            "announce" => Some(Action::Announce),
            "scrape" => Some(Action::Scrape),
            _ => None,
        }
    }
}

/// The event of an announce.
pub(super) struct EventName;

impl Meaning<'_> for EventName {
    type Value = AnnounceEvent;

    #[inline]
    fn of_text(self, text: &str) -> Option<AnnounceEvent> {
        match text {
            "started" => Some(AnnounceEvent::Started),
            "stopped" => Some(AnnounceEvent::Stopped),
            "completed" => Some(AnnounceEvent::Completed),
            "paused" => Some(AnnounceEvent::Paused),
            _ => None,
        }
    }
}

/// A number, or a string with a number.
pub(super) struct Number;

impl Meaning<'_> for Number {
    type Value = i64;

    fn of_text(self, text: &str) -> Option<i64> {
        text.parse().ok()
    }

    #[inline]
    fn of_number(self, number: i64) -> Option<i64> {
        Some(number)
    }
}

/// One info hash, or a list of which only the first ones are used.
pub(super) struct HashOrList {
    pub(super) limit: usize,
}

/// The info hashes of a message.
pub(super) enum Hashes {
    One(InfoHash),
    List(Vec<InfoHash>),
}

impl<'de> Meaning<'de> for HashOrList {
    type Value = Hashes;

    #[inline]
    fn of_text(self, text: &str) -> Option<Hashes> {
        text::bytes_of(text).map(|bytes| Hashes::One(InfoHash(bytes)))
    }

    fn of_list<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Hashes>, A::Error> {
        let mut hashes = Vec::new();
        while hashes.len() < self.limit {
            match list.next_element_seed(Any(Bytes))? {
                Some(Loose::Given(bytes)) => hashes.push(InfoHash(bytes)),
                Some(Loose::Absent | Loose::Wrong) => {
                    skip_list(list)?;
                    return Ok(None);
                }
                None => return Ok(Some(Hashes::List(hashes))),
            }
        }
        skip_list(list)?;
        Ok(Some(Hashes::List(hashes)))
    }
}

/// A list of offers of which only the first ones are used.
pub(super) struct Offers {
    pub(super) limit: usize,
}

/// The index, from 0, of an invalid offer in the list.
pub(super) struct WrongOffer(pub(super) usize);

impl<'de> Meaning<'de> for Offers {
    type Value = Result<Vec<Offer<'de>>, WrongOffer>;

    #[inline]
    fn of_list<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Self::Value>, A::Error> {
        let mut offers = Vec::new();
        while offers.len() < self.limit {
            match list.next_element_seed(Any(OneOffer))? {
                Some(Loose::Given(offer)) => offers.push(offer),
                Some(Loose::Absent | Loose::Wrong) => {
                    skip_list(list)?;
                    return Ok(Some(Err(WrongOffer(offers.len()))));
                }
                None => return Ok(Some(Ok(offers))),
            }
        }
        skip_list(list)?;
        Ok(Some(Ok(offers)))
    }
}

/// An element of the list of offers.
struct OneOffer;

impl<'de> Meaning<'de> for OneOffer {
    type Value = Offer<'de>;

    #[inline]
    fn of_object<A: MapAccess<'de>>(self, mut object: A) -> Result<Option<Offer<'de>>, A::Error> {
        let mut id = Loose::Absent;
        let mut offer = Loose::Absent;
        while let Some(name) = object.next_key()? {
            match name {
                Name::OfferId => id = object.next_value_seed(Any(Bytes))?,
                Name::Offer => offer = description(object.next_value()?),
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        let both = id.given().zip(offer.given());
        Ok(both.map(|(id, description)| Offer {
            id: OfferId(id),
            description,
        }))
    }
}

/// Converts a session description, which is kept as it was sent.
#[inline]
pub(super) fn description(raw: &RawValue) -> Loose<SessionDescription<'_>> {
    match raw.get() {
        "null" => Loose::Absent,
        _ => Loose::given_or_wrong(SessionDescription::from_raw(raw)),
    }
}
